"""The documents against the code: commands parse, files and flags exist, the examples in README work."""

import re
import shlex
from pathlib import Path

import pytest

from oracles.load import as_verdict, load_oracle
from understand_r1_zero.args import Args, OracleArgs
from understand_r1_zero.args_search import SearchArgs
from understand_r1_zero.cli import parse, parse_training
from understand_r1_zero.flags import OTHER_NAMES, flags_of
from understand_r1_zero.grade import GradeArgs
from understand_r1_zero.grade import parse as parse_grade
from understand_r1_zero.recipes import to_toml
from understand_r1_zero.templates import Template, load_template
from understand_r1_zero.types import Status
from understand_r1_zero.validate_collect import settle_collect

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
RECIPES = sorted(REPOSITORY.glob("examples/**/*.toml"))
VALUE_MODEL = ("--value_model", str(REPOSITORY / "examples" / "tiny" / "value"))
TRAIN, COMMANDS = ("python", "train_zero_math.py"), ("python", "-m", "understand_r1_zero")
OTHER_PROGRAMS_FLAGS = {"--head", "--no-deps", "--editable"}
LINES_ALLOWED = {"README.md": 280, "docs/design.md": 200, "CONTRIBUTING.md": 60}


def name_of(path):
    return str(path.relative_to(REPOSITORY))


def shell_blocks(document):
    """The fenced code blocks of a document that name no language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    return [code for language, code in blocks if not language]


def command_lines():
    """(document, words) of every command line in a shell block; variables before it are left out."""
    for document in DOCUMENTS:
        for block in shell_blocks(document):
            for line in block.replace("\\\n", " ").splitlines():
                if "python" not in line:
                    continue
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words.pop(0)
                if words and words[0].endswith("python"):
                    yield name_of(document), words


def ours(program):
    """The command lines of one of our programs, without the program."""
    return [
        pytest.param(words[len(program) :], id=f"{document}: {shlex.join(words)[:80]}")
        for document, words in command_lines()
        if tuple(words[: len(program)]) == program
    ]


def prose(document):
    """The text of a document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A current directory with examples, a run of 20 steps and samples, as the command lines expect."""
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / "runs" / "first" / "checkpoints" / "step_20").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "config.toml").write_text(to_toml(parse([])))
    (tmp_path / "samples.jsonl").touch()
    (tmp_path / "runs" / "responses.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_documents_hold_the_commands_this_file_checks():
    assert len(ours(TRAIN)) >= 10
    assert len(ours(COMMANDS)) >= 3


@pytest.mark.parametrize("argv", ours(TRAIN))
def test_training_commands_parse(workplace, argv):
    parse(argv)


@pytest.mark.parametrize("argv", ours(COMMANDS))
def test_other_commands_parse(workplace, argv):
    command, *rest = argv
    if command in ("evaluate", "label"):
        parse(rest)
    elif command == "grade":
        parse_grade(rest)
    elif command == "search":
        assert parse(rest, Args(search=SearchArgs(method="mcts"))).is_searched
    elif command == "collect":
        parse(rest, Args(search=SearchArgs(method="mcts")), settle=settle_collect)
    elif command == "verify":
        assert parse(rest, Args(search=SearchArgs(method="maj"))).verifying.verify
    else:
        assert command == "plots"
        assert [Path(path).is_dir() for path in rest] == [True]


def test_scripts_that_are_run_exist():
    scripts = [words[1] for _, words in command_lines() if words[1].endswith(".py")]
    assert [script for script in scripts if not (REPOSITORY / script).is_file()] == []
    assert "examples/smollm2/prepare.py" in scripts


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_every_recipe_parses_and_is_in_the_table(workplace, recipe):
    if "[[stages]]" in recipe.read_text():
        assert parse_training(["--config", str(recipe), "--dry_run"]).run.rounds
    else:
        # Recipes of searches leave the value model to the command line.
        is_valued = 'oracle = "value"' in recipe.read_text()
        parse(["--config", str(recipe), *(VALUE_MODEL if is_valued else ())])
    table = (REPOSITORY / "examples" / "README.md").read_text()
    assert f"`{recipe.relative_to(REPOSITORY / 'examples')}`" in table


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    missing = [
        link
        for link in links
        if not re.match(r"https?:", link)
        and not (document.parent / link.partition("#")[0]).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_files_exist(document):
    packages = "understand_r1_zero|oracles|actors|learners|examples|tests|bench|docs"
    named = re.findall(rf"`((?:{packages})/[\w./-]+|[\w.-]+\.py)`", prose(document))
    written_by_the_reader = re.findall(r"this as\s+`([\w.]+)`", prose(document))
    missing = [
        name
        for name in named
        if name not in written_by_the_reader
        and not (REPOSITORY / name).exists()
        and not (document.parent / name).exists()
        and not (REPOSITORY / "understand_r1_zero" / name).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_flags_exist(document):
    known = {field.name for kind in (Args, GradeArgs) for _, field in flags_of(kind)}
    known |= {"help", *OTHER_NAMES}
    named = re.findall(r"`(--[a-zA-Z][\w-]*)", prose(document))
    unknown = [
        flag
        for flag in named
        if flag not in OTHER_PROGRAMS_FLAGS and flag[2:].replace("-", "_") not in known
    ]
    assert not unknown


@pytest.mark.parametrize("name", LINES_ALLOWED)
def test_documents_stay_short(name):
    assert len((REPOSITORY / name).read_text().splitlines()) <= LINES_ALLOWED[name]


@pytest.fixture
def readme_modules(tmp_path, monkeypatch):
    """The Python examples of README under the names it gives them, importable."""
    text = (REPOSITORY / "README.md").read_text()
    found = re.findall(r"Save this as\s+`(\w+\.py)`:\n+```python\n(.*?)^```$", text, re.M | re.S)
    assert [name for name, _ in found] == ["my_oracle.py", "my_template.py"]
    for name, code in found:
        (tmp_path / name).write_text(code)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_oracle_of_readme_scores(readme_modules):
    oracle = load_oracle(Args(oracle=OracleArgs(oracle="my_oracle:BoxedInteger")), "boxed")
    responses = [r"4+3=7 \boxed{7}", r"\boxed{8}", "seven", r"\boxed{1} \boxed{-7}"]
    references = ["7", "18", "7", ("7", "-7")]
    rewards, metrics = oracle.get_reward(["4 + 3 ="] * 4, responses, references, 4)
    verdicts = [as_verdict(reward) for reward in rewards]
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.1, 0.0, 1.0]
    assert [verdict.status for verdict in verdicts] == [
        Status.CORRECT,
        Status.INCORRECT,
        Status.UNPARSABLE,
        Status.CORRECT,
    ]
    assert [verdict.answer for verdict in verdicts] == ["7", "8", None, "-7"]
    assert metrics == {}


def test_the_template_of_readme_renders(readme_modules):
    template = load_template("my_template:SHORT")
    assert isinstance(template, Template)
    prompt = template.render("2 + 2 =", None)
    assert prompt == "<|im_start|>user\n2 + 2 =<|im_end|>\n<|im_start|>assistant\n"
    assert template.stop == ("<|im_start|>",)
    assert template.extraction == "boxed"
