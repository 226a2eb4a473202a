"""Stages of a round: what a recipe's `[[stages]]` say, and which flags each stage runs with.

    rounds = 2
    pretrain = "..."                  # flags above the stages are everybody's

    [[stages]]
    name = "trees"                    # its output: {trees}
    run = "collect"                   # a command, or train
    collect = "search"                # and flags of its own

    [[stages]]
    name = "values"
    run = "label"
    label_from = "{trees}"

`{NAME}` in a flag is the output of the stage of that name, of this round or, where that stage comes later, of
the round before: a file, or the checkpoint that was trained. `{base}` is the run's own `--pretrain`,
`{pretrain}` and `{value_model}` are the newest policy and the newest value model there are: what a stage has
as `--pretrain` and, where it reads values, as `--value_model` unless it says otherwise. `in_rounds`, as `1`, `2-` or `1-3`, keeps a stage to these rounds. Each round has
the seed of the round before plus one.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from understand_r1_zero.args import Args, RunArgs
from understand_r1_zero.args_search import Method, SearchArgs

STAGES = "stages"
"""The recipe's key."""
RESERVED = ("base", "pretrain", "value_model")
"""Placeholders that are no stage's: the run's own policy, the newest one, the newest value model."""
Part = Literal["collect", "search", "label", "train", "verify", "evaluate"]
PARTS: tuple[str, ...] = get_args(Part)

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ROUNDS = re.compile(r"(\d+)(-(\d*))?")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_OWN_KEYS = ("name", "run", "in_rounds")
_SEARCHING = ("search", "steps", "valuing")
_SAMPLING = ("cluster", "model", "data", "sampling", "oracle", "grading", "reward", "evaluation")
_INHERITED: Mapping[str, tuple[str, ...]] = {
    "collect": (*_SAMPLING, *_SEARCHING),
    "search": (*_SAMPLING, *_SEARCHING),
    "label": ("model", "data", "grading", "steps"),
    "verify": ("cluster", "model", "data", "sampling", "grading", "evaluation", "steps", "valuing"),
    "evaluate": (*_SAMPLING, *_SEARCHING),
    "train": (
        *_SAMPLING,
        *_SEARCHING,
        *("algorithm", "policy", "critic", "preference", "supervised", "value", "optim", "lora"),
        *("step_reward", "checkpoint", "tracking", "alarm"),
    ),
}
"""Whose flags of those above the stages a part reads."""


@dataclass(frozen=True)
class Stage:
    """One part of a round; `flags` are its own, `first` and `last` the rounds it is in."""

    name: str
    run: str
    flags: Mapping[str, Any]
    first: int = 1
    last: int | None = None

    def is_in(self, number: int) -> bool:
        """Whether the round, counted from 1, has it."""
        return self.first <= number and (self.last is None or number <= self.last)

    @property
    def table(self) -> dict[str, Any]:
        """As it stands in a recipe."""
        table: dict[str, Any] = {"name": self.name, "run": self.run}
        if (self.first, self.last) != (1, None):
            table["in_rounds"] = f"{self.first}-{self.last or ''}"
        return table | dict(self.flags)


def is_pending(path: str) -> bool:
    """Whether a path is one that a stage has yet to make: `{NAME}`, or below it."""
    return path.startswith("{")


@dataclass
class Made:
    """What the stages so far have made: outputs by name, the newest policy and the newest value model."""

    outputs: dict[str, str] = field(default_factory=dict)
    policy: str = ""
    value_model: str = ""


def read_stages(path: Path) -> list[Stage]:
    """The stages of a recipe; none where it has none.

    Raises:
        ValueError: a stage without a name or a part, or with others than there are; one line says which.
    """
    tables = tomllib.loads(path.read_text(encoding="utf-8")).get(STAGES, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ValueError(f"{path}: stages are tables under [[{STAGES}]], got {tables!r}")
    return [_stage(table, f"{path}: stage {place}") for place, table in enumerate(tables, start=1)]


def _stage(table: Mapping[str, Any], place: str) -> Stage:
    name, part = table.get("name", ""), table.get("run", "")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
        raise ValueError(
            f"{place} must have a name of small letters, digits and _, and not one of "
            f"{', '.join(RESERVED)}, got {name!r}"
        )
    if part not in PARTS:
        raise ValueError(f"{place}, {name}: run must be one of {', '.join(PARTS)}, got {part!r}")
    first, last = _rounds(str(table.get("in_rounds", "1-")), f"{place}, {name}")
    flags = {key: value for key, value in table.items() if key not in _OWN_KEYS}
    return Stage(name, part, flags, first, last)


def _rounds(text: str, place: str) -> tuple[int, int | None]:
    match = _ROUNDS.fullmatch(text)
    if not match or int(match[1]) < 1:
        raise ValueError(f"{place}: in_rounds must be as 1, 2- or 1-3, got {text!r}")
    first = int(match[1])
    if match[2] is None:
        return first, first
    return first, int(match[3]) if match[3] else None


def check_stages(stages: Sequence[Stage], num_rounds: int) -> None:
    """Refuse two stages of one name in a round, a round without stages, and outputs that nobody makes.

    Raises:
        ValueError: one line says which.
    """
    made: set[str] = set()
    for number in range(1, num_rounds + 1):
        here = [stage for stage in stages if stage.is_in(number)]
        if not here:
            raise ValueError(f"--rounds {num_rounds}: round {number} has no stage; see in_rounds")
        names = [stage.name for stage in here]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"round {number} has two stages {twice[0]}; give them other names or in_rounds"
            )
        for stage in here:
            if missing := sorted(set(_wanted(stage)) - made - set(RESERVED)):
                raise ValueError(
                    f"stage {stage.name} of round {number} wants {{{missing[0]}}}, which no stage "
                    f"before it makes; there are {', '.join(sorted({*made, *RESERVED}))}"
                )
            made.add(stage.name)


def _wanted(stage: Stage) -> Iterator[str]:
    for value in stage.flags.values():
        if isinstance(value, str):
            yield from _PLACEHOLDER.findall(value)


def own_flags(stage: Stage, base: Args, made: Made) -> dict[str, Any]:
    """The stage's flags, outputs put in, and the models it goes on from where it does not name them.

    Raises:
        ValueError: it names the newest value model, and there is none.
    """
    policy = made.policy or base.model.pretrain
    value_model = made.value_model or base.valuing.value_model
    known = made.outputs | {"base": base.model.pretrain, "pretrain": policy}
    known |= {"value_model": value_model} if value_model else {}

    def put_in(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise ValueError(f"there is no value model for {match[0]} yet; give --value_model")
        return known[match[1]]

    flags = {
        key: _PLACEHOLDER.sub(put_in, value) if isinstance(value, str) else value
        for key, value in stage.flags.items()
    }
    flags.setdefault("pretrain", policy)
    if value_model and stage.run != "label" and reads_steps(base, stage):
        flags.setdefault("value_model", value_model)
    return flags


def inherited(base: Args, stage: Stage, number: int) -> Args:
    """The flags above the stages that the stage's part reads, the others at their defaults.

    Flags of searches reach a stage that searches, by its own flags or by these.
    """
    owners = _INHERITED[stage.run]
    if not reads_steps(base, stage):
        owners = tuple(owner for owner in owners if owner not in _SEARCHING)
    defaults, own = Args(), base_of(stage.run)
    groups: dict[str, Any] = {
        owner: getattr(base, owner)
        for owner in owners
        if getattr(base, owner) != getattr(defaults, owner)
    }
    return replace(own, run=RunArgs(seed=base.run.seed + number - 1), **groups)


def base_of(part: str) -> Args:
    """The defaults of a part's command."""
    methods: dict[str, Method] = {"collect": "mcts", "search": "mcts", "verify": "maj"}
    return Args(search=SearchArgs(method=methods.get(part, "sample")))


def reads_steps(base: Args, stage: Stage) -> bool:
    """Whether flags of steps and of what values them mean something to the stage."""
    if stage.run in ("search", "label", "verify"):
        return True
    given = stage.flags.get
    if stage.run == "collect":
        return given("collect", "sample") != "sample"
    is_searched = given("method", base.search.method) != "sample"
    oracle = replace(base.oracle, oracle=str(given("oracle", base.oracle.oracle)))
    return is_searched or (stage.run == "train" and oracle.is_of_steps)
