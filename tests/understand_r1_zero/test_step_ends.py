"""Ends of steps among sampled tokens, against a plain count of bytes and against the tokenizer's offsets."""

import random

import pytest
from transformers import AutoTokenizer

from understand_r1_zero.encoding import last_tokens
from understand_r1_zero.step_ends import sampled_step_ends

TOKENIZER = AutoTokenizer.from_pretrained("examples/tiny/stepper")
END = TOKENIZER.convert_tokens_to_ids("<|im_end|>")
START = TOKENIZER.convert_tokens_to_ids("<|im_start|>")


def decoder(token_ids):
    return lambda count: TOKENIZER.decode(
        token_ids[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def ends_of(pieces, steps):
    """Of tokens that are these byte strings, as a byte-level tokenizer decodes them."""

    def decode(count):
        return b"".join(pieces[:count]).decode(errors="replace")

    return sampled_step_ends(len(pieces), decode, steps)


@pytest.mark.parametrize(
    ("pieces", "steps", "ends"),
    [
        ([b"1+2=3", b"\n", b"3+4", b"=7"], ["1+2=3\n", "3+4=7"], (1, 3)),
        # A token that reaches over the cut is the later step's.
        ([b"a", b"b\nc", b"d"], ["ab\n", "cd"], (0, 2)),
        # One whose text is a whole step and more: that step has the end before it, at least 0.
        ([b"a\nb\nc", b"d"], ["a\n", "b\n", "cd"], (0, 0, 1)),
        # The first byte of a character, without which the cut would lie a token later.
        ([b"a\n", b"\xe2", b"\x82\xac", b"b"], ["a\n", "\u20acb"], (0, 3)),
        ([b"a\n\xe2", b"\x82\xac"], ["a\n", "\u20ac"], (0, 1)),
        # A character that never becomes whole.
        ([b"\xe2", b"\n", b"b"], ["\ufffd\n", "b"], (1, 2)),
        # No text: of the step before; a stop string cut off what the last token has besides.
        ([b"a\n", b"", b"b", b""], ["a\n", "b"], (1, 3)),
        ([b"a\n", b"b\n\nProblem"], ["a\n", "b\n\n"], (0, 1)),
        ([b"a"], ["a"], (0,)),
        ([b"a"], [], ()),
    ],
)
def test_ends_by_hand(pieces, steps, ends):
    assert ends_of(pieces, steps) == ends


def plain_ends(pieces, steps):
    """By the bytes: a token is in a step if all of its bytes are before the step's end."""
    cuts, done = [], 0
    for step in steps:
        done += len(step.encode())
        cuts.append(done)
    stops = [len(b"".join(pieces[: count + 1])) for count in range(len(pieces))]
    ends = [max(0, sum(stop <= cut for stop in stops) - 1) for cut in cuts]
    return (*ends[:-1], len(pieces) - 1)


@pytest.mark.parametrize("seed", range(200))
def test_any_cutting_of_any_text_into_tokens_gives_what_the_bytes_say(seed):
    rng = random.Random(seed)
    steps = [
        "".join(rng.choices("ab1=\n \u00e9\u20ac\U0001f600\u4e2d", k=rng.randint(1, 8)))
        for _ in range(rng.randint(1, 6))
    ]
    text = "".join(steps).encode()
    cuts = sorted(rng.choices(range(len(text) + 1), k=rng.randint(0, len(text))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert ends_of(pieces, steps) == plain_ends(pieces, steps)


@pytest.mark.parametrize("seed", range(50))
def test_the_tokenizers_own_tokens_give_what_training_data_has(seed):
    rng = random.Random(seed)
    words = [
        "1+2=3",
        "\n",
        "Step 1: ",
        " \u00e9",
        "\u20ac",
        "The answer is \\boxed{3}.",
        "\U0001f600",
        "x\n\n",
    ]
    steps = ["".join(rng.choices(words, k=rng.randint(1, 5))) for _ in range(rng.randint(1, 5))]
    token_ids, expected = last_tokens(TOKENIZER, steps)
    found = sampled_step_ends(len(token_ids), decoder(token_ids), steps)
    assert found == (*expected[:-1], len(token_ids) - 1)
    # The end of the sequence is the last step's; special tokens within have no text.
    ended = [*token_ids, END]
    assert sampled_step_ends(len(ended), decoder(ended), steps) == (*found[:-1], len(token_ids))
    marked = [START, *token_ids]
    shifted = tuple(end + 1 for end in found)
    assert sampled_step_ends(len(marked), decoder(marked), steps)[:-1] == shifted[:-1]


@pytest.mark.parametrize("seed", range(50))
def test_random_tokens_end_in_order_and_never_after_their_text(seed):
    rng = random.Random(seed)
    token_ids = rng.choices(range(len(TOKENIZER)), k=rng.randint(1, 40))
    text = decoder(token_ids)(len(token_ids))
    cuts = sorted(rng.choices(range(len(text) + 1), k=3))
    steps = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    ends = sampled_step_ends(len(token_ids), decoder(token_ids), steps)
    assert list(ends) == sorted(ends) and ends[-1] == len(token_ids) - 1
    for cut, end in zip(cuts, ends, strict=False):
        begun = decoder(token_ids)(end + 1)
        assert end == 0 or len(begun) <= cut or begun == text[: len(begun)]
