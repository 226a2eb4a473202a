"""Pairs of sampled groups, their weights and labels, and reference log-probs on disk."""

import math

import numpy as np
import pytest

from understand_r1_zero.args import Args
from understand_r1_zero.args_preference import PreferenceArgs
from understand_r1_zero.pairs import Evidence, Pairing, pairs_of_groups, smoothing_of, weigh
from understand_r1_zero.reference_cache import (
    digest_of,
    read_reference,
    with_reference,
    write_reference,
)
from understand_r1_zero.types import (
    Group,
    PreferencePair,
    Problem,
    Response,
    Status,
    Verdict,
    VersionSpan,
)

RIGHT, WRONG, CUT, UNKNOWN = (
    Status.CORRECT,
    Status.INCORRECT,
    Status.TRUNCATED,
    Status.UNKNOWN,
)


def make_group(*responses: tuple[Status, float], tokens: list[int] | None = None) -> Group:
    """Responses by status and reward; the i-th has the one token i, or that of `tokens`."""
    return Group(
        index=0,
        problem=Problem("test", 0, "1 + 1?", ("2",)),
        prompt="1 + 1?",
        prompt_token_ids=np.array([7, 8], np.int32),
        responses=tuple(
            Response(
                text="",
                token_ids=np.array([i if tokens is None else tokens[i]], np.int32),
                sampler_logprobs=np.zeros(1, np.float32),
                is_truncated=status is CUT,
                version_spans=(VersionSpan(0, 1),),
                verdict=Verdict(reward, status),
            )
            for i, (status, reward) in enumerate(responses)
        ),
        generate_s=0.0,
        grade_s=0.0,
    )


def ids_of(pairing: Pairing) -> list[tuple[int, int]]:
    return [(int(p.chosen_token_ids[0]), int(p.rejected_token_ids[0])) for p in pairing.pairs]


def pair_up(*groups: Group, drop_truncated: bool = False, **flags) -> Pairing:
    return pairs_of_groups(groups, PreferenceArgs(**flags), drop_truncated=drop_truncated)


def test_the_best_is_paired_with_the_worst_the_first_of_equals():
    group = make_group((WRONG, 0.5), (RIGHT, 1.0), (WRONG, 0.0), (RIGHT, 1.0), (WRONG, 0.0))
    assert ids_of(pair_up(group)) == [(1, 2)]
    assert np.array_equal(pair_up(group).pairs[0].prompt_token_ids, [7, 8])


@pytest.mark.parametrize("pairs", ["best_worst", "correct_incorrect"])
@pytest.mark.parametrize(
    "group",
    [
        make_group((WRONG, 0.0), (WRONG, 0.0)),
        make_group((RIGHT, 1.0), (RIGHT, 1.0)),
        make_group((RIGHT, 1.0)),
        make_group((RIGHT, 0.0), (WRONG, 0.0)),
        make_group((UNKNOWN, 0.0), (RIGHT, 1.0)),
        make_group((RIGHT, 1.0), (WRONG, 0.0), tokens=[3, 3]),
        make_group((CUT, 0.0), (CUT, 0.5)),
    ],
    ids=["all wrong", "all right", "alone", "tie", "unknown", "same tokens", "all cut"],
)
def test_groups_that_give_no_pair_are_counted(group, pairs):
    pairing = pair_up(group, make_group((RIGHT, 1.0), (WRONG, 0.0)), pairs=pairs)
    assert ids_of(pairing) == [(0, 1)]
    assert pairing.metrics == {
        "actor/num_pairs": 1.0,
        "actor/groups_without_pairs": 1.0,
        "actor/pair_margin": 1.0,
    }


def test_no_group_gives_no_pair():
    assert pair_up().pairs == []
    assert pair_up(make_group((WRONG, 0.0))).metrics["actor/pair_margin"] == 0.0


@pytest.mark.parametrize("pairs", ["best_worst", "correct_incorrect"])
def test_a_truncated_response_may_be_rejected_and_is_never_chosen(pairs):
    group = make_group((CUT, 2.0), (RIGHT, 1.0), (CUT, 0.0))
    assert ids_of(pair_up(group, pairs=pairs)) == [(1, 2)]
    assert ids_of(pair_up(group, pairs=pairs, drop_truncated=True)) == []


def test_each_correct_response_is_paired_with_each_incorrect_one():
    group = make_group(
        (RIGHT, 1.0), (WRONG, 0.0), (RIGHT, 1.0), (Status.UNPARSABLE, 0.0), (CUT, 0.0)
    )
    found = ids_of(pair_up(group, pairs="correct_incorrect", max_pairs_per_group=100))
    assert sorted(found) == [(c, r) for c in (0, 2) for r in (1, 3, 4)]


def test_a_limit_uses_the_responses_about_equally_often():
    group = make_group(*[(RIGHT, 1.0)] * 4, *[(WRONG, 0.0)] * 4)
    pairing = pair_up(group, pairs="correct_incorrect", max_pairs_per_group=8)
    assert np.bincount(np.array(ids_of(pairing)).ravel(), minlength=8).tolist() == [2] * 8


def test_pairs_whose_rewards_contradict_the_verdicts_are_left_out():
    group = make_group((RIGHT, 0.2), (WRONG, 0.5), (RIGHT, 1.0))
    assert ids_of(pair_up(group, pairs="correct_incorrect")) == [(2, 1)]


def test_weights_by_margin_have_mean_one():
    groups = [make_group((RIGHT, 3.0), (WRONG, 0.0)), make_group((RIGHT, 1.0), (WRONG, 0.0))]
    pairs = pair_up(*groups, pair_weights="margin").pairs
    assert [pair.weight for pair in pairs] == [1.5, 0.5]
    assert [pair.weight for pair in pair_up(*groups).pairs] == [1.0, 1.0]


def test_soft_labels_by_margin_are_bradley_terry():
    group = make_group((RIGHT, 1.5), (WRONG, 0.0))
    (pair,) = pair_up(group, preference_loss="cdpo", soft_labels="margin").pairs
    assert pair.label_smoothing == pytest.approx(1 / (1 + math.exp(1.5)))
    assert pair_up(group).pairs[0].label_smoothing is None
    assert smoothing_of(Evidence(margin=1e6), "margin") == pytest.approx(0.0)


def test_soft_labels_by_visits_are_the_share_of_the_rejected():
    assert smoothing_of(Evidence(visits=(6, 2)), "visits") == 0.25
    assert smoothing_of(Evidence(visits=(1, 9)), "visits") < 0.5


def test_weights_by_visits_count_both_responses():
    pair = PreferencePair(np.array([1]), np.array([2]), np.array([3]))
    args = PreferenceArgs(pair_weights="visits")
    weighted = weigh([pair, pair], [Evidence(visits=(5, 1)), Evidence(visits=(1, 1))], args)
    assert [each.weight for each in weighted] == [1.5, 0.5]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"pair_weights": "visits"}, ["--pair_weights visits", "chosen_visits"]),
        ({"pair_weights": "margin"}, ["--pair_weights margin", "column margin"]),
        ({"soft_labels": "visits"}, ["--soft_labels visits", "rejected_visits"]),
        ({"soft_labels": "margin"}, ["--soft_labels margin", "column margin"]),
    ],
)
def test_evidence_that_is_not_there_is_named(flags, parts):
    pair = PreferencePair(np.array([1]), np.array([2]), np.array([3]))
    with pytest.raises(ValueError) as error:
        weigh([pair], [Evidence()], PreferenceArgs(**flags))
    assert all(part in str(error.value) for part in parts)


def test_reference_logprobs_are_found_again(tmp_path):
    pairs = [PreferencePair(np.array([1]), np.array([2, 3]), np.array([n])) for n in range(3)]
    values = np.arange(6, dtype=np.float64).reshape(3, 2) / 7
    path, digest = tmp_path / "reference.npz", digest_of(pairs, Args())
    assert read_reference(path, digest) is None
    write_reference(path, digest, values)
    found = read_reference(path, digest)
    assert found is not None and np.array_equal(found, values)
    assert [pair.ref_logprobs for pair in with_reference(pairs, found)] == [
        tuple(row) for row in values.tolist()
    ]
    other = digest_of([*pairs[:2], with_spans(pairs[2])], Args())
    with pytest.raises(ValueError, match="other pairs"):
        read_reference(path, other)
    path.write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="cannot be read"):
        read_reference(path, digest)


def with_spans(pair: PreferencePair) -> PreferencePair:
    return PreferencePair(
        pair.prompt_token_ids, pair.chosen_token_ids, pair.rejected_token_ids, ((0, 1),)
    )
