"""Both kinds of critic on the real engine: `critic_process.py` trains them, in one process and in two."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn
from transformers import AutoTokenizer

from learners.value_model import HEAD, save_value_model, value_head
from tests.learners.agreement import assert_same_metrics, assert_same_weights
from tests.learners.conftest import make_qwen2, run_ranks
from tests.learners.critic_process import FLAGS
from tests.learners.plain_critic import plain_update

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.xdist_group("critic_process")]

PROGRAM = Path(__file__).with_name("critic_process.py")
KINDS = tuple(FLAGS)
LEARNING_RATE = 1e-2


@pytest.fixture(scope="session")
def place(laboratory):
    """The laboratory's model, and a critic that has opinions."""
    directory = laboratory / "critic"
    directory.mkdir()
    (directory / "model").symlink_to(laboratory / "model")
    model = make_qwen2()
    head = value_head(model, "", seed=0)
    nn.init.normal_(head.weight, std=0.5)
    nn.init.constant_(head.bias, 0.3)
    tensors = dict(model.state_dict()) | {f"{HEAD}.{n}": t for n, t in head.state_dict().items()}
    (directory / "value_model").mkdir()
    save_value_model(directory / "value_model", model, tensors, "none")
    AutoTokenizer.from_pretrained(laboratory / "model").save_pretrained(directory / "value_model")
    return directory


@pytest.fixture(scope="session")
def alone(place):
    return run_ranks(place, world_size=1, program=PROGRAM)[0]


@pytest.fixture(scope="session")
def pair(place):
    return run_ranks(place, world_size=2, program=PROGRAM)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_update_equals_a_plain_loop(place, alone, kind):
    metrics = alone["first_update"][kind]["metrics"][0]
    for key, value in plain_update(place, kind).items():
        assert metrics[key] == pytest.approx(value, rel=1e-4), key


def assert_same_learning(found, expected):
    assert_same_metrics(found, expected)
    assert_same_weights(found, expected, LEARNING_RATE)
    critics = ({"weights": each["critic"]} for each in (found, expected))
    assert_same_weights(*critics, LEARNING_RATE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_zero_stage_learns_the_same(alone, kind, stage):
    assert_same_learning(alone["stages"][kind, stage], alone["stages"][kind, 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_learn_what_one_does(alone, pair, kind, stage):
    assert_same_learning(pair[0]["stages"][kind, stage], alone["stages"][kind, stage])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["many", "packed", "shuffled"])
def test_rows_micro_batches_and_order_do_not_matter(alone, kind, split):
    assert_same_learning(alone["splits"][kind, split], alone["splits"][kind, "one"])


def test_the_critic_learns_alone_while_it_warms_up(alone):
    found = alone["warm_up"]
    before, alone_, both = found["before"], found["alone"], found["both"]
    for name, tensor in before.items():
        assert np.array_equal(alone_["weights"][name], tensor), name
    losses = [m["train/critic_loss"] for m in alone_["metrics"]]
    assert all(m["train/critic_grad_norm"] > 0 for m in alone_["metrics"]), losses
    assert any(not np.array_equal(both["weights"][name], tensor) for name, tensor in before.items())
    assert alone_["first_step"]["train/ratio_mean"] == 1.0
    assert both["metrics"][0]["train/policy_grad_norm"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_critic_goes_on_bit_by_bit(alone, pair, kind):
    for found in (alone, *pair):
        straight, resumed = found["resume"][kind]
        assert resumed["metrics"] == straight["metrics"]
        for name, tensor in straight["critic"].items():
            assert np.array_equal(resumed["critic"][name], tensor), name
