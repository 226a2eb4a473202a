"""Our losses against TRL 1.16: the same numbers and gradients from the same tensors, in float32.

Each case runs whole on both sides: rewards to advantages to the loss of an optimizer step and its
derivative by the log-prob of every token. Only what models and samplers find is given to both: ours is
`given_logprobs.py`, theirs `trl_losses.py` in the environment of `bench/peer.py`. With `-s` the largest
differences are printed, as the table of docs/algorithms.md.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.peer import ENVIRONMENT
from learners.advantages import ADVANTAGES
from tests.learners.given_logprobs import our_pair_steps, our_policy_steps
from tests.learners.trl_cases import (
    DIFFERENT,
    MAX_TOKENS,
    NUM_RESPONSES,
    NUM_SAMPLES,
    PAIRS,
    POLICY,
    Given,
    PairCase,
    PolicyCase,
    draw_pairs,
    draw_policy,
)

PYTHON, INSTALLED = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".installed"
pytestmark = [
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.xdist_group("peer"),
    pytest.mark.skipif(not INSTALLED.exists(), reason=f"{ENVIRONMENT.name} is absent: make peer"),
]

PROGRAM = Path(__file__).with_name("trl_losses.py")
MODEL = Path(__file__).parents[2] / "examples" / "tiny" / "model"
ALL: dict[str, PolicyCase | PairCase] = {**POLICY, **DIFFERENT, **PAIRS}
SEEDS = (0, 1, 2)
TOLERANCE = 1e-5
"""Of each token's derivative relative to the largest; of the loss see `differences`."""

Step = dict[str, Any]


@dataclass(frozen=True)
class Laboratory:
    """What is given to the cases and what TRL finds; `figures` are the largest differences."""

    given: dict[str, list[Given]]
    theirs: dict[str, list[dict[str, Any]]]
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)

    def steps(self, name: str) -> list[tuple[Given, Step, Step]]:
        """(given, ours, TRL's) of every optimizer step of every seed."""
        case, found = ALL[name], []
        for given, theirs in zip(self.given[name], self.theirs[name], strict=True):
            if isinstance(case, PolicyCase):
                ours = our_policy_steps(case, given)
            else:
                ours = our_pair_steps(case, given)
            steps = zip(ours, theirs["steps"], strict=True)
            found += [(given, our_step, flat(their_step)) for our_step, their_step in steps]
        return found

    def advantages(self, name: str) -> np.ndarray:
        """TRL's of the responses of every seed, (3 R,)."""
        return np.concatenate([theirs["advantages"] for theirs in self.theirs[name]])


def flat(step: Step) -> Step:
    """TRL's step with its tokens in our order."""
    if "chosen" in step:
        pairs = zip(step["chosen"], step["rejected"], strict=True)
        return {"loss": step["loss"], "gradient": joined([row for pair in pairs for row in pair])}
    names = ("gradient", "entropy_gradient")
    return {"loss": step["loss"], **{name: joined(step[name]) for name in names}}


def joined(rows: Sequence[Sequence[float]]) -> np.ndarray:
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """All cases, run by TRL in one process."""
    directory = tmp_path_factory.mktemp("trl")
    given, cases = {}, {}
    for name, case in ALL.items():
        if isinstance(case, PolicyCase):
            given[name] = [draw_policy(seed, **case.changes) for seed in SEEDS]
        else:
            given[name] = [draw_pairs(seed, case.at_once) for seed in SEEDS]
        cases[name] = {
            "trainer": case.trainer,
            "options": defaults(case) | case.options,
            "corrects_sampler": isinstance(case, PolicyCase) and case.corrects_sampler,
            "runs": given[name],
        }
    task, found = directory / "task.json", directory / "found.json"
    task.write_text(json.dumps({"model": str(MODEL), "cases": cases}))
    command = [PYTHON, PROGRAM, task, found]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    laboratory = Laboratory(given, json.loads(found.read_text()))
    yield laboratory
    print("\n".join(table(laboratory.figures)))


def defaults(case: PolicyCase | PairCase) -> dict[str, Any]:
    """TRL's options of every case, unless it says otherwise."""
    if isinstance(case, PairCase):
        return {"beta": 0.1}
    options = {
        "per_device_train_batch_size": NUM_RESPONSES,
        "num_generations": NUM_SAMPLES,
        "num_iterations": 2,
        "max_completion_length": MAX_TOKENS,
    }
    return options | ({"scale_rewards": "none"} if case.trainer == "grpo" else {})


def table(figures: dict[str, tuple[float, float]]) -> list[str]:
    lines = ["", "| | our flags | TRL's options | loss | gradient |", "|---|---|---|---|---|"]
    for name, (loss, gradient) in figures.items():
        case = ALL[name]
        options = ", ".join(f"{key}={value}" for key, value in case.options.items())
        lines.append(f"| {name} | `{case.flags}` | `{options}` | {loss:.0e} | {gradient:.0e} |")
    return lines


def differences(ours: Step, theirs: Step, name: str = "gradient") -> tuple[float, float]:
    """Of the loss, and the largest of a token's derivative relative to the largest.

    That of the loss is relative to it, or to what it moves when every log-prob moves by a nat towards
    it: losses of either sign cancel, and their rounding does not.
    """
    scale = max(abs(theirs["loss"]), np.abs(theirs["gradient"]).sum())
    return abs(ours["loss"] - theirs["loss"]) / scale, relative(ours[name], theirs[name])


def assert_agree(ours: Step, theirs: Step, name: str = "gradient") -> None:
    loss, gradient = differences(ours, theirs, name)
    assert loss < TOLERANCE and gradient < TOLERANCE


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def times(step: Step, factor: float) -> Step:
    return {"loss": factor * step["loss"], "gradient": factor * step["gradient"]}


def of_tokens(given: Given, values: Sequence[Any]) -> np.ndarray:
    """A value of each response at each of its tokens."""
    return np.repeat(values, [len(response) for response in given["responses"]])


def ratios(given: Given) -> np.ndarray:
    return np.exp(joined(given["new"]) - joined(given["old"]))


@pytest.mark.parametrize("name", [*POLICY, *PAIRS])
def test_loss_and_gradient_are_those_of_trl(laboratory, name):
    found = [differences(ours, theirs) for _, ours, theirs in laboratory.steps(name)]
    loss, gradient = laboratory.figures[name] = tuple(np.max(found, axis=0).tolist())
    assert loss < TOLERANCE and gradient < TOLERANCE


def test_so_is_the_gradient_by_the_entropies(laboratory):
    for _, ours, theirs in laboratory.steps("entropy bonus"):
        assert_agree(ours, theirs, "entropy_gradient")


@pytest.mark.parametrize("name", ["Dr. GRPO", "GRPO", "DAPO", "GSPO", "dual clip"])
def test_the_cases_reach_the_clips_of_either_sign(laboratory, name):
    steps = laboratory.steps(name)
    parts = zip(steps, np.split(laboratory.advantages(name), len(steps)), strict=True)
    advantages = np.concatenate([of_tokens(given, part) for (given, _, _), part in parts])
    is_gone = np.concatenate([theirs["gradient"] == 0 for _, _, theirs in steps])
    for sign in (1, -1):
        assert 0.02 < is_gone[sign * advantages > 0].mean() < 0.9
    if name == "dual clip":
        ratio = np.concatenate([ratios(given) for given, _, _ in steps])
        assert is_gone[(advantages < 0) & (ratio > 1.5)].all()
        assert ((advantages < 0) & (ratio > 1.5)).sum() > 5


def test_the_cases_reach_the_caps_and_the_hinge(laboratory):
    for given, _, theirs in laboratory.steps("CISPO"):
        is_capped = ratios(given) > 1.3
        assert 0.05 < is_capped.mean() < 0.5
        assert theirs["gradient"][is_capped].any()
    for given, _, _ in laboratory.steps("TIS, token, truncate"):
        weights = np.exp(joined(given["old"]) - joined(given["sampler"]))
        assert 0.05 < (weights > 1.2).mean() < 0.5
    for _, _, theirs in laboratory.steps("slic"):
        assert 0.05 < (theirs["gradient"] == 0).mean() < 0.9


def test_dapo_counts_masked_tokens_here_and_not_in_trl(laboratory):
    """Ours divides by all tokens of the optimizer step, TRL by those with a gradient."""
    for given, ours, theirs in laboratory.steps("DAPO, truncated masked"):
        is_masked = of_tokens(given, given["is_truncated"])
        assert is_masked.any()
        factor = len(is_masked) / (~is_masked).sum()
        assert_agree(times(ours, factor), theirs)


def test_dapo_counts_the_tokens_of_the_optimizer_step_here_and_the_mean_step_in_trl(laboratory):
    """Of several optimizer steps on one batch, TRL divides each by the tokens of the batch over their number."""
    name, factors = "DAPO, two optimizer steps", []
    for number, (given, ours, theirs) in enumerate(laboratory.steps(name)):
        (rows,) = given["steps"][number % 2]
        lengths = np.array([len(response) for response in given["responses"]])
        factors.append(lengths[rows].sum() / (lengths.sum() / 2))
        assert_agree(times(ours, factors[-1]), theirs)
    assert max(factors) > 1.05


def test_gspo_keeps_a_token_its_own_importance_weight_here_and_shares_their_mean_in_trl(laboratory):
    """The same value; ours has the gradient of GSPO-token, `w_t s_i A`, theirs that of `mean_t(w_t) s_i A`."""
    for given, ours, theirs in laboratory.steps("GSPO, TIS of tokens"):
        cuts = np.cumsum([len(response) for response in given["responses"]])[:-1]
        means = [np.full(len(row), row.mean()) for row in np.split(ours["gradient"], cuts)]
        shared = {"loss": ours["loss"], "gradient": np.concatenate(means)}
        assert_agree(shared, theirs)
        assert differences(ours, theirs)[1] > 0.01


def test_the_reference_pulls_at_responses_of_unknown_reward_in_trl_and_not_here(laboratory):
    for given, ours, theirs in laboratory.steps("KL of unknown"):
        is_known = of_tokens(given, [reward is not None for reward in given["rewards"]])
        assert relative(ours["gradient"][is_known], theirs["gradient"][is_known]) < TOLERANCE
        assert not ours["gradient"][~is_known].any()
        assert theirs["gradient"][~is_known].any()


def test_rloo_on_policy_has_the_gradient_of_trl_over_the_constant_length(laboratory):
    """TRL's loss is of the product of a response's ratios, whose value is the mean advantage; KL in the reward."""
    for _, ours, theirs in laboratory.steps("RLOO"):
        gradient = ours["gradient"] * MAX_TOKENS
        assert relative(gradient, theirs["gradient"]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "critic"),
    [("Dr. GRPO", "drgrpo"), ("RLOO, unknown", "rloo"), ("GRPO, small spread", "grpo")],
)
def test_advantages_are_those_of_trl_but_for_the_epsilon_of_grpo(laboratory, name, critic):
    expected = []
    for given in laboratory.given[name]:
        rewards, is_known = (
            np.array([reward or 0.0 for reward in given["rewards"]]),
            np.array([reward is not None for reward in given["rewards"]]),
        )
        groups = np.arange(NUM_RESPONSES) // NUM_SAMPLES
        ours = ADVANTAGES[critic](rewards, groups, is_known)
        if critic == "grpo":
            known = [rewards[(groups == group) & is_known] for group in groups]
            std = np.array([values.std(ddof=1) for values in known])
            ours = ours * (std + 1e-8) / (std + 1e-4)
        assert not is_known.all()
        expected.append(ours)
    assert relative(laboratory.advantages(name), np.concatenate(expected)) < TOLERANCE
