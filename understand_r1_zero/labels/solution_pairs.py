"""Pairs of a right and a wrong solution of one problem, far apart, or of the most and the least valued one.

Source: Self-Explore, Hwang et al. 2024, arXiv:2404.10346; hbin0701/Self-Explore, `gen/get_dpo_data.py`: GSM8K's
rule with `--label_distinct equations`, MATH's with `--label_distinct distance --pair_distances 0.5,0.4,0.3
--pair_wrong 24`, both with the default of 8 pairs.

Departures. Self-Explore's code goes through sets and shuffles; here solutions come in the order of the file, so that
equal files give equal pairs. Complete responses are those that were not cut, where the code asks that "The
answer is" stands in the last line, and cuts what follows.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.distinct import distant, distinct, exactly_distinct
from understand_r1_zero.labels.edit_distance import edit_distance, normalised_distance
from understand_r1_zero.labels.solutions import LeftOut
from understand_r1_zero.labels.sources import ProblemGroup
from understand_r1_zero.search.codecs.step import StepCodec


def rows(
    groups: Iterable[ProblemGroup],
    args: LabelArgs,
    codec: StepCodec,
    left_out: LeftOut,
) -> Iterator[dict[str, Any]]:
    """Rows {prompt, chosen, rejected}, `--pairs_per_problem` of a problem at most.

    Each right solution that `--label_distinct` keeps gets, in order, a wrong one by `farthest` or
    `shortest_beyond` (`--pair_distances`), which is then used up. Solutions are the responses and the graded
    ends of the trees; responses that were cut, or are not graded, are left out.

    With `--pair_by value` it is a row a problem: the solution of the highest value of the trees' oracle against that of
    the lowest, the first of several, where they differ by more than `--pair_margin`. Source: Self-Rewarding, Yuan et
    al. 2024, arXiv:2401.10020, section 2.4, with `--search_oracle self_critic`.

    A row also has the `problem` and its `answer`, which exploring its rejected solution needs. `left_out` counts by
    reason what no row is made of.

    Raises:
        ValueError: `--pair_distances` cannot be read.
    """
    distances = read_distances(args.pair_distances)
    for group in groups:
        prompt = codec.prompt(group.question)
        if args.pair_by == "value":
            yield from _by_value(group, prompt, args, left_out)
            continue
        right, wrong = _solutions(group, left_out)
        chosen = [right[place] for place in distinct(right, args, args.pairs_per_problem)]
        pool = [wrong[place] for place in _kept_wrong(wrong, args)]
        left_out["right solutions like another one, or beyond --pairs_per_problem"] += len(
            right
        ) - len(chosen)
        left_out["right solutions without a wrong one"] += max(len(chosen) - len(pool), 0)
        for solution in chosen[: len(pool)]:
            place = (
                shortest_beyond(solution, pool, distances)
                if distances
                else farthest(solution, pool)
            )
            yield _row(group, prompt, solution, pool.pop(place))


def farthest(solution: str, pool: Sequence[str]) -> int:
    """The place of the text of the largest edit distance, the last one of several.

    Source: Self-Explore's pairs of GSM8K.
    """
    distances = [edit_distance(solution, text) for text in pool]
    return max(range(len(pool)), key=lambda place: (distances[place], place))


def shortest_beyond(solution: str, pool: Sequence[str], distances: Sequence[float]) -> int:
    """The place of the shortest text farther than the first of the distances that any exceeds.

    Distances are `normalised_distance`, in the order given; where no text exceeds any of them, the shortest of
    all is taken: a long one may be far by repeating itself. Of equally short ones it is the nearest.

    Source: Self-Explore's pairs of MATH, with 0.5, 0.4, 0.3.
    """
    found = [normalised_distance(solution, text) for text in pool]
    for least in (*distances, -1.0):
        beyond = [place for place, distance in enumerate(found) if distance > least]
        if beyond:
            return min(beyond, key=lambda place: (len(pool[place]), found[place]))
    raise AssertionError("every distance is more than -1")


def read_distances(text: str) -> list[float]:
    """`--pair_distances` as numbers; none where it is empty.

    Raises:
        ValueError: one is no number from 0 to 1.
    """
    try:
        found = [float(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        found = [-1.0]
    if not all(0 <= distance < 1 for distance in found):
        raise ValueError(
            f"--pair_distances must be numbers from 0 to 1, with commas between, got {text!r}; "
            "Self-Explore's are 0.5,0.4,0.3"
        )
    return found


def _by_value(
    group: ProblemGroup, prompt: str, args: LabelArgs, left_out: LeftOut
) -> Iterator[dict[str, Any]]:
    found = [
        (value, tree.text(end))
        for tree in group.trees
        for end in tree.finals()
        if (value := tree.nodes[end].value) is not None
    ]
    best = max(found, key=lambda each: each[0], default=(0.0, ""))
    worst = min(found, key=lambda each: each[0], default=(0.0, ""))
    if best[0] - worst[0] > args.pair_margin:
        yield _row(group, prompt, best[1], worst[1])
    else:
        left_out["problems whose solutions are of one value"] += 1


def _row(group: ProblemGroup, prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "chosen_is_whole": True,
        "rejected_is_whole": True,
        "problem": group.question,
        "answer": group.golds[0] if len(group.golds) == 1 else list(group.golds),
    }


def _solutions(group: ProblemGroup, left_out: LeftOut) -> tuple[list[str], list[str]]:
    """The texts of the right and of the wrong solutions, each in order."""
    found = [(r.text, r.is_right) for r in group.responses if not r.is_truncated]
    left_out["responses that were cut"] += len(group.responses) - len(found)
    left_out["responses of unknown worth"] += sum(is_right is None for _, is_right in found)
    for tree in group.trees:
        found += [
            (tree.text(end), reward > 0)
            for end, node in enumerate(tree.nodes)
            if (reward := node.reward) is not None and node.answer is not None
        ]
    found = [(text, is_right) for text, is_right in found if text.strip()]
    return [text for text, is_right in found if is_right], [
        text for text, is_right in found if is_right is False
    ]


def _kept_wrong(wrong: Sequence[str], args: LabelArgs) -> list[int]:
    """Wrong solutions are different by their distance, where right ones are, else by their whole texts."""
    match args.label_distinct:
        case "distance":
            return distant(wrong, args.label_distance, args.pair_wrong)
        case "none":
            kept = list(range(len(wrong)))
        case _:
            kept = exactly_distinct(wrong)
    return kept[: args.pair_wrong or None]
