import fcntl
import io
import os
import pty
import struct
import termios
import threading

import pytest

from understand_r1_zero.console import (
    Console,
    duration,
    evaluation_lines,
    phase_seconds,
    small,
    step_line,
    summary_lines,
)
from understand_r1_zero.scoring import BenchmarkScore, Estimate

METRICS = {
    "actor/rewards": 0.41,
    "actor/correct": 0.4,
    "actor/response_tok_len": 23.4,
    "train/pg_loss": -0.003,
    "train/kl3": 0.0004,
    "time/collect_s": 0.9,
    "time/update_s": 0.6,
    "time/publish_s": 0.04,
}


def benchmark(accuracy: float, num_samples: int = 1) -> BenchmarkScore:
    names = ["accuracy", f"pass@{num_samples}", f"maj@{num_samples}"]
    estimates = {name: Estimate(accuracy, accuracy - 0.1, accuracy + 0.1) for name in names}
    estimates |= {"response_tok_len": Estimate(23.0, 22.0, 24.0)}
    estimates |= {name: Estimate(0.01, 0.0, 0.02) for name in ("truncated", "unparsable")}
    return BenchmarkScore(200, num_samples, 0, 1.0, estimates)


def test_a_step_is_one_line_with_everything():
    assert step_line(12, 60, METRICS) == (
        "step 12/60 | reward 0.410 | acc 0.400 | len 23 tok | loss -0.0030 | kl 0.0004"
        " | collect 0.9s | update 0.6s | publish 0.04s"
    )


def test_a_narrow_terminal_loses_the_least_important_fields():
    for width in range(30, 130):
        line = step_line(3, 1000, METRICS, width)
        assert len(line) <= width and line.startswith("step    3/1000")
    assert "reward" in step_line(3, 1000, METRICS, 40)
    assert "publish" not in step_line(3, 1000, METRICS, 100)


def test_without_a_reference_the_sampler_gap_is_shown():
    metrics = {"train/logprob_gap_mean": 2.1e-6, "train/pg_loss": float("nan"), "train/kl3": None}
    assert step_line(1, 9, metrics) == "step 1/9 | loss +nan | gap 2e-06"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.04s"), (12.34, "12.3s"), (125.4, "2m 05s"), (11220, "3h 07m"), (float("inf"), "?")],
)
def test_duration(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize("key", ["train/value_loss", "train/loss_mean", "train/sft_loss"])
def test_every_objective_shows_its_loss(key: str):
    assert step_line(1, 9, {key: 0.5}) == "step 1/9 | loss +0.5000"


def test_small_numbers_never_look_like_zero():
    assert [small(0.0), small(0.0312), small(-2e-5)] == ["0.0000", "0.0312", "-2e-05"]


def test_evaluation_table():
    lines = evaluation_lines("step 20", {"sums": benchmark(0.5)})
    assert lines == [
        "step 20  problems  accuracy  95% interval  tokens  truncated  no answer",
        "  sums        200     0.500   0.400-0.600      23       1.0%       1.0%",
    ]


def test_evaluation_table_of_several_samples_and_benchmarks():
    lines = evaluation_lines("step 20", {"a": benchmark(0.5, 8), "b": benchmark(0.25, 8)})
    assert "pass@8" in lines[0] and "maj@8" in lines[0]
    assert lines[3].split()[:4] == ["average", "0.375", "0.375", "0.375"]
    assert max(map(len, lines)) <= 100


def test_summary_is_told_from_the_rows():
    rows = [
        {"step": 0, "eval/sums/accuracy": 0.3, "eval/average/accuracy": 0.3, "time/step_s": 20.0},
        {"step": 1, "time/collect_s": 3.0, "time/update_s": 1.0, "time/step_s": 5.0},
        {"step": 2, "time/collect_s": 4.0, "time/step_s": 5.0, "eval/sums/accuracy": 0.8,
         "eval/sums/accuracy_low": 0.75, "eval/sums/accuracy_high": 0.85},
    ]  # fmt: skip
    text = "\n".join(summary_lines(rows, {"model": "runs/a/m"}, {"resume": "python x"}))
    (line,) = [line for line in text.splitlines() if "sums" in line]
    assert line.split() == ["sums", "0.300", "->", "0.800", "0.750-0.850"]
    assert "average" not in text
    times = [line.split() for line in text.splitlines() if line.endswith("%") or "time," in line]
    assert times == [
        ["time,", "2", "steps", "30.0s"],
        ["other", "22.0s", "73%"],
        ["collect", "7.0s", "23%"],
        ["update", "1.0s", "3%"],
    ]
    assert "model   runs/a/m" in text and "resume  python x" in text


def test_held_out_metrics_are_printed_and_summed_up():
    stream = io.StringIO()
    Console(3, stream=stream).held_out(2, {"eval/sft_loss": 0.51234, "eval/sft_tokens": 1200.0})
    assert stream.getvalue() == "held out, step 2: sft_loss 0.512, sft_tokens 1200\n"
    rows = [
        {"step": 0, "eval/value_auc": 0.5, "time/step_s": 1.0},
        {"step": 9, "eval/value_auc": None, "eval/value_loss": 0.25, "time/step_s": 1.0},
    ]
    lines = [line.split() for line in summary_lines(rows, {}, {})]
    assert ["held", "out", "step", "0", "step", "9"] in lines
    assert ["value_auc", "0.500", "->", "-"] in lines
    assert ["value_loss", "-", "->", "0.250"] in lines
    assert not any(line[:1] == ["accuracy"] for line in lines)


def test_summary_without_steps_or_evaluations():
    assert any("time, 0 steps" in line for line in summary_lines([], {}, {}))


def test_phases_that_overlap_leave_no_negative_rest():
    assert phase_seconds([{"time/collect_s": 2.0, "time/step_s": 1.0}]) == {"collect": 2.0}


def test_without_a_terminal_lines_are_plain_and_carry_the_eta():
    stream = io.StringIO()
    console = Console(3, stream=stream)
    console.progress("collect", 1, 2)
    console.begin()
    for step in (1, 2):
        console.step(step, METRICS)
    console.warn("two\nlines")
    console.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("step 1/3 | reward") and " | eta " in lines[0]
    assert lines[2] == "warning: two lines"
    assert "\033" not in stream.getvalue() and "\r" not in stream.getvalue()


def test_on_a_terminal_a_bar_follows_the_lines_and_disappears():
    screen = _on_terminal(columns=100)
    lines = [line.rsplit("\r", 1)[-1] for line in screen.replace("\r\n", "\n").split("\n")]
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.split(" |")[0] for line in steps] == ["step 5/6", "step 6/6"]
    assert all(len(line) <= 100 for line in steps)
    assert "4/6 steps" in screen and "collect 8/64" in screen and "83% |" in screen
    assert "\033[33mwarning: careful\033[0m" in screen
    assert lines[-1].strip() == ""


def _on_terminal(columns: int) -> str:
    """All that a resumed run of two steps writes to a pseudo-terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    chunks: list[bytes] = []

    def read():
        try:
            while chunk := os.read(master, 4096):
                chunks.append(chunk)
        except OSError:  # the other end was closed
            return

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        console = Console(6, first_step=4, stream=stream)
        console.progress("collect", 8, 64)
        console.step(5, METRICS)
        console.warn("careful")
        console.progress("collect", 64, 64)
        console.step(6, METRICS)
        console.close()
    reader.join()
    os.close(master)
    return b"".join(chunks).decode("utf-8")
