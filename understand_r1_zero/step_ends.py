"""Where the steps of a sampled response end among its tokens, which are never tokenised again."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate


def sampled_step_ends(
    num_tokens: int, decode: Callable[[int], str], steps: Sequence[str]
) -> tuple[int, ...]:
    """The place of the last token of each of S steps, among the tokens that a response was sampled as.

    A token that reaches over the end of a step belongs to the later one, as in `encoding.last_tokens`; so
    does one that has the first bytes of a character which a later token completes. Tokens without
    text, such as an end of sequence, belong to the step before them. The last step ends with the
    response. A step with no token's end has the place before, at least 0.

    Takes `S log2 T` decodings: a longer beginning never has a shorter text.

    Args:
        num_tokens: T >= 1.
        decode: the text of so many tokens from the first on; all of them decode to the joined steps, and
            perhaps to more where a stop string has cut the text.
        steps: their texts, which join to the response's.
    """
    assert num_tokens > 0, "a response without a token has no step"
    text = "".join(steps)

    @cache
    def reach(count: int) -> int:
        """How many characters so many tokens touch; one that is not whole yet shows as another."""
        begun = decode(count)
        shared = _num_shared(begun, text)
        return shared if shared == len(begun) else shared + 1

    cuts = list(accumulate(map(len, steps)))
    counts = range(num_tokens + 1)
    ends = [max(0, bisect_right(counts, cut, key=reach) - 2) for cut in cuts[:-1]]
    return (*ends, num_tokens - 1) if steps else ()


def _num_shared(one: str, other: str) -> int:
    """The length of the longest beginning that both have."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
