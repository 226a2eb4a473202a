import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import AutoTokenizer

from oracles.combined import CombinedOracle
from oracles.load_steps import STEP_ORACLES, Parts, load_step_oracle, parse_weights
from oracles.monte_carlo import FirstErrorOracle, MonteCarloOracle
from oracles.outcome import OutcomeOracle
from oracles.prm import ClassifierPrm, GenerativePrm
from oracles.remote import RemoteOracle
from oracles.self_critic import SelfCriticOracle
from oracles.tree import TreeOracle
from understand_r1_zero.search.grow import Rules
from understand_r1_zero.search.selection import own_value
from understand_r1_zero.search.step_oracle import SIGNED
from understand_r1_zero.templates import TEMPLATES

NAMES = ("value", "prm", "math")


def test_names_and_weights_are_read():
    assert parse_weights("value", NAMES) == {"value": 1.0}
    assert parse_weights("prm=0.7,math=0.3", NAMES) == {"prm": 0.7, "math": 0.3}
    assert list(parse_weights(" math , prm = 2e0 ", NAMES).items()) == [("math", 1.0), ("prm", 2.0)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "--oracle must be of value, prm, math, got ''"),
        ("maths", "got 'maths'; the nearest is math"),
        ("prm=1,", "got ''"),
        ("prm=0.7,prm=0.3", "--oracle names prm twice, got 'prm=0.7,prm=0.3'; add up"),
        ("prm=0", "must give prm a positive weight, got '0'; leave the name out"),
        ("prm=-1", "got '-1'"),
        ("prm=", "got ''"),
        ("prm=much", "got 'much'"),
        ("prm=nan", "got 'nan'"),
        ("prm=inf", "got 'inf'"),
    ],
)
def test_what_is_no_list_of_oracles_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        parse_weights(spec, NAMES)


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
        "prm_tokenizer": tokenizer,
        "prm_template": TEMPLATES["no"],
        "remote_url": "http://127.0.0.1:1",
    }


def test_every_name_makes_its_oracle(parts):
    kinds = {
        "math": OutcomeOracle,
        "prm": GenerativePrm,
        "monte_carlo": MonteCarloOracle,
        "tree": TreeOracle,
        "self_critic": SelfCriticOracle,
        "remote": RemoteOracle,
    }
    assert set(kinds) == set(STEP_ORACLES)
    for name, kind in kinds.items():
        assert type(load_step_oracle(f"{name}=0.5", Parts(**parts))) is kind
    scan = Parts(**parts | {"mc_mode": "binary"})
    assert type(load_step_oracle("monte_carlo", scan)) is FirstErrorOracle
    classifier = Parts(**parts | {"read_outputs": SimpleNamespace()})
    assert type(load_step_oracle("prm", classifier)) is ClassifierPrm
    with pytest.raises(ValueError, match="must be of math, prm, monte_carlo"):
        load_step_oracle("beam", Parts(**parts))
    with pytest.raises(ValueError, match="URL of a remote oracle"):
        load_step_oracle("remote", Parts(**parts | {"remote_url": ""}))


def test_several_are_combined_by_their_weights(parts, problem, right):
    async def read(token_ids):
        return np.full((len(token_ids), 1), np.log(9.0))

    oracle = load_step_oracle("prm=3,math=1", Parts(**parts | {"read_outputs": read}))
    assert isinstance(oracle, CombinedOracle) and oracle.scale == SIGNED
    found = asyncio.run(oracle.score(problem, right))
    assert found.values == pytest.approx([0.6, 0.6, 0.6, 0.85])
