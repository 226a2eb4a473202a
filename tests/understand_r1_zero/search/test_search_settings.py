"""Settings that make no sense are refused; published ones are the papers'."""

import pytest

from understand_r1_zero.search import backup
from understand_r1_zero.search.methods import METHODS
from understand_r1_zero.search.settings import (
    METHOD_NAMES,
    PUBLISHED,
    published,
)
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def test_every_name_has_settings_and_a_search():
    assert set(METHOD_NAMES) == set(PUBLISHED) == set(METHODS)
    assert all(name == settings.method for name, settings in PUBLISHED.items())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"width": 0}, "--width must be at least 1, got 0"),
        ({"num_children": 0}, "num_children"),
        ({"num_samples": -1}, "--search_samples"),
        ({"simulations": 0}, "simulations"),
        ({"depth": 0}, "depth"),
        ({"c": -0.1}, "--c_puct must be at least 0, got -0.1"),
        ({"c": float("nan")}, "--c_puct"),
        ({"alpha": 1.5}, r"--alpha must lie in \[0, 1\], got 1.5"),
        ({"max_tokens": 0}, "--search_tokens must be above 0, got 0"),
        ({"max_seconds": -1.0}, "--search_time_s"),
        ({"roll_branch": 0}, "roll_branch"),
        ({"roll_forward_steps": 0}, "roll_forward_steps"),
        ({"lookahead_steps": -1}, "lookahead_steps"),
        ({"num_parallel": 0}, "num_parallel"),
        ({"score": "puckt"}, "'puckt'; the nearest is puct"),
        ({"backup": "visit_weigthed"}, "the nearest is visit_weighted"),
        ({"roll_kind": "gready"}, "the nearest is greedy"),
        ({"reflection": "simpel"}, "the nearest is simple"),
        ({"vote": "majorty"}, "the nearest is majority"),
        ({"aggregate": "lst"}, "the nearest is last"),
        ({"best_by": "q_values"}, "the nearest is q_value"),
        ({"roll_kind": "random", "values_children": False}, "rest_mcts values none"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        published("rest_mcts", **changes)


def test_an_unknown_method_is_told_the_nearest():
    with pytest.raises(ValueError, match="the nearest is rest_mcts"):
        published("rest_mtcs")


def test_what_is_not_given_stays_as_published():
    assert published("mcts", c=None, depth=5) == published("mcts", depth=5)
    assert published("mcts", depth=5).simulations == 40
    assert published("rstar") == PUBLISHED["rstar"]


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (published("greedy"), False),
        (published("cot"), False),
        (published("maj"), False),
        (published("maj", vote="weighted"), True),
        (published("best_of_n"), True),
        (published("best_of_n", vote="majority"), False),
        *((published(name), True) for name in METHOD_NAMES[4:]),
    ],
)
def test_who_needs_values(settings, needed):
    assert settings.needs_values is needed


def tree_of_two():
    tree = SearchTree({})
    for visits, value in ((4, 0.5), (0, 0.3)):
        tree.add(
            ROOT, Node(Step(str(visits)), visits=visits, value_sum=2.0, value=value, num_tokens=1)
        )
    tree.root.visits = 4
    return tree


def test_published_rules_are_the_papers():
    mcts, rest, rstar = (published(name).rules for name in ("mcts", "rest_mcts", "rstar"))
    tree = tree_of_two()
    # 2/4 + 1.25 * 1 * 2 / 5; 0.3 + 0.8; 0.3.
    assert mcts.score(tree, 1) == pytest.approx(1.0)
    assert rest.score(tree, 2) == pytest.approx(1.1)
    assert rstar.score(tree, 2) == pytest.approx(0.3)
    assert (mcts.back_up, mcts.roll_out, mcts.values_children) == (backup.mean, None, False)
    assert (mcts.limits.simulations, mcts.limits.depth, mcts.num_children) == (40, 8, 5)
    assert (rest.back_up, rest.num_children) == (backup.visit_weighted, 3)
    assert rest.gate(tree, 1) is False
    tree.nodes[2].value = 0.9
    assert rest.gate(tree, 2)
    assert not mcts.gate(tree, 2)
    assert rstar.back_up is backup.terminal_only


def test_the_root_of_a_beam_is_asked_for_as_many_steps_as_all_its_places():
    assert published("sbs").beam_rules.root_children == 15
    assert published("tot_bfs").beam_rules.root_children == 3
    assert published("sbs").beam_rules.lookahead_steps == 0
    assert published("lookahead").beam_rules.lookahead_steps == 3
