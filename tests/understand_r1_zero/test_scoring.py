import itertools
import time

import numpy as np
import pytest

from understand_r1_zero import scoring
from understand_r1_zero.scoring import (
    BenchmarkScore,
    Estimate,
    Outcome,
    average,
    bootstrap,
    evaluation_metrics,
    pass_at_k,
    problem_statistics,
    sample_sizes,
)
from understand_r1_zero.scoring import score as score_labelled
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict, VersionSpan
from understand_r1_zero.voting import class_labels


def response(status: Status, answer: str | None = None, num_tokens: int = 3) -> Response:
    return Response(
        text="",
        token_ids=np.zeros(num_tokens, dtype=np.int32),
        sampler_logprobs=np.zeros(num_tokens, dtype=np.float32),
        is_truncated=status is Status.TRUNCATED,
        version_spans=(VersionSpan(0, num_tokens),),
        verdict=Verdict(reward=2.0 * (status is Status.CORRECT), status=status, answer=answer),
    )


def right(answer: str | None = "1") -> Response:
    return response(Status.CORRECT, answer)


def wrong(answer: str | None = "2") -> Response:
    return response(Status.INCORRECT, answer)


def group(row: int, *responses: Response) -> Group:
    problem = Problem("math", row, "?", ("1",))
    return Group(row, problem, "?", np.zeros(1, dtype=np.int32), responses, 0.0, 0.0)


def score(groups: list[Group], elapse_s: float = 0.0) -> BenchmarkScore:
    """The score with answers told apart by their texts."""
    labels = [
        class_labels([each.verdict.answer for each in group.responses], str.__eq__)
        for group in groups
    ]
    return score_labelled(groups, labels, elapse_s)


def test_pass_at_k_is_the_share_of_draws_with_a_correct_one():
    for n, c in itertools.product(range(1, 7), range(7)):
        if c > n:
            continue
        correct = [1] * c + [0] * (n - c)
        for k in range(1, n + 1):
            draws = [any(draw) for draw in itertools.combinations(correct, k)]
            assert pass_at_k(n, c, k) == pytest.approx(np.mean(draws))


def test_one_sample_gives_plain_accuracy_everywhere():
    groups = [group(0, right()), group(1, wrong()), group(2, response(Status.UNPARSABLE))]
    groups.append(group(3, response(Status.TRUNCATED, num_tokens=7)))
    metrics = score(groups, elapse_s=1.5).to_dict()
    for name in ("accuracy", "avg@1", "pass@1", "maj@1", "truncated", "unparsable"):
        assert metrics[name] == 0.25
    assert metrics["score"] == 0.5
    assert metrics["response_tok_len"] == 4.0
    assert metrics["eval_count"] == 4.0
    assert metrics["elapse"] == 1.5


def test_several_samples_by_hand():
    groups = [group(0, right(), wrong(), wrong(), wrong()), group(1, *[right()] * 3, wrong())]
    estimates = score(groups).estimates
    assert estimates["accuracy"].mean == estimates["avg@4"].mean == 0.5
    # 1 - C(3,2)/C(4,2) = 1/2 and 1 - C(1,2)/C(4,2) = 1.
    assert estimates["pass@2"].mean == 0.75
    assert estimates["pass@4"].mean == 1.0
    assert estimates["maj@4"].mean == 0.5
    assert "pass@3" not in estimates


def test_a_problem_with_unknown_gold_counts_nowhere():
    groups = [group(0, right()), group(1, response(Status.UNKNOWN, "3"))]
    result = score(groups)
    assert result.accuracy.mean == 1.0
    assert (result.num_problems, result.num_unknown) == (1, 1)
    with pytest.raises(ValueError, match=r"no gold answer of math .* --eval_output_key"):
        score(groups[1:])


def test_grading_that_failed_is_not_correct():
    groups = [group(0, right()), group(1, response(Status.TIMEOUT)), group(2, wrong())]
    assert score(groups).accuracy.mean == pytest.approx(1 / 3)


def test_score_does_not_depend_on_the_order_groups_finish_in():
    groups = [group(row, *[right()] * (row % 3), *[wrong()] * (2 - row % 3)) for row in range(50)]
    assert score(groups).to_dict() == score(groups[::-1]).to_dict()


RIGHT, WRONG, SILENT, LATE = (
    Status.CORRECT,
    Status.INCORRECT,
    Status.UNPARSABLE,
    Status.TIMEOUT,
)


@pytest.mark.parametrize(
    ("statuses", "labels", "expected"),
    [
        ([RIGHT, RIGHT, WRONG], [0, 0, 1], True),
        ([WRONG, RIGHT, WRONG], [0, 1, 0], False),
        # A tie goes to the answer given first.
        ([RIGHT, WRONG], [0, 1], True),
        ([WRONG, RIGHT], [0, 1], False),
        # No answer, no vote, however many there are.
        ([SILENT, SILENT, RIGHT], [None, None, 0], True),
        ([SILENT, SILENT], [None, None], False),
        # One of the winners timed out in the grader.
        ([LATE, RIGHT, WRONG], [0, 0, 1], True),
        ([LATE, LATE, RIGHT], [0, 0, 1], False),
        # A class is judged by its first answer, the one that the others were compared with.
        ([WRONG, RIGHT, RIGHT], [0, 0, 0], False),
    ],
)
def test_majority(statuses: list[Status], labels: list[int | None], expected: bool):
    size = len(statuses)
    assert problem_statistics(Outcome(statuses, labels), [size])[f"maj@{size}"] == expected


def test_votes_by_score():
    outcome = Outcome([RIGHT, WRONG, WRONG, SILENT], [0, 1, 1, None], [0.6, 0.5, 0.5, 0.1])
    found = problem_statistics(outcome, [4])
    assert found == {"accuracy": 0.25, "pass@4": 1, "maj@4": 0, "best@4": 1, "weighted@4": 0}
    outcome = Outcome([RIGHT, WRONG, WRONG, SILENT], [0, 1, 1, None], [0.6, 0.2, 0.3, 0.9])
    found = problem_statistics(outcome, [4])
    assert (found["best@4"], found["weighted@4"]) == (0, 1)


def test_a_vote_of_fewer_is_the_mean_over_runs_of_responses():
    statuses = [RIGHT, RIGHT, WRONG, RIGHT, WRONG, WRONG, RIGHT]
    outcome = Outcome(statuses, [0, 0, 1, 0, 1, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    found = problem_statistics(outcome, [1, 2, 3])
    assert found["maj@1"] == found["best@1"] == found["weighted@1"] == 4 / 7
    # (right, right), (wrong, right), (wrong, wrong): the last one is left over.
    assert found["maj@2"] == pytest.approx(1 / 3)
    assert found["best@2"] == found["weighted@2"] == pytest.approx(2 / 3)
    # (right, right, wrong), (right, wrong, wrong).
    assert (found["maj@3"], found["best@3"]) == (0.5, 0.0)


def test_without_scores_no_vote_needs_them():
    assert set(problem_statistics(Outcome([RIGHT], [0]), [1])) == {"accuracy", "pass@1", "maj@1"}


def test_without_labels_there_are_no_votes():
    found = problem_statistics(Outcome([RIGHT], scores=[1.0]), [1])
    assert set(found) == {"accuracy", "pass@1", "best@1"}
    assert "maj@1" not in score_labelled([group(0, right())]).estimates


@pytest.mark.parametrize(
    ("num_samples", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_sizes_are_powers_of_two_and_all(num_samples: int, sizes: list[int]):
    assert sample_sizes(num_samples) == sizes


def test_majority_is_left_out_when_the_oracle_names_no_answers():
    estimates = score([group(0, right(None), wrong(None))]).estimates
    assert not [name for name in estimates if name.startswith("maj@")]
    assert "pass@2" in estimates


def test_bootstrap_matches_the_normal_approximation():
    values = (np.arange(400) < 100).astype(float)[:, None]
    (estimate,) = bootstrap(values)
    half_width = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert estimate.mean == 0.25
    assert estimate.low == pytest.approx(0.25 - half_width, abs=0.006)
    assert estimate.high == pytest.approx(0.25 + half_width, abs=0.006)


def test_bootstrap_matches_a_plain_loop_over_resamples():
    values = np.random.default_rng(3).normal(size=(17, 2))
    rng = np.random.default_rng(0)
    draws = rng.integers(17, size=(1000, 17))
    means = np.array([values[draw].mean(axis=0) for draw in draws])
    for column, estimate in enumerate(bootstrap(values)):
        low, high = np.percentile(means[:, column], (2.5, 97.5))
        assert estimate.low == pytest.approx(low) and estimate.high == pytest.approx(high)


def test_bootstrap_in_parts_draws_the_same(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(3).normal(size=(17, 2))
    whole = bootstrap(values)
    monkeypatch.setattr(scoring, "_DRAWS_AT_ONCE", 50)
    assert bootstrap(values) == whole


def test_bootstrap_of_a_constant_has_no_width():
    assert bootstrap(np.ones((5, 1))) == [Estimate(1.0, 1.0, 1.0)]


def test_a_large_benchmark_is_scored_in_a_second():
    groups = [group(row, *[right()] * (row % 9), *[wrong()] * (8 - row % 9)) for row in range(1000)]
    start = time.perf_counter()
    score(groups)
    assert time.perf_counter() - start < 1.0


def test_average_weighs_benchmarks_equally_and_keeps_what_all_have():
    small = score([group(0, right(), right())])
    large = score([group(row, wrong()) for row in range(9)])
    means = average({"small": small, "large": large})
    assert means["accuracy"] == 0.5
    assert "pass@2" not in means and "pass@1" in means
    assert average({}) == {}


def test_metrics_have_the_ancestors_keys():
    metrics = evaluation_metrics({"aime": score([group(0, right())])})
    for key in ("accuracy", "score", "response_tok_len", "eval_count", "elapse", "pass@1"):
        assert f"eval/aime/{key}" in metrics
    assert metrics["eval/average/accuracy"] == 1.0
    assert metrics["eval/aime/accuracy_low"] == 1.0
