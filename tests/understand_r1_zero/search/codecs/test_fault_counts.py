from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.search.codecs.step import Fault, Reason
from understand_r1_zero.search.step import Step


def test_a_codec_that_never_matches_is_told_of_once():
    counts = FaultCounts("xml")
    reasons = [Reason.NO_STEP] * 28 + [Reason.EMPTY] * 2 + [Reason.TRUNCATED] * 19
    lines = [counts.count(Fault(reason)) for reason in [*reasons, Reason.BOTH]]
    assert lines[:-1] == [""] * 49
    assert lines[-1] == (
        "none of the first 50 samples is a step of the codec xml: no step (28), truncated (19), "
        "empty (2); choose the codec that the policy writes, or train it on this one first"
    )
    assert [counts.count(Fault(Reason.EMPTY)) for _ in range(60)] == [""] * 60
    assert counts.num_samples == 110


def test_one_step_is_enough_to_say_nothing():
    counts = FaultCounts("xml", num_steps=0)
    assert counts.count(Step("a")) == ""
    assert [counts.count(Fault(Reason.EMPTY)) for _ in range(80)] == [""] * 80
    assert (counts.num_steps, counts.faults[Reason.EMPTY]) == (1, 80)


def test_equal_counts_are_told_in_one_order():
    counts = [FaultCounts("xml"), FaultCounts("xml")]
    for reason in (Reason.TRUNCATED, Reason.EMPTY):
        counts[0].count(Fault(reason))
    for reason in (Reason.EMPTY, Reason.TRUNCATED):
        counts[1].count(Fault(reason))
    assert counts[0].commonest() == counts[1].commonest() == "empty (1), truncated (1)"


def test_one_bad_sample_costs_one_sample():
    codec = load_codec("step_k")
    samples = ["Step 1: 2 + 3\n", "what?\n", "Step 1: 3 + 2\n", "", "Step 7: 5 + 0\n"]
    parsed = [codec.parse(sample) for sample in samples]
    assert [isinstance(each, Step) for each in parsed] == [True, False, True, False, False]
