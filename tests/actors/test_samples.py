import numpy as np
import pytest

from actors.samples import Sample, cut_after_stop
from understand_r1_zero.types import VersionSpan

PIECES = ["a", "b", "\n", "\nP", "ro", "blem", ":", " c", "</ans", "wer>", "!\n"]


def decode(token_ids):
    return "".join(PIECES[i] for i in token_ids)


def sample(token_ids, spans=None):
    token_ids = np.array(token_ids, np.int32)
    return Sample(
        decode(token_ids),
        token_ids,
        np.linspace(-1, 0, len(token_ids), dtype=np.float32),
        True,
        spans or (VersionSpan(1, len(token_ids)),),
    )


def test_a_sample_without_a_stop_string_is_unchanged():
    whole = sample([0, 1, 2])
    assert cut_after_stop(whole, ("</answer>",), decode) is whole
    assert cut_after_stop(whole, (), decode) is whole


def test_the_token_that_completes_the_string_is_the_last():
    cut = cut_after_stop(sample([0, 3, 4, 5, 6, 7, 1]), ("\nProblem:",), decode)
    assert cut.token_ids.tolist() == [0, 3, 4, 5, 6]
    assert cut.text == "a\nProblem:"
    assert not cut.is_truncated
    assert len(cut.sampler_logprobs) == 5
    assert cut.version_spans == (VersionSpan(1, 5),)


def test_the_text_ends_with_the_string_though_the_token_goes_on():
    cut = cut_after_stop(sample([0, 10, 1]), ("!",), decode)
    assert cut.token_ids.tolist() == [0, 10]
    assert cut.text == "a!"


def test_the_first_of_several_strings_counts():
    cut = cut_after_stop(sample([0, 8, 9, 3, 4, 5, 6]), ("\nProblem:", "</answer>"), decode)
    assert cut.text == "a</answer>"


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ((VersionSpan(1, 2), VersionSpan(2, 5)), (VersionSpan(1, 2), VersionSpan(2, 3))),
        ((VersionSpan(1, 5), VersionSpan(2, 2)), (VersionSpan(1, 5),)),
        ((VersionSpan(1, 6), VersionSpan(2, 1)), (VersionSpan(1, 5),)),
    ],
)
def test_version_spans_are_cut_too(spans, expected):
    cut = cut_after_stop(sample([0, 3, 4, 5, 6, 7, 1], spans), ("\nProblem:",), decode)
    assert cut.version_spans == expected
