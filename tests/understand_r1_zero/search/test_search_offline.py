"""Answers of trees that are already there."""

import operator

import pytest

from tests.understand_r1_zero.search.grown_trees import searched
from understand_r1_zero.search.offline import AnswerRule, OfflineScore, choose, infer, judge
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import SIGNED
from understand_r1_zero.search.tree import ROOT, Node, SearchTree


def drawn() -> SearchTree:
    """Four solutions of two steps below three first steps, one of which leads nowhere.

    a (Q .2, V .9, N 5) -> a1 answers 1 (Q .3, V .4, N 4) and a2 answers 2 (Q .1, V .5, N 1);
    b (Q .6, V .5, N 2) -> b1 answers 2 (Q .5, V .3, N 1) and b2 answers 2 (Q .4, V .2, N 1);
    c (Q .9, V 1, N 9) -> c1 has no answer.
    """
    tree = SearchTree({"answer": "2"})
    tree.root.visits = 16
    for text, q, value, visits, ends in (
        ("a", 0.2, 0.9, 5, (("1", 0.3, 0.4, 4), ("2", 0.1, 0.5, 1))),
        ("b", 0.6, 0.5, 2, (("2", 0.5, 0.3, 1), ("2 ", 0.4, 0.2, 1))),
        ("c", 0.9, 1.0, 9, ((None, 0.9, 1.0, 9),)),
    ):
        parent = tree.add(ROOT, node(text, None, q, value, visits))
        for place, (answer, *numbers) in enumerate(ends, start=1):
            tree.add(parent, node(f"{text}{place}", answer, *numbers))
    return tree


def node(text, answer, q, value, visits):
    return Node(
        Step(text, answer=answer),
        value=value,
        visits=visits,
        value_sum=q * visits,
        logprob=-1.0,
        num_tokens=1,
    )


def chosen(tree, **rule):
    number = choose(tree, AnswerRule(**rule), lambda a, b: a.strip() == b.strip())
    return None if number is None else tree.nodes[number].text


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # One place: c is pruned, then the better of a and b.
        ({"strategy": "q_value"}, "b1"),
        ({"strategy": "value"}, "a2"),
        ({"strategy": "visit_count"}, "a1"),
        # a: .2 + 1.25 e^-1 4 / 6 = .507; b: .6 + 1.25 e^-1 4 / 3 = 1.213; then b1 = .5 + u, b2 = .4 + u.
        ({"strategy": "puct"}, "b1"),
        # Of a and b both, the two best of the four ends.
        ({"strategy": "q_value", "width": 2}, "b1"),
        ({"strategy": "value", "width": 2}, "a2"),
        ({"strategy": "visit_count", "width": 2}, "a1"),
        ({"strategy": "q_value", "width": None}, "b1"),
        # Three of four answer 2; the best of these by value is a2, by Q b1.
        ({"strategy": "value", "width": None, "vote": "majority"}, "a2"),
        ({"strategy": "q_value", "width": None, "vote": "majority"}, "b1"),
        # The two most visited answer 1 (4) and 2 (1): one each, the better one first.
        ({"strategy": "visit_count", "width": 2, "vote": "majority"}, "a1"),
        # Steps together: a1 .36, a2 .45, b1 .15, b2 .1.
        ({"width": None, "score": "product"}, "a2"),
        ({"width": None, "score": "min"}, "a2"),
        ({"width": None, "vote": "weighted", "score": "last"}, "a2"),
        ({"width": None, "vote": "weighted", "score": "product"}, "a2"),
    ],
)
def test_the_chosen_answer_by_hand(rule, expected):
    assert chosen(drawn(), **rule) == expected


def test_the_most_frequent_answer_need_not_have_the_most_weight():
    tree = drawn()
    tree.nodes[2].value = 1.0
    for number in (3, 5, 6):
        tree.nodes[number].value = 0.3
    assert chosen(tree, width=None, vote="majority", score="last") == "b1"
    assert chosen(tree, width=None, vote="weighted", score="last") == "a1"


def test_merged_duplicates_vote_as_often_as_they_were_sampled():
    tree = drawn()
    tree.nodes[2].count = 4
    assert chosen(tree, width=None, vote="majority") == "a1"


def test_values_of_another_scale_are_brought_to_weights_of_at_least_zero():
    tree = drawn()
    for number, value in ((1, 1.0), (4, 1.0), (2, -0.2), (3, -0.8), (5, -0.8), (6, -0.8)):
        tree.nodes[number].value = value
    # .4 for answer 1 against three times .1; as they are, the sums would be -.2 and -2.4.
    assert chosen(tree, width=None, vote="weighted", score="last", scale=SIGNED) == "a1"
    tree.nodes[6].value = 0.2
    assert chosen(tree, width=None, vote="weighted", score="last", scale=SIGNED) == "b2"
    with pytest.raises(ValueError, match="outside the scale 0 to 1"):
        chosen(tree, width=None, vote="weighted", score="last")


def test_a_tree_without_an_answer_has_none():
    tree = SearchTree({})
    tree.add(ROOT, Node(Step("a"), terminal="depth"))
    for vote, score in (("best", "strategy"), ("majority", "strategy"), ("weighted", "min")):
        assert chosen(tree, vote=vote, score=score) is None


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ({"strategy": "prior"}, "strategy must be one of q_value"),
        ({"vote": "all"}, "vote must be one of best"),
        ({"score": "max"}, "score must be one of strategy"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"vote": "weighted"}, "weighted vote needs a score of values"),
    ],
)
def test_rules_that_cannot_be_are_refused(rule, word):
    with pytest.raises(ValueError, match=word):
        AnswerRule(**rule)


def test_accuracy_counts_trees_without_an_answer_as_wrong():
    trees = [drawn(), drawn(), SearchTree({"answer": "2"})]
    trees[1].record["answer"] = "1"

    def is_right(answer, record):
        return answer == record["answer"]

    rules = {"q": AnswerRule()}
    score = infer(trees, rules, operator.eq, is_right)["q"]
    assert score == OfflineScore(num_trees=3, num_answered=2, num_right=1)
    assert score.accuracy == pytest.approx(1 / 3)
    assert infer([], rules, operator.eq, is_right)["q"].accuracy == 0.0


def test_a_searched_tree_gives_its_best_answer():
    tree = searched(30)
    assert tree.nodes[choose(tree, AnswerRule(), operator.eq)].answer == "24"


def test_final_nodes_without_a_reward_are_judged_and_others_left_alone():
    tree = drawn()
    tree.nodes[2].reward = 0.5
    (judged,) = judge([tree], lambda answer, record: answer.strip() == record["answer"])
    assert [node.reward for node in judged.nodes] == [
        None,
        None,
        0.5,
        1.0,
        None,
        1.0,
        1.0,
        None,
        None,
    ]
