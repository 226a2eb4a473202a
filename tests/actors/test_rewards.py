"""What an actor makes of samples, without an engine: rewards follow the flags, accuracy does not."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from actors.asking import Asked
from actors.samples import Sample
from actors.sampling import SamplingActor
from learners.trajectories import to_trajectories
from oracles.load import load_oracle
from understand_r1_zero.args import Args, GradingArgs, OracleArgs, RewardArgs
from understand_r1_zero.evaluate import evaluation_sampling
from understand_r1_zero.metrics import actor_metrics
from understand_r1_zero.scoring import score
from understand_r1_zero.types import Problem, Status, Verdict, VersionSpan
from understand_r1_zero.voting import class_labels

MAX_TOKENS = Args().sampling.generate_max_length
TEXTS = {
    "right": r"so \boxed{15}",
    "wrong": r"so \boxed{16}",
    "no answer": "fifteen",
    "truncated": r"so \boxed{15}",
}
ODD_REWARDS = {
    "default": RewardArgs(),
    "all equal": RewardArgs(1.0, 1.0, 0.0, 1.0),
    "negative": RewardArgs(-1.0, -2.0, -3.0, -4.0),
    "swapped": RewardArgs(0.0, 1.0),
    "shaped": RewardArgs(1.0, 0.0, 0.5, -1.0, overlong_buffer_tokens=30, overlong_penalty=2.0),
}


class ListedOracle:
    """A user's oracle that gives what it is made with."""

    def __init__(self, *rewards):
        self.rewards = rewards

    def get_reward(self, inputs, responses, references, batch_size=4):
        return self.rewards[: len(responses)], {}


def graded(args, kinds, oracle=None, row=0, gold="15"):
    """The group that an actor makes of samples of these kinds, MAX_TOKENS - 4, -3, ... tokens long."""
    actor = SamplingActor(args, 0)
    actor._oracle = oracle or load_oracle(args, "boxed")
    lengths = range(MAX_TOKENS - 4, MAX_TOKENS - 4 + len(kinds))
    samples = [
        Sample(
            text=TEXTS[kind],
            token_ids=np.zeros(length, np.int32),
            sampler_logprobs=np.zeros(length, np.float32),
            is_truncated=kind == "truncated",
            version_spans=(VersionSpan(0, length),),
        )
        for kind, length in zip(kinds, lengths, strict=True)
    ]
    problem = Problem("sums", row, "4 + 11 =", (gold,))
    asked = Asked(row, problem, "Q", np.zeros(3, np.int32), 0.0)
    with ThreadPoolExecutor(1) as actor._threads:
        return asyncio.run(actor._grade(asked, samples))


def fast(rewards):
    return Args(grading=GradingArgs(preset="fast"), reward=rewards)


def users(rewards):
    return Args(oracle=OracleArgs(oracle="mine:Oracle"), reward=rewards)


def test_the_flags_decide_the_reward_of_each_response():
    rewards = RewardArgs(3.0, -2.0, 0.25, -0.5)
    assert graded(fast(rewards), TEXTS).rewards.tolist() == [3.25, -1.75, -2.0, -0.5]
    shaped = replace(rewards, overlong_buffer_tokens=8)
    penalised = graded(fast(shaped), TEXTS).rewards.tolist()
    assert penalised == [3.25 - 4 / 8, -1.75 - 5 / 8, -2.0 - 6 / 8, -0.5 - 7 / 8]


def test_a_users_oracle_gives_its_own_rewards_but_for_truncation_and_length():
    oracle = ListedOracle(1.0, 0.5, Verdict(0.25, Status.UNPARSABLE))
    rewards = RewardArgs(3.0, -2.0, 0.25, -0.5)
    group = graded(users(rewards), TEXTS, oracle)
    assert group.rewards.tolist() == [1.0, 0.5, 0.25, -0.5]
    shaped = replace(rewards, overlong_buffer_tokens=8)
    penalised = graded(users(shaped), TEXTS, oracle).rewards.tolist()
    assert penalised == [1.0 - 4 / 8, 0.5 - 5 / 8, 0.25 - 6 / 8, -0.5 - 7 / 8]
    statuses = [response.verdict.status for response in group.responses]
    assert statuses == ["correct", "incorrect", "unparsable", "truncated"]


def test_an_unreadable_gold_answer_earns_nothing_and_is_not_trained_on():
    args = fast(RewardArgs(3.0, -2.0, 0.25, overlong_buffer_tokens=8))
    group = graded(args, ["right", "wrong", "right"], gold="$")
    assert {response.verdict.status for response in group.responses} == {Status.UNKNOWN}
    assert group.rewards.tolist() == [0.0, 0.0, 0.0]
    trajectories = to_trajectories([group], args.algorithm)
    assert [(t.is_masked, t.is_known) for t in trajectories] == [(True, False)] * 3
    assert actor_metrics([group], evaluation_sampling(args), 0)["actor/unknown"] == 1.0


def test_an_unreadable_gold_answer_is_unknown_also_where_every_response_was_cut():
    args = fast(RewardArgs(3.0, -2.0, non_stop_fixed_reward=-1.0))
    group = graded(args, ["truncated", "truncated"], gold="$")
    assert [response.verdict.status for response in group.responses] == ["unknown"] * 2
    assert group.rewards.tolist() == [0.0, 0.0]
    known = graded(args, ["truncated", "truncated"])
    assert [response.verdict.status for response in known.responses] == ["truncated"] * 2


def test_an_unreadable_gold_answer_leaves_the_score_of_the_others_alone():
    args = fast(RewardArgs())
    readable = [graded(args, ["right", "wrong"], row=row) for row in range(3)]
    unreadable = graded(args, ["right", "wrong"], row=3, gold="$")
    known, found = score(readable), score([*readable, unreadable])
    assert found.estimates == known.estimates
    assert (found.num_problems, found.num_unknown) == (3, 1)


@pytest.mark.parametrize("name", ODD_REWARDS)
def test_accuracy_stays_accuracy_whatever_the_rewards(name: str):
    args = fast(ODD_REWARDS[name])
    kinds = (
        ["right", "wrong", "no answer", "truncated"],
        ["wrong", "right", "right", "truncated"],
        ["wrong", "no answer", "wrong", "truncated"],
    )
    groups = [graded(args, each, row=row) for row, each in enumerate(kinds)]
    answers = [[each.verdict.answer for each in group.responses] for group in groups]
    found = score(groups, [class_labels(each, str.__eq__) for each in answers]).to_dict()
    expected = {
        "accuracy": 3 / 12,
        "avg@4": 3 / 12,
        "pass@1": 3 / 12,
        "pass@2": (1 / 2 + 5 / 6) / 3,
        "pass@4": 2 / 3,
        "maj@4": 2 / 3,
        "truncated": 1 / 4,
        "unparsable": 2 / 12,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    metrics = actor_metrics(groups, evaluation_sampling(args), 0)
    shares = {"correct": 3, "incorrect": 4, "unparsable": 2, "truncated": 3}
    for status in Status:
        assert metrics[f"actor/{status}"] == pytest.approx(shares.get(status, 0) / 12)
    assert metrics["actor/formatted"] == pytest.approx(7 / 12)


def test_only_the_mean_reward_of_an_evaluation_follows_the_rewards():
    tables = {}
    for name, rewards in ODD_REWARDS.items():
        tables[name] = score([graded(fast(rewards), TEXTS)]).to_dict()
    changing = {"score", "score_low", "score_high"}
    assert len({table["score"] for table in tables.values()}) == len(ODD_REWARDS)
    fixed = [{k: v for k, v in table.items() if k not in changing} for table in tables.values()]
    assert all(table == fixed[0] for table in fixed)
