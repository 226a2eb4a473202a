"""Files that a command goes on with where it stopped: a line for each place, in the order in which they came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understand_r1_zero.search.records import cut_to_whole_lines, read_records


@dataclass(frozen=True)
class Lines:
    """What the lines of a file are.

    Args:
        name: of one and what it is of, as "tree of these questions".
        source: where other ones would have come from, as "the --qaf it was made from".
        facts_key: of the record's own facts, `place` among them.
        identity: by which a record is recognised; of a foreign record it may raise KeyError or TypeError.
        made: facts, with the values that those of every line must have.
    """

    name: str
    source: str
    facts_key: str
    identity: Callable[[Mapping[str, Any]], str]
    made: Mapping[str, Any]


def places_done(output: Path, identities: Sequence[str], lines: Lines) -> set[int]:
    """The places whose lines are in the file; its last line, if it was cut, is dropped.

    Args:
        output: the file, which need not be there.
        identities: of what belongs at each place.
        lines: what the lines are.

    Raises:
        ValueError: the file is of something else, or was made in another way.
    """
    cut_to_whole_lines(output)
    done = set()
    for number, record in enumerate(read_records(output), start=1):
        facts = record.get(lines.facts_key)
        facts = facts if isinstance(facts, dict) else {}
        place = facts.get("place", -1)
        is_known = 0 <= place < len(identities)
        if not is_known or _identity(record, lines) != identities[place]:
            raise ValueError(
                f"--output {output}, line {number} is no {lines.name}; give another --output, or "
                f"{lines.source}"
            )
        for name, value in lines.made.items():
            if facts.get(name) != value:
                raise ValueError(
                    f"--output {output}, line {number} was made with {name} {facts.get(name)}, and not "
                    f"{value}; give another --output"
                )
        done.add(place)
    return done


def _identity(record: Mapping[str, Any], lines: Lines) -> str | None:
    try:
        return lines.identity(record)
    except (KeyError, TypeError):
        return None
