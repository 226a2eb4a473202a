"""What labels are made of: the trees or the responses of a file, gathered by problem."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from understand_r1_zero.data import parse_answers
from understand_r1_zero.grading.extraction import any_form
from understand_r1_zero.grading.grader import FAILED
from understand_r1_zero.search.records import (
    FACTS_KEY,
    MARIO_KEYS,
    OUR_KEY,
    from_record,
    golds_of,
    question_of,
)
from understand_r1_zero.search.tree import SearchTree
from understand_r1_zero.types import Status

RESPONSES_KEY = "preds"
"""Where Self-Explore's files, and ours, have the responses to a problem."""
MAKERS = ("policy", "preset", "oracle")
"""What a record says of how it was made."""
UNDECIDED = (Status.UNKNOWN, *FAILED)
"""Statuses of an answer of which nothing is known."""

Kind = Literal["trees", "responses"]
Key = tuple[str, tuple[str, ...]]
"""A problem's text and its golds."""
Grade = Callable[[Sequence[str | None], tuple[str, ...]], list[bool | None]]
"""Whether answers to a problem are among its golds; None where nothing is known of one."""


@dataclass(frozen=True, slots=True)
class GivenResponse:
    """One response to a problem; `is_right` is None where nothing is known of its answer."""

    text: str
    answer: str | None
    is_right: bool | None
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """A problem with its trees, or with its responses, in the order of their file.

    Every end of a tree that has an answer has its reward, 1 or -1, and none where nothing is known of the answer.
    """

    question: str
    golds: tuple[str, ...]
    trees: tuple[SearchTree, ...] = ()
    responses: tuple[GivenResponse, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A record's line, counted from 1, and the byte at which it begins."""

    line: int
    start: int


@dataclass(frozen=True)
class LabelSource:
    """A file of trees or of responses, of which only where its records lie is held in memory.

    `places` are those of each problem's records, problems in the order in which they first appear; `made_by` is
    what the records say of policy, grading preset and oracle, every value once.
    """

    path: Path
    kind: Kind
    places: dict[Key, list[Place]]
    made_by: dict[str, list[str]]

    def groups(self, grade: Grade) -> Iterator[ProblemGroup]:
        """The problems; records of equal questions with equal golds are of one.

        What the file says nothing of is graded, and nothing else.

        Raises:
            ValueError: a line is at fault; it is named.
        """
        with self.path.open("rb") as file:
            for (question, golds), places in self.places.items():
                trees: list[SearchTree] = []
                responses: list[GivenResponse] = []
                for place in places:
                    try:
                        record = _record_at(file, place)
                        if self.kind == "trees":
                            trees.append(_tree(record, golds, grade))
                        else:
                            responses += _responses(record, golds, grade)
                    except (ValueError, TypeError, KeyError, AttributeError) as error:
                        raise ValueError(f"{self.path}, line {place.line}: {error}") from error
                yield ProblemGroup(question, golds, tuple(trees), tuple(responses))


def open_source(path: Path) -> LabelSource:
    """What a file holds: trees (`records.to_record`'s, Super_MARIO's or rStar-Math's), or responses.

    A last line that was cut, as by a run that was killed, is passed over.

    Raises:
        ValueError: there is no such file, it has no record, or a line is of another kind; it is named.
    """
    if not path.is_file():
        raise ValueError(f"--label_from must be a file of trees or of responses, got {str(path)!r}")
    places: dict[Key, list[Place]] = {}
    makers: dict[str, dict[str, None]] = {}
    kind: Kind | None = None
    for place, record in _records(path):
        found = _kind_of(record)
        if found is None or found != (kind or found):
            wanted = kind or f"trees ({', '.join(MARIO_KEYS)}) or responses ({RESPONSES_KEY})"
            raise ValueError(
                f"{path}, line {place.line}: {wanted} expected, got a row with {', '.join(record)}"
            )
        kind = found
        key = _question(record), parse_answers(golds_of(record))
        if not key[0].strip():
            raise ValueError(f"{path}, line {place.line}: it has no problem")
        places.setdefault(key, []).append(place)
        for name, maker in _makers(record, kind):
            makers.setdefault(name, {})[maker] = None
    if kind is None:
        raise ValueError(f"--label_from {path} has no records")
    return LabelSource(path, kind, places, {name: list(each) for name, each in makers.items()})


def _records(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place, start = Place(number, start), start + len(line)
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise ValueError(f"{path}, line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"{path}, line {number}: it is no record")
            yield place, record


def _record_at(file: BinaryIO, place: Place) -> dict[str, Any]:
    file.seek(place.start)
    return json.loads(file.readline())


def _kind_of(record: Mapping[str, Any]) -> Kind | None:
    if any(key in record for key in MARIO_KEYS):
        return "trees"
    return "responses" if RESPONSES_KEY in record else None


def _question(record: Mapping[str, Any]) -> str:
    """Responses have it under `prompt`; rows of pairs with the tree of one have it there too."""
    return question_of(record) or str(record.get("prompt") or "")


def _makers(record: Mapping[str, Any], kind: Kind) -> Iterator[tuple[str, str]]:
    facts = record.get(FACTS_KEY if kind == "trees" else OUR_KEY)
    if isinstance(facts, dict):
        for name in MAKERS:
            if facts.get(name) is not None:
                yield name, str(facts[name])


def _tree(record: Mapping[str, Any], golds: tuple[str, ...], grade: Grade) -> SearchTree:
    """The tree, with a reward for every end whose answer is known to be right or wrong."""
    tree = from_record(record)
    ends = [tree.nodes[number] for number in tree.finals()]
    ends = [node for node in ends if node.reward is None]
    for node, is_right in zip(ends, grade([node.answer for node in ends], golds), strict=True):
        if is_right is not None:
            node.reward = 1.0 if is_right else -1.0
    return tree


def _responses(
    record: Mapping[str, Any], golds: tuple[str, ...], grade: Grade
) -> list[GivenResponse]:
    texts = record[RESPONSES_KEY]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{RESPONSES_KEY!r} is no list of texts")
    own = record.get(OUR_KEY)
    if own is None:
        answers = [any_form(text) for text in texts]
        graded = zip(texts, answers, grade(answers, golds), strict=True)
        return [GivenResponse(text, answer, is_right, False) for text, answer, is_right in graded]
    columns = [own[name] for name in ("statuses", "answers", "truncated")]
    if any(len(column) != len(texts) for column in columns):
        raise ValueError(f"{OUR_KEY!r} is not of {len(texts)} responses")
    return [
        GivenResponse(text, answer, is_right_by(Status(status)), is_truncated)
        for text, status, answer, is_truncated in zip(texts, *columns, strict=True)
    ]


def is_right_by(status: Status) -> bool | None:
    """Whether a response with this status is right; None where nothing is known of it."""
    return None if status in UNDECIDED else status is Status.CORRECT
