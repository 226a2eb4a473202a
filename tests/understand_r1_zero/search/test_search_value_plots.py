"""The pictures of Q and V over steps, and the entries that they are drawn from."""

import struct

import pytest

from tests.understand_r1_zero.search.grown_trees import searched
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree
from understand_r1_zero.search.value_plots import (
    StepEntry,
    draw_value_plots,
    step_entries,
    value_figure,
)


def shared() -> SearchTree:
    """A first step that leads to two right answers and a wrong one, and one to an answer without reward."""
    tree = SearchTree({})
    a = tree.add(ROOT, Node(Step("a"), visits=2, value_sum=1.0, value=0.25))
    b = tree.add(a, Node(Step("b"), value=0.75))
    for parent, text, reward in ((a, "x", 1.0), (b, "y", 1.0), (b, "z", 0.0)):
        tree.add(parent, Node(Step(text, answer="1"), reward=reward, value=reward))
    lone = tree.add(ROOT, Node(Step("lone"), visits=1, value_sum=1.0))
    tree.add(lone, Node(Step("w", answer="1")))
    return tree


def test_each_solution_has_an_entry_at_each_of_its_steps():
    a_right, a_wrong = StepEntry(1, True, 0.5, 0.25), StepEntry(1, False, 0.5, 0.25)
    b_right, b_wrong = StepEntry(2, True, None, 0.75), StepEntry(2, False, None, 0.75)
    assert step_entries([shared()]) == [a_right, a_right, b_right, a_wrong, b_wrong]
    with_finals = step_entries([shared()], with_finals=True)
    assert len(with_finals) == 8
    assert StepEntry(2, True, None, 1.0) in with_finals
    assert StepEntry(3, False, None, 0.0) in with_finals


def size(path):
    """Width and height in the header of a PNG file."""
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


@pytest.mark.filterwarnings("error")
def test_both_pictures_are_drawn(tmp_path):
    files = draw_value_plots((searched(20, seed) for seed in range(4)), tmp_path / "plots")
    assert [file.name for file in files] == ["q_by_step.png", "v_by_step.png"]
    assert all(size(file)[0] == 1600 for file in files)


@pytest.mark.filterwarnings("error")
def test_a_picture_without_values_is_left_out_and_none_at_all_is_an_error(tmp_path):
    tree = shared()
    for node in tree.nodes:
        node.visits = 0
    assert [file.name for file in draw_value_plots([tree], tmp_path)] == ["v_by_step.png"]
    for node in tree.nodes:
        node.value = None
    with pytest.raises(ValueError, match="grade the answers first"):
        draw_value_plots([tree], tmp_path)


def heights(axes):
    """Of the bars of right and of wrong solutions, those that are not zero."""
    return [{round(h, 6) for h in patch.get_data().values if h} for patch in axes.patches]


def test_bars_are_shares_of_the_right_and_of_the_wrong_at_each_depth():
    points = [(1, True, 0.1), (1, True, 0.9), (1, False, 0.1), (2, False, -0.5)]
    figure = value_figure(points, "Q", "")
    everything, first, second = figure.axes
    assert heights(everything) == [{0.5}, {0.5}]
    assert heights(first) == [{0.5}, {1.0}]
    assert heights(second) == [{1.0}]
    assert first.get_title(loc="right") == "2 right, 1 wrong"
    assert second.get_title(loc="left") == "step 2"


def test_more_depths_than_panels_share_the_last():
    figure = value_figure([(depth, True, 0.5) for depth in range(1, 31)], "V", "")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["all steps", *(f"step {depth}" for depth in range(1, 11)), "steps 11 to 30"]
    assert figure.axes[-1].get_title(loc="right") == "20 right, 0 wrong"


def test_values_outside_the_usual_scales_are_drawn_too():
    figure = value_figure([(1, True, -3.0), (1, False, 5.0)], "V", "")
    assert heights(figure.axes[0]) == [{1.0}, {1.0}]
