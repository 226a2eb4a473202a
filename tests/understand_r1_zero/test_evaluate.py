"""The evaluator over groups that are graded already."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from understand_r1_zero.args import Args, EvaluationArgs, GradingArgs
from understand_r1_zero.evaluate import evaluate
from understand_r1_zero.grading import pool
from understand_r1_zero.streaming import Request
from understand_r1_zero.types import Group, Problem, Response, Status, Verdict, VersionSpan

GOLD = "x+1"


def respond(answer: str | None, status: Status) -> Response:
    tokens = np.zeros(2, np.int32)
    verdict = Verdict(float(status is Status.CORRECT), status, answer)
    return Response("", tokens, tokens.astype(np.float32), False, (VersionSpan(0, 2),), verdict)


def stream_of(answers: Sequence[str | None], correct: set[str]) -> Any:
    """Groups with these answers, the last problem's first."""

    def stream(requests: Sequence[Request]) -> Iterator[Group]:
        for request in reversed(requests):
            responses = tuple(
                respond(answer, Status.CORRECT if answer in correct else Status.INCORRECT)
                for answer in answers[: request.sampling.num_samples]
            )
            prompt = np.zeros(1, np.int32)
            yield Group(request.index, request.problem, "", prompt, responses, 0.0, 0.0)

    return SimpleNamespace(stream=stream, together=stream)


def args_for(num_samples: int, **grading: Any) -> Args:
    return Args(
        evaluation=EvaluationArgs(eval_n=num_samples, eval_temperature=1.0),
        grading=GradingArgs(grader_workers=1, grader_timeout_s=20.0, **grading),
    )


def problems(name: str, count: int) -> list[Problem]:
    return [Problem(name, row, "?", (GOLD,)) for row in range(count)]


ANSWERS = ["7", "1+x", "x+1", "7", "\\frac{2x+2}{2}"]


def test_the_vote_is_by_equivalence_and_groups_may_finish_in_any_order():
    benchmarks = {"first": problems("first", 3), "second": problems("second", 2)}
    progress = []
    evaluations = evaluate(
        args_for(5),
        benchmarks,
        stream_of(ANSWERS, {*ANSWERS} - {"7"}),
        lambda phase, done, total: progress.append((done, total)),
    )
    assert list(evaluations) == ["first", "second"]
    for name, evaluation in evaluations.items():
        assert [group.problem for group in evaluation.groups] == benchmarks[name]
        # By text, 7 would win with two votes.
        assert evaluation.score.estimates["maj@5"].mean == 1.0
        assert evaluation.score.accuracy.mean == pytest.approx(0.6)
    assert progress == [(done, 5) for done in range(1, 6)]


def test_every_problem_is_sampled_by_a_seed_of_its_own_whatever_else_is_evaluated():
    def seeds(*names: str) -> dict[tuple[str, int], int]:
        stream = stream_of(["7"], set())
        sample, found = stream.stream, {}

        def listen(requests: Sequence[Request]) -> Iterator[Group]:
            found.update({(r.problem.source, r.problem.row): r.sampling.seed for r in requests})
            return sample(requests)

        stream.stream = listen
        evaluate(args_for(1), {name: problems(name, 3) for name in names}, stream)
        return found

    both = seeds("first", "second")
    assert len(set(both.values())) == 6
    assert seeds("second").items() <= both.items()


def test_the_vote_follows_the_conventions():
    answers = ["7", "1, 2", "2, 1", "7", "2, 1"]
    stream, benchmarks = stream_of(answers, {"1, 2", "2, 1"}), {"lists": problems("lists", 1)}
    for preset, is_right in (("default", 1.0), ("fast", 0.0)):
        found = evaluate(args_for(5, preset=preset), benchmarks, stream)
        assert found["lists"].score.estimates["maj@5"].mean == is_right


def test_one_response_a_problem_starts_no_process(monkeypatch: pytest.MonkeyPatch):
    def no_process() -> None:
        raise AssertionError("there is nothing to compare")

    monkeypatch.setattr(pool, "_start_process", no_process)
    found = evaluate(args_for(1), {"sums": problems("sums", 4)}, stream_of(["1+x"], {"1+x"}))
    assert found["sums"].score.estimates["maj@1"].mean == 1.0


def test_a_failure_of_the_stream_ends_the_comparisons():
    def stream(requests: Sequence[Request]) -> Iterator[Group]:
        yield from stream_of(["9^{9^{9^{9}}}", "y+1"], set()).stream(requests)
        raise RuntimeError("actors keep dying")

    args = args_for(2)
    with pytest.raises(RuntimeError, match="actors keep dying"):
        evaluate(args, {"sums": problems("sums", 3)}, SimpleNamespace(stream=stream))
