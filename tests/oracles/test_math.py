import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from oracles.math import MathOracle
from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.types import Status, Verdict


@pytest.fixture(scope="module")
def oracle() -> Iterator[MathOracle]:
    oracle = MathOracle(timeout_s=20.0)
    yield oracle
    oracle.close()


def test_verdicts_in_order_with_statuses_and_shares(oracle: MathOracle) -> None:
    responses = {
        r"\boxed{5}": "5.0",
        r"\boxed{1+x}": "x+1",
        r"\boxed{y+1}": "x+1",
        r"it is 5": "5",
        r"\boxed{7}": (r"\foo", ""),
        r"\boxed{2}": ("1", "2"),
    }
    inputs = ["?"] * len(responses)
    verdicts, metrics = oracle.get_reward(inputs, list(responses), list(responses.values()))
    assert verdicts == [
        Verdict(1.0, Status.CORRECT, "5"),
        Verdict(1.0, Status.CORRECT, "1+x"),
        Verdict(0.0, Status.INCORRECT, "y+1"),
        Verdict(0.0, Status.UNPARSABLE, None, "the response gives no answer"),
        Verdict(0.0, Status.UNKNOWN, "7", "the gold answer is empty"),
        Verdict(1.0, Status.CORRECT, "2"),
    ]
    assert metrics["status/correct"] == 0.5
    assert metrics["status/unparsable"] == metrics["status/unknown"] == 1 / 6
    assert set(metrics) == {f"status/{status}" for status in Status}
    assert sum(metrics.values()) == pytest.approx(1)


def test_a_preset_decides() -> None:
    responses = [r"\boxed{2, 1}", r"\boxed{\frac{2}{4}}", r"\boxed{50\%}", r"\boxed{3.1415}"]
    references = ["1, 2", r"\frac12", "0.5", r"\pi"]
    right = {
        "default": [True, True, True, False],
        "fast": [False, True, False, False],
        "strict": [False, False, False, False],
        "lenient": [True, True, True, True],
    }
    for preset, expected in right.items():
        oracle = MathOracle(conventions=PRESETS[preset], num_workers=1, timeout_s=20.0)
        verdicts, _ = oracle.get_reward(responses, responses, references)
        oracle.close()
        assert [verdict.status is Status.CORRECT for verdict in verdicts] == expected


def test_an_audit_tells_what_the_other_presets_make_of_each_answer(oracle: MathOracle) -> None:
    responses = [r"\boxed{2, 1}", r"\boxed{2+x}", r"\boxed{7}", "it is 5"]
    references = ["1, 2", "x+1", "", "5"]
    for preset in ("default", "fast"):
        audited = MathOracle(conventions=PRESETS[preset], timeout_s=20.0, is_audited=True)
        try:
            verdicts, _ = audited.get_reward(responses, responses, references)
        finally:
            audited.close()
        others = [name for name in PRESETS if name != preset]
        ordered = ("fast", "strict")
        right = {n: Status.INCORRECT if n in ordered else Status.CORRECT for n in others}
        assert dict(verdicts[0].audit) == right
        assert dict(verdicts[1].audit) == dict.fromkeys(others, Status.INCORRECT)
        assert dict(verdicts[2].audit) == dict.fromkeys(others, Status.UNKNOWN)
        assert verdicts[3].audit == ()
    unaudited, _ = oracle.get_reward(responses, responses, references)
    assert [verdict.audit for verdict in unaudited] == [()] * 4


def test_changed_conventions_are_compared_with_every_preset() -> None:
    ordered = replace(PRESETS["default"], order="ordered")
    oracle = MathOracle(conventions=ordered, timeout_s=20.0, is_audited=True)
    (verdict,), _ = oracle.get_reward(["?"], [r"\boxed{5}"], ["5"])
    oracle.close()
    assert verdict.status is Status.CORRECT
    assert verdict.audit == tuple((name, Status.CORRECT) for name in PRESETS)


def test_answer_tag_extraction() -> None:
    oracle = MathOracle(extraction="answer_tag", conventions=PRESETS["fast"])
    responses = ["so </think>\n<answer>5</answer>", r"so </think> \boxed{5}"]
    verdicts, _ = oracle.get_reward(["?"] * 2, responses, ["5"] * 2)
    assert [verdict.status for verdict in verdicts] == [Status.CORRECT, Status.UNPARSABLE]


def test_compare_is_the_reward_against_the_reference(oracle: MathOracle) -> None:
    rewards, metrics = oracle.compare(["?"] * 2, [r"\boxed{5}", r"\boxed{6}"], ["5", "5"])
    assert rewards == [1.0, 0.0]
    assert metrics["status/correct"] == 0.5


def test_no_responses(oracle: MathOracle) -> None:
    verdicts, metrics = oracle.get_reward([], [], [])
    assert verdicts == []
    assert set(metrics.values()) == {0.0}


def test_lists_of_different_length_are_refused(oracle: MathOracle) -> None:
    with pytest.raises(ValueError, match="shorter"):
        oracle.get_reward(["?"] * 2, [r"\boxed{5}"] * 2, ["5"])


def test_eight_threads_share_the_processes(oracle: MathOracle) -> None:
    def ask(thread: int) -> list[Status]:
        responses = [rf"\boxed{{x+{n}}}" for n in range(2, 6)]
        references = [f"{n + thread % 2}+x" for n in range(2, 6)]
        verdicts, _ = oracle.get_reward(responses, responses, references)
        return [verdict.status for verdict in verdicts]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(ask, range(8)))
    assert results == [[Status.CORRECT] * 4, [Status.INCORRECT] * 4] * 4


def test_one_failure_fails_the_call_and_leaves_nothing_waiting() -> None:
    oracle = MathOracle(num_workers=1, timeout_s=600)
    with ThreadPoolExecutor(1) as threads:
        responses = [r"\boxed{9^{9^{9^{9}}}}"] * 3
        asked = threads.submit(oracle.get_reward, responses, responses, ["3"] * 3)
        time.sleep(0.2)
        oracle.close()
        with pytest.raises(RuntimeError, match="pool was closed"):
            asked.result(timeout=30)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="boxed, answer_tag"):
        MathOracle(extraction="latex")
    with pytest.raises(ValueError, match="--grader_workers must be at least 1, got 0"):
        MathOracle(num_workers=0)
