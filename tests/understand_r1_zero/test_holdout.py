"""Which examples are held out."""

import numpy as np
import pytest

from understand_r1_zero.encoding import SupervisedExample
from understand_r1_zero.holdout import hold_out


def example(prompt: int) -> SupervisedExample:
    return SupervisedExample(np.array([prompt]), np.array([1]), np.array([True]))


def test_what_is_held_out_has_other_prompts_and_follows_from_the_seed():
    examples = [example(i % 10) for i in range(40)]
    training, held_out = hold_out(examples, 0.3, seed=1)
    assert (len(training), len(held_out)) == (28, 12)
    prompts = [{int(each.prompt_token_ids[0]) for each in part} for part in (training, held_out)]
    assert not prompts[0] & prompts[1]
    assert len(prompts[1]) == 3
    assert hold_out(examples, 0.3, seed=1) == (training, held_out)
    assert hold_out(examples, 0.3, seed=2)[1] != held_out
    assert hold_out(examples, 0.0, seed=1) == (examples, [])


@pytest.mark.parametrize(("share", "num_held_out"), [(0.01, 0), (0.99, 10)])
def test_a_share_that_leaves_one_side_empty_is_refused(share, num_held_out):
    message = f"--holdout {share} of 10 different prompts leaves {num_held_out} held out"
    with pytest.raises(ValueError, match=message):
        hold_out([example(i) for i in range(10)], share, seed=0)
