import json
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understand_r1_zero.plots import accuracy_plot, draw_plots, held_out_plot, time_plot

NAMES = ["accuracy", "logprobs", "response_length", "reward", "time", "truncation"]


def rows(num_steps: int, benchmarks: tuple[str, ...] = ("sums",)) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for step in range(num_steps + 1):
        row: dict[str, Any] = {"step": step, "time/step_s": 2.0}
        if step % max(num_steps // 10, 1) == 0:
            for name in benchmarks:
                key = f"eval/{name}/accuracy"
                row |= {key: 0.5, f"{key}_low": 0.4, f"{key}_high": 0.6}
            row |= {"eval/average/accuracy": 0.5, "time/evaluate_s": 0.5}
        if step:
            row |= {
                "actor/rewards": 0.5 + rng.normal() / 20,
                "actor/response_tok_len": 20.0,
                "actor/num_data": 512.0,
                "actor/no_eos_count": 3.0,
                "actor/unparsable": 0.1,
                "train/kl3": None if step == 2 else 0.01,
                "train/kl_sample_train_v1": -1e-6,
                "train/logprob_gap_mean": 1e-6,
                "time/collect_s": 1.0,
                "time/update_s": 0.4,
            }
        found.append(row)
    return found


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in content)
    (path / "metrics.jsonl").write_text(text)
    return path


def size(path: Path) -> tuple[int, int]:
    """Width and height in the header of a PNG file."""
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:24])
    return width, height


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("num_steps", [1, 3, 60, 1000])
def test_six_pictures_of_any_run(tmp_path: Path, num_steps: int):
    files = draw_plots(write(tmp_path, rows(num_steps, ("aime", "amc", "math", "minerva"))))
    assert sorted(file.stem for file in files) == NAMES
    assert {size(file)[0] for file in files} == {800}
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        f"{n}.png" for n in NAMES
    ]


@pytest.mark.filterwarnings("error")
def test_a_run_that_was_only_evaluated_has_one_picture(tmp_path: Path):
    files = draw_plots(write(tmp_path, rows(0)))
    assert [file.stem for file in files] == ["accuracy"]


def test_held_out_loss_is_drawn_beside_the_training_loss_where_there_is_one():
    content = [
        {"step": 0, "eval/value_loss": 0.7, "eval/value_auc": 0.5},
        {"step": 1, "train/value_loss": 0.6},
        {"step": 2, "train/value_loss": 0.5, "eval/value_loss": 0.55, "eval/value_auc": None},
    ]
    figure = held_out_plot(content)
    assert figure is not None
    labels = [[text.get_text() for text in axes.texts][2:] for axes in figure.axes]
    assert labels == [["held out 0.550", "training 0.500"], ["AUC 0.500"]]
    assert held_out_plot(content[1:2]) is None


def test_no_rows_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no metrics.jsonl with a row"):
        draw_plots(write(tmp_path, []))


def test_five_thousand_steps_take_less_than_three_seconds(tmp_path: Path):
    write(tmp_path, rows(5000, ("aime", "amc", "math", "minerva", "olympiad_bench")))
    start = time.perf_counter()
    draw_plots(tmp_path)
    assert time.perf_counter() - start < 3


def test_a_single_benchmark_is_drawn_without_its_average():
    figure = accuracy_plot(rows(3))
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts][2:] == ["sums 0.500"]
    figure = accuracy_plot(rows(3, ("a", "b")))
    assert figure is not None and len(figure.axes[0].texts) == 5


def test_time_shares_cover_the_whole_step():
    figure = time_plot(rows(100))
    assert figure is not None
    labels = [text.get_text() for text in figure.axes[0].texts][2:]
    # Of 2 s a step: collect 1, update 0.4, evaluate 0.5 every tenth step, the rest other.
    assert labels == ["collect 50%", "update 20%", "evaluate 2%", "other 28%"]
    assert figure.axes[0].get_ylim()[1] == pytest.approx(2.1)


def test_command_line(tmp_path: Path):
    write(tmp_path, rows(2))
    command = [sys.executable, "-m", "understand_r1_zero", "plots", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
