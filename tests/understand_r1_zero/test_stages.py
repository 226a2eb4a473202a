"""Stages of rounds: how a recipe's are read, which flags each has, what each goes on from."""

import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.recipes import read_recipe
from understand_r1_zero.rounds import check_rounds, describe_rounds, stage_args
from understand_r1_zero.stages import Made, Stage, check_stages, own_flags, read_stages

RECIPE = """
rounds = 2
pretrain = "examples/tiny/stepper"
search_oracle = "value"
value_model = "examples/tiny/value"
step_codec = "lines"
num_samples = 6
eval_data = "test.jsonl"

[[stages]]
name = "trees"
run = "collect"
collect = "search"
method = "mcts"

[[stages]]
name = "values"
run = "label"
label_from = "{trees}"
in_rounds = "1"

[[stages]]
name = "values"
run = "label"
label_from = "{trees}"
label_right = 2
in_rounds = "2-"

[[stages]]
name = "policy"
run = "train"
algo = "value"
value_joint = true
value_data = "{values}"
"""


@pytest.fixture
def recipe(tmp_path):
    def write(text=RECIPE):
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        return path

    return write


def args_of(path):
    args = read_recipe(path, Args())
    run = type(args.run)(**{**vars(args.run), "config": str(path)})
    return type(args)(**{**vars(args), "run": run})


def test_stages_are_read_in_order_with_their_rounds(recipe):
    stages = read_stages(recipe())
    assert [stage.name for stage in stages] == ["trees", "values", "values", "policy"]
    assert [[s.name for s in stages if s.is_in(n)] for n in (1, 2, 7)] == [
        ["trees", "values", "policy"]
    ] * 3
    assert stages[2].flags == {"label_from": "{trees}", "label_right": 2}
    assert stages[2].table["in_rounds"] == "2-"
    assert Stage("a", "train", {}, 1, 1).table == {"name": "a", "run": "train", "in_rounds": "1-1"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "trees"', 'name = "Trees"', "stage 1 must have a name of small letters"),
        ('name = "trees"', 'name = "base"', "value_model, got 'base'"),
        ('run = "collect"', 'run = "gather"', "stage 1, trees: run must be one of collect, search"),
        ('in_rounds = "1"', 'in_rounds = "0"', "in_rounds must be as 1, 2- or 1-3, got '0'"),
        ('in_rounds = "1"', 'in_rounds = "x"', "stage 2, values: in_rounds must be"),
    ],
)
def test_a_stage_at_fault_is_named(recipe, old, new, message):
    with pytest.raises(ValueError, match=message.replace("?", ".")):
        read_stages(recipe(RECIPE.replace(old, new)))


def label(name, source="", **rounds):
    return Stage(name, "label", {"label_from": source}, **rounds)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([label("a", "{b}")], "stage a of round 1 wants {b}, which no stage before it makes"),
        ([label("a"), label("a")], "round 1 has two stages a"),
        ([label("a", first=2)], "round 1 has no stage"),
        ([label("a", "{b}"), label("b")], "wants {b}"),
    ],
)
def test_stages_that_cannot_be(stages, message):
    with pytest.raises(ValueError, match=message):
        check_stages(stages, 2)


def test_an_output_of_the_round_before_is_there_for_a_stage_of_later_rounds():
    check_stages([label("a"), label("b", "{c}", first=2), label("c", "{a} {base}")], 3)


def test_a_stage_has_its_own_flags_over_those_above_that_its_command_reads(recipe):
    path = recipe()
    base, (trees, values, _, policy) = args_of(path), read_stages(path)
    made = Made({"trees": "t.jsonl"})
    flags = stage_args(trees, base, made, number=2)
    assert flags.search.method == "mcts"
    assert flags.valuing.search_oracle == "value"
    assert flags.sampling.num_samples == 6
    assert flags.run.seed == base.run.seed + 1
    assert flags.run.rounds == 0

    flags = stage_args(values, base, made, number=1)
    assert flags.labelling.label_from == "t.jsonl"
    assert flags.steps.step_codec == "lines"
    assert flags.sampling == Args().sampling

    flags = stage_args(policy, base, Made({"values": "v.jsonl"}), number=1)
    assert flags.value.value_data == "v.jsonl"
    assert flags.evaluation.eval_data == "test.jsonl"
    assert flags.valuing == Args().valuing, "nothing is searched while it trains"


def test_stages_go_on_from_the_newest_models_unless_they_name_others(recipe):
    base = args_of(recipe())
    made = Made({"old": "runs/old"}, policy="runs/new", value_model="runs/new/value_model")
    trees = Stage("trees", "collect", {"collect": "search", "method": "mcts"})
    assert own_flags(trees, base, made)["pretrain"] == "runs/new"
    assert own_flags(trees, base, made)["value_model"] == "runs/new/value_model"
    train = Stage("policy", "train", {"algo": "sft", "pretrain": "{base}"})
    assert own_flags(train, base, made) == {"algo": "sft", "pretrain": "examples/tiny/stepper"}
    assert own_flags(Stage("a", "evaluate", {"pretrain": "{old}"}), base, made) == {
        "pretrain": "runs/old"
    }
    assert own_flags(trees, base, Made()) == {
        **trees.flags,
        "pretrain": "examples/tiny/stepper",
        "value_model": "examples/tiny/value",
    }
    value = Stage("value", "train", {"algo": "value", "pretrain": "{value_model}"})
    assert own_flags(value, base, made)["pretrain"] == "runs/new/value_model"
    with pytest.raises(ValueError, match=r"there is no value model for \{value_model\} yet"):
        own_flags(value, Args(), Made())


def test_a_whole_recipe_is_checked_before_anything_starts(recipe):
    check_rounds(args_of(recipe()))
    wrong = RECIPE.replace("value_joint = true", "value_joint = true\nbeta = 0.1")
    with pytest.raises(ValueError, match=r"stage policy of round 1: --beta 0\.1 changes nothing"):
        check_rounds(args_of(recipe(wrong)))
    with pytest.raises(ValueError, match="stage values: unknown key label_right_;"):
        check_rounds(args_of(recipe(RECIPE.replace("label_right", "label_right_"))))
    with pytest.raises(ValueError, match=r"--rounds 2 needs a recipe with \[\[stages\]\]"):
        check_rounds(args_of(recipe("rounds = 2\n")))


def test_a_dry_run_names_every_stage(recipe):
    lines = list(describe_rounds(args_of(recipe())))
    assert len(lines) == 6
    assert lines[0] == "round 1  trees: collect --collect search --method mcts"
