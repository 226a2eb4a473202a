"""What a step is given of stored examples."""

import numpy as np

from learners.feed import Examples, Stored
from understand_r1_zero.collect import Position
from understand_r1_zero.encoding import SupervisedExample
from understand_r1_zero.value_examples import ValueExample


def text_of(number: int) -> SupervisedExample:
    return SupervisedExample(np.array([number]), np.array([1, 2]), np.ones(2, bool))


def value_of(number: int, group: int) -> ValueExample:
    return ValueExample(text_of(number), np.array([1]), np.array([1.0], np.float32), group)


def test_the_solutions_that_a_ranking_compares_come_in_one_step():
    groups = [0, 0, 0, 2, 2, 3, 5, 5, 5]
    stored = Examples([value_of(i, group) for i, group in enumerate(groups)], [])
    position = Position()
    source = Stored(stored.units, 2, seed=0, position=position)
    seen = []
    for _ in range(6):
        examples = source.next(0).examples
        found = {example.group for example in examples}
        assert len(found) == 2
        assert len(examples) == sum(groups.count(group) for group in found)
        seen += [example.group for example in examples]
    assert sorted(seen) == sorted(groups * 3)
    assert position.next == 12


def test_other_examples_are_drawn_one_by_one():
    stored = Examples([text_of(number) for number in range(5)], [])
    source = Stored(stored.units, 5, seed=1, position=Position())
    feed = source.next(0)
    assert sorted(int(e.prompt_token_ids[0]) for e in feed.examples) == [0, 1, 2, 3, 4]
    assert feed.metrics["misc/prompt_dataset_len"] == 5


def test_what_was_left_out_is_told():
    stored = Examples([text_of(0)], [], num_long=2, num_wrong=3)
    assert list(stored.lines()) == [
        "1 training examples",
        "left out 2 examples that are too long",
        "left out 3 wrong solutions",
    ]
