import numpy as np
import pytest

from understand_r1_zero.charts import (
    Line,
    draw_lines,
    finish,
    interval_line_of,
    line_of,
    new_figure,
    smooth,
    spread,
)


def test_a_line_leaves_out_rows_without_the_value():
    rows = [{"step": 0}, {"step": 1, "a": 0.5}, {"step": 2, "a": None}, {"step": 3, "a": 1.5}]
    line = line_of(rows, "a", "A")
    assert line.steps.tolist() == [1, 3] and line.values.tolist() == [0.5, 1.5]
    assert len(line_of(rows, "b", "B").steps) == 0


def test_an_interval_needs_its_bounds_at_every_step():
    row = {"step": 1, "a": 0.5, "a_low": 0.4, "a_high": 0.6}
    line = interval_line_of([row], "a", "A")
    assert line.interval is not None and [bound.tolist() for bound in line.interval] == [
        [0.4],
        [0.6],
    ]
    assert interval_line_of([row, {"step": 2, "a": 0.1}], "a", "A").interval is None


def test_smooth_is_a_moving_average():
    values = np.random.default_rng(0).normal(size=90)
    smoothed = smooth(values)
    assert smoothed[50] == pytest.approx(values[47:54].mean())
    assert smoothed[0] == pytest.approx(values[:4].mean())
    assert np.allclose(smooth(np.full(200, 0.3)), 0.3)


@pytest.mark.parametrize(
    "heights",
    [[0.5], [0.5, 0.5, 0.5], [0.0, 0.01, 0.9], [1.0, 0.99, 0.98, 0.2], [0.2, 0.9], [-0.3, 1.4]],
)
def test_spread_labels_keep_their_order_and_distance(heights: list[float]):
    moved = spread(heights, gap=0.1)
    assert np.argsort(moved, kind="stable").tolist() == np.argsort(heights, kind="stable").tolist()
    assert np.all(np.diff(np.sort(moved)) >= 0.1 - 1e-9)
    assert min(moved) >= 0 and max(moved) <= 1


def test_spread_leaves_labels_that_have_room():
    assert spread([0.2, 0.9, 0.5], gap=0.1) == [0.2, 0.9, 0.5]


def test_labels_stand_at_the_last_values_without_touching():
    figure, (axes,) = new_figure()
    steps = np.arange(3.0)
    lines = [Line(name, steps, steps * slope) for name, slope in [("a", 1), ("b", 1.001), ("c", 3)]]
    labels = draw_lines(axes, lines, "{:.2f}".format)
    assert [label.text for label in labels] == ["a 2.00", "b 2.00", "c 6.00"]
    finish(axes, "Title", "subtitle", labels)
    figure.canvas.draw()
    texts = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert texts["b 2.00"].y0 >= texts["a 2.00"].y1 - 1
    last_height = axes.transData.transform((2, 6.0))[1]
    assert abs((texts["c 6.00"].y0 + texts["c 6.00"].y1) / 2 - last_height) < 3
    assert all(extent.x1 <= figure.bbox.width for extent in texts.values())
