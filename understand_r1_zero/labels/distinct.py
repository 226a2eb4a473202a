"""Which solutions of one problem count as different: by their words, their equations, or how far apart they are.

Source: Yuan et al. 2023, arXiv:2308.01825, section 3.3; Self-Explore, Hwang et al. 2024, arXiv:2404.10346,
and its code (hbin0701/Self-Explore, `gen/get_rft_data.py`).
"""

from collections.abc import Callable, Hashable, Sequence

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.edit_distance import edit_distance
from understand_r1_zero.rejection import by_equations, by_text


def distinct(texts: Sequence[str], args: LabelArgs, limit: int = 0) -> list[int]:
    """The places of the texts that `--label_distinct` keeps, at most `limit` (0: all), in the order given."""
    match args.label_distinct:
        case "text":
            return _first(texts, by_text, limit)
        case "equations":
            return distinct_equations(texts, limit)
        case "distance":
            return distant(texts, args.label_distance, limit)
        case "none":
            return list(range(len(texts)))[: limit or None]


def exactly_distinct(texts: Sequence[str]) -> list[int]:
    """The places of texts that differ in more than the white space around them, the first of each."""
    return _first(texts, str.strip, 0)


def distinct_equations(texts: Sequence[str], limit: int = 0) -> list[int]:
    """One text a list of equations, the one farther from the rest, at most `limit` lists (0: all).

    A text whose equations do not all hold is left out. Of two with the same equations, the later one takes the
    place of the kept one if its edit distances to the kept texts of other equations sum to more.

    Source: Self-Explore's filter of GSM8K, which keeps the first 8 lists.

    Departs: equations are found anywhere (equations.py), where the code reads `<<...>>` alone; they
    hold to their last digit, where the code allows for 0.001; without any, the words count, where the code
    takes all such texts for one.
    """
    kept: dict[Hashable, int] = {}
    for place, text in enumerate(texts):
        key = by_equations(text)
        if key is None:
            continue
        if key in kept:
            others = [texts[other] for same, other in kept.items() if same != key]
            if _total_distance(text, others) <= _total_distance(texts[kept[key]], others):
                continue
        # A key keeps its place in a dict.
        kept[key] = place
    return list(kept.values())[: limit or None]


def distant(texts: Sequence[str], min_distance: float, limit: int = 0) -> list[int]:
    """Texts farther than `min_distance` from all that are kept before, at most `limit` (0: all).

    The distance of a text from a kept one is `edit distance / (len(text) + len(kept) // 2)`: the code's own,
    odd denominator, by which texts of one length are up to 2/3 apart, and not 1/2.

    Source: Self-Explore's filter of MATH, with 0.2, 8 right and 24 wrong solutions.

    Departs: texts come in their order, where the code shuffles them.
    """
    kept: list[int] = []
    for place, text in enumerate(texts):
        if 0 < limit <= len(kept):
            break
        if all(_is_distant(text, texts[other], min_distance) for other in kept):
            kept.append(place)
    return kept


def _is_distant(text: str, kept: str, min_distance: float) -> bool:
    return edit_distance(text, kept) > min_distance * (len(text) + len(kept) // 2)


def _total_distance(text: str, others: Sequence[str]) -> int:
    return sum(edit_distance(text, other) for other in others)


def _first(texts: Sequence[str], key_of: Callable[[str], Hashable], limit: int) -> list[int]:
    kept: dict[Hashable, int] = {}
    for place, text in enumerate(texts):
        kept.setdefault(key_of(text), place)
    return list(kept.values())[: limit or None]
