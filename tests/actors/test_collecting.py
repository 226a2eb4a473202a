"""The command collect on the tiny world: responses, trees, and what becomes of the responses' steps."""

import json

import pytest

from understand_r1_zero.data import load_problems
from understand_r1_zero.labels.explored import first_pit as place_of_pit
from understand_r1_zero.labels.explored import given_chain
from understand_r1_zero.prompt_order import PromptOrder
from understand_r1_zero.search.records import facts_of, golds_of, question_of, read_trees

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("collecting")]

COLLECT = ("-m", "understand_r1_zero", "collect")
SUMS = "reasoning_gym:chain_sum?min_terms=5&max_terms=5&min_digits=1&max_digits=1&size=300"
WORLD = (
    f"--pretrain examples/tiny/stepper --grader_workers 1 --prompt_data {SUMS} --collect_problems 12 "
    "--num_samples 4 --generate_max_length 64"
).split()
MADE = {"policy": "examples/tiny/stepper", "preset": "default", "template": "qwen_math"}


@pytest.fixture
def collect(start_run, tmp_path):
    """Run the command to its end; its status and what it said."""

    def run(*flags, name):
        path = ["--save_path", tmp_path / "logs"]
        started = start_run(*WORLD, *flags, *path, name=name, small=False, program=COLLECT)
        return started.wait(), started.text()

    return run


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_time(record):
    return {**record, "search": {**record["search"], "seconds": 0}}


def test_a_round_collects_responses_trees_and_the_steps_of_responses(collect, tmp_path):
    """One test, as what is explored was sampled before."""
    responses, trees, explored = (tmp_path / f"{x}.jsonl" for x in ("res", "trees", "explored"))
    status, said = collect("--output", responses, name="sample")
    assert status == 0 and "problems                     12" in said, said
    rows = records(responses)
    check_responses(rows)
    status, said = collect("--output", responses, "--seed", "7", name="other")
    assert status == 1 and "line 1 is no response to these problems" in said

    flags = "--collect search --collect_trees 2 --simulations 8 --graded_ends --output".split()
    status, said = collect(*flags, trees, name="search")
    assert status == 0 and "questions             24" in said, said
    check_trees(trees, {row["prompt"] for row in rows})

    flags = "--collect explore --explore_solutions 3 --mc_mode linear --mc_completions 4".split()
    flags += ["--solutions", responses, "--output", explored]
    status, said = collect(*flags, name="explore")
    assert status == 0 and "first pit at step" in said, said
    check_explored(explored, rows)

    lines = explored.read_text().splitlines()
    explored.write_text("\n".join(lines[:30]) + "\n" + lines[30][:200])
    status, said = collect(*flags, name="again")
    assert status == 0 and "30 of 36 solutions are in" in said, said
    again = explored.read_text().splitlines()
    assert again[:30] == lines[:30] and len(again) == 36
    by_place = {record["search"]["place"]: record for record in map(json.loads, lines)}
    for record in map(json.loads, again):
        place = record["search"]["place"]
        assert without_time(record) == without_time(by_place[place]), "the same seeds"
    status, said = collect(*flags, "--mc_completions", "8", name="more")
    assert status == 1 and "line 1 was made with mc_completions 4, and not 8" in said


def check_responses(rows):
    assert sorted(row["ours"]["place"] for row in rows) == list(range(12))
    problems = load_problems(SUMS, "train", "problem", "answer", 1_000_000)
    order = PromptOrder(len(problems), 42).batch(0, 12)
    for row in rows:
        ours = row["ours"]
        problem = problems[order[ours["place"]]]
        assert (row["prompt"], row["answer"]) == (problem.text, problem.answers[0])
        assert ours["problem"] == problem.id and ours.items() >= MADE.items()
        assert (ours["collect"], ours["oracle"]) == ("sample", "math")
        assert len(row["preds"]) == len(ours["truncated"]) == 4
        for text, status, answer in zip(
            row["preds"], ours["statuses"], ours["answers"], strict=True
        ):
            assert (status == "correct") == (answer == row["answer"]), text
            assert answer is None or f"\\boxed{{{answer}}}" in text
    statuses = [status for row in rows for status in row["ours"]["statuses"]]
    assert 10 < statuses.count("correct") < 44


def check_trees(path, prompts):
    by_problem = {}
    for tree in read_trees(path):
        facts = facts_of(tree)
        assert facts.items() >= (MADE | {"collect": "search", "codec": "lines"}).items()
        assert facts["method"] == "mcts" and question_of(tree.record) in prompts
        for number in tree.finals():
            node = tree.nodes[number]
            assert node.reward == (1 if node.answer in golds_of(tree.record) else -1)
        by_problem.setdefault(facts["problem"], {})[facts["place"]] = tree
    assert len(by_problem) == 12
    assert sorted(place for places in by_problem.values() for place in places) == list(range(24))
    pairs = [
        [each.tag(len(each.nodes) - 1) + each.text(1) for each in places.values()]
        for places in by_problem.values()
    ]
    assert all(len(pair) == 2 for pair in pairs) and any(one != two for one, two in pairs)


def first_pit(tree):
    """The step of the first pit, from 1; None: there is none."""
    place = place_of_pit(tree)
    return None if place is None else place + 1


def check_explored(path, rows):
    texts = {(row["prompt"], text) for row in rows for text in row["preds"][:3]}
    statuses = {
        (row["prompt"], text): status
        for row in rows
        for text, status in zip(row["preds"], row["ours"]["statuses"], strict=True)
    }
    num_asked = num_pits = 0
    for tree in read_trees(path):
        facts = facts_of(tree)
        chain = [tree.nodes[number] for number in given_chain(tree)]
        text = "".join(node.text for node in chain)
        key = (question_of(tree.record), text)
        assert key in texts and facts["status"] == statuses[key]
        assert facts.items() >= (MADE | {"oracle": "monte_carlo", "scan": "linear"}).items()
        assert chain[-1].reward == (1 if facts["status"] == "correct" else -1)
        asked = [number for number in given_chain(tree) if tree.nodes[number].labels]
        num_asked += len(asked)
        if facts["status"] == "correct":
            assert not asked
            continue
        assert asked == given_chain(tree)[: len(asked)], "one after another"
        for number in asked:
            check_completions(tree, number)
        reached = [bool(tree.nodes[number].labels["num_right"]) for number in asked]
        assert all(reached[:-1])
        num_pits += first_pit(tree) is not None
        if reached and not reached[-1]:
            assert first_pit(tree) == len(asked)
    assert num_asked > 12 and num_pits > 4


def check_completions(tree, number):
    """The counts are those of the ends below the node that are not of the given solution."""
    node, chain = tree.nodes[number], given_chain(tree)
    branches = [child for child in node.children if child not in chain]
    ends = [
        end for branch in branches for end in tree.below(branch) if not tree.nodes[end].children
    ]
    assert len(ends) == len(branches) == node.labels["num_completions"] == 4
    is_right = [tree.nodes[end].answer in golds_of(tree.record) for end in ends]
    assert [tree.nodes[end].reward for end in ends] == [1 if right else -1 for right in is_right]
    assert sum(is_right) == node.labels["num_right"]
