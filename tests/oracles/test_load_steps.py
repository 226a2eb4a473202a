import asyncio
from dataclasses import replace

import numpy as np
import pytest
from transformers import AutoTokenizer

from oracles.combined import CombinedOracle
from oracles.load_steps import FACTORIES, Parts, load_step_oracle
from oracles.monte_carlo import FirstErrorOracle, MonteCarloOracle
from oracles.outcome import OutcomeOracle
from oracles.prm import ClassifierPrm, GenerativePrm
from oracles.remote import RemoteOracle
from oracles.self_critic import SelfCriticOracle
from oracles.tree import TreeOracle
from oracles.value import ValueOracle
from understand_r1_zero.args import TINY_MODEL
from understand_r1_zero.args_search import StepOracleArgs
from understand_r1_zero.search.grow import Rules
from understand_r1_zero.search.oracle_names import STEP_ORACLES
from understand_r1_zero.search.selection import own_value
from understand_r1_zero.search.step_oracle import SIGNED
from understand_r1_zero.templates import TEMPLATES

FLAGS = StepOracleArgs(value_model=TINY_MODEL, remote_url="http://127.0.0.1:1")


@pytest.fixture
def parts(repository, grade):
    """Every part, none of which is called."""
    tokenizer = AutoTokenizer.from_pretrained(repository / "examples" / "tiny" / "model")
    tokenizer.add_tokens(["ки"])
    return {
        "grade": grade,
        "complete": grade,
        "write": grade,
        "read_logprobs": grade,
        "make_expand": grade,
        "make_evaluate": grade,
        "tree_rules": Rules(own_value),
        "read_outputs": grade,
        "tokenizer": tokenizer,
        "prompt": TEMPLATES["no"].render,
        "flags": FLAGS,
    }


def test_every_name_makes_its_oracle(parts):
    kinds = {
        "math": OutcomeOracle,
        "value": ValueOracle,
        "prm": ClassifierPrm,
        "monte_carlo": MonteCarloOracle,
        "tree": TreeOracle,
        "self_critic": SelfCriticOracle,
        "remote": RemoteOracle,
    }
    assert set(kinds) == set(FACTORIES) == set(STEP_ORACLES)
    for name, kind in kinds.items():
        assert type(load_step_oracle(f"{name}=0.5", Parts(**parts))) is kind


@pytest.mark.parametrize(
    ("name", "flags", "kind"),
    [
        ("monte_carlo", {"mc_mode": "binary"}, FirstErrorOracle),
        ("monte_carlo", {"mc_mode": "hard"}, MonteCarloOracle),
        ("prm", {"prm_kind": "generative"}, GenerativePrm),
    ],
)
def test_flags_choose_the_kind(parts, name, flags, kind):
    given = Parts(**parts | {"flags": replace(FLAGS, **flags)})
    assert type(load_step_oracle(name, given)) is kind


def test_what_is_no_oracle_or_has_no_address_is_refused(parts):
    with pytest.raises(ValueError, match="must name math, value, prm, monte_carlo"):
        load_step_oracle("beam", Parts(**parts))
    with pytest.raises(ValueError, match="URL of a remote oracle"):
        load_step_oracle("remote", Parts(**parts | {"flags": replace(FLAGS, remote_url="")}))


def test_several_are_combined_by_their_weights(parts, problem, right):
    async def read(token_ids, first):
        return np.full((len(token_ids) - first, 1), np.log(9.0))

    oracle = load_step_oracle("prm=3,math=1", Parts(**parts | {"read_outputs": read}))
    assert isinstance(oracle, CombinedOracle) and oracle.scale == SIGNED
    found = asyncio.run(oracle.score(problem, right))
    assert found.values == pytest.approx([0.6, 0.6, 0.6, 0.85])
