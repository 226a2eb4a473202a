"""What labels are made of: the trees or the responses of a file, gathered by problem."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass
class LabelSource:
    """A file of trees or of responses, of which only where its records lie is held in memory.

    `places` are the bytes at which each problem's records begin, problems in the order in which they first
    appear; `made_by` what the records say of policy, grading preset and oracle, every value once.
    """

    path: Path
    kind: Kind
    places: dict[Key, list[int]]
    made_by: dict[str, list[str]] = field(default_factory=dict)

    def groups(self, grade: Grade) -> Iterator[ProblemGroup]:
        """The problems. Records of equal questions with equal golds are of one; what is graded is not graded again."""
        with self.path.open("rb") as file:
            for (question, golds), places in self.places.items():
                records = [_record_at(file, place) for place in places]
                if self.kind == "trees":
                    trees = tuple(map(from_record, records))
                    _reward_ends(trees, golds, grade)
                    yield ProblemGroup(question, golds, trees=trees)
                else:
                    found = tuple(each for record in records for each in _responses(record))
                    yield ProblemGroup(question, golds, responses=_graded(found, golds, grade))


def open_source(path: Path) -> LabelSource:
    """Read what a file holds: trees (`records.to_record`, or Super_MARIO's and rStar-Math's) or responses.

    A last line that was cut, as by a run that was killed, is passed over.

    Raises:
        ValueError: there is no such file, it has no record, or a line is neither; it is named.
    """
    if not path.is_file():
        raise ValueError(f"--label_from must be a file of trees or of responses, got {str(path)!r}")
    places: dict[Key, list[int]] = {}
    makers: dict[str, dict[str, None]] = {}
    kind: Kind | None = None
    for number, (place, record) in enumerate(_records(path), start=1):
        found = _kind_of(record)
        if found is None or found != (kind or found):
            wanted = kind or f"trees ({', '.join(MARIO_KEYS)}) or responses ({RESPONSES_KEY})"
            raise ValueError(f"{path}, line {number}: {wanted} expected; it has {', '.join(record)}")
        kind = found
        try:
            places.setdefault(_key_of(record, kind), []).append(place)
            _check(record, kind)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        facts = record.get(FACTS_KEY if kind == "trees" else OUR_KEY)
        for name in MAKERS if isinstance(facts, Mapping) else ():
            if facts.get(name) is not None:
                makers.setdefault(name, {})[str(facts[name])] = None
    if kind is None:
        raise ValueError(f"--label_from {path} has no records")
    return LabelSource(path, kind, places, {name: list(found) for name, found in makers.items()})


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each record with the byte at which it begins."""
    place = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line) if line.strip() else {}
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise ValueError(f"{path}, line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"{path}, line {number}: it is no record")
            if record:
                yield place, record
            place += len(line)


def _record_at(file: BinaryIO, place: int) -> dict[str, Any]:
    file.seek(place)
    return json.loads(file.readline())


def _kind_of(record: Mapping[str, Any]) -> Kind | None:
    if any(key in record for key in MARIO_KEYS):
        return "trees"
    return "responses" if RESPONSES_KEY in record else None


def _key_of(record: Mapping[str, Any], kind: Kind) -> Key:
    if kind == "trees":
        return question_of(record), parse_answers(golds_of(record))
    question = record.get("prompt") or question_of(record)
    if not isinstance(question, str) or not question.strip():
        raise ValueError("'prompt' has no problem")
    return question, parse_answers(golds_of(record))


def _check(record: Mapping[str, Any], kind: Kind) -> None:
    """Raise where `LabelSource.groups` would, which comes to it after the output was begun."""
    if kind == "trees":
        from_record(record)
    else:
        _responses(record)


def _responses(record: Mapping[str, Any]) -> list[GivenResponse]:
    texts = record[RESPONSES_KEY]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{RESPONSES_KEY!r} is no list of texts")
    own = record.get(OUR_KEY)
    if own is None:
        return [GivenResponse(text, any_form(text), None, False) for text in texts]
    columns = [own[name] for name in ("statuses", "answers", "truncated")]
    if any(len(column) != len(texts) for column in columns):
        raise ValueError(f"{OUR_KEY!r} is not of {len(texts)} responses")
    return [
        GivenResponse(text, answer, _is_right(Status(status)), is_truncated)
        for text, status, answer, is_truncated in zip(texts, *columns, strict=True)
    ]


def _is_right(status: Status) -> bool | None:
    return None if status in UNDECIDED else status is Status.CORRECT
