"""How far two texts are from each other, in insertions, deletions and replacements of characters."""


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's distance, in `len(other)` operations on integers of `len(one)` bits.

    Source: Hyyrö 2003, A bit-vector algorithm for computing Levenshtein and Damerau edit distances, after Myers 1999.
    """
    one, other = _without_common_ends(one, other)
    if not one or not other:
        return len(one) + len(other)
    places: dict[str, int] = {}
    for index, char in enumerate(one):
        places[char] = places.get(char, 0) | 1 << index
    mask, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    # Bit i: in this column of the table, row i + 1 is one more (or less) than row i.
    more, less, distance = mask, 0, len(one)
    for char in other:
        same = places.get(char, 0)
        diagonal = ((((same & more) + more) ^ more) | same | less) & mask
        risen = less | (mask & ~(diagonal | more))
        fallen = diagonal & more
        distance += bool(risen & last) - bool(fallen & last)
        risen = (risen << 1 | 1) & mask
        fallen = (fallen << 1) & mask
        more = fallen | (mask & ~(diagonal | risen))
        less = diagonal & risen
    return distance


def normalised_distance(one: str, other: str) -> float:
    """`edit_distance / (len(one) + len(other))`, from 0 to 1, at most 1/2 for texts of one length; 0 for two empty ones.

    Source: Self-Explore, Hwang et al. 2024, arXiv:2404.10346, in its code for pairs.
    """
    return edit_distance(one, other) / max(len(one) + len(other), 1)


def _without_common_ends(one: str, other: str) -> tuple[str, str]:
    start, shorter = 0, min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    end, shorter = 0, shorter - start
    while end < shorter and one[-1 - end] == other[-1 - end]:
        end += 1
    return one[: len(one) - end], other[: len(other) - end]
