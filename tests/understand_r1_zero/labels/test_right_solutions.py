"""Right solutions to fine-tune on."""

from collections import Counter

from tests.understand_r1_zero.labels.worlds import LINES, XML, forked, group, put
from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.right_solutions import rows
from understand_r1_zero.labels.sources import GivenResponse
from understand_r1_zero.search.tree import ROOT, SearchTree


def made(codec, *trees, responses=(), **flags):
    args = LabelArgs(label="solutions", **flags)
    return list(rows([group(*trees, responses=responses)], args, codec, Counter()))


def test_right_ones_alone_asked_by_the_template():
    assert made(LINES, forked(), forked()) == [{"query": "2 + 2 =", "response": "a\nb\nc 4"}]
    given = [GivenResponse("x 5", "5", False, False), GivenResponse("y 4", "4", True, False)]
    # A response was asked by the template, whatever the codec.
    for codec in (LINES, XML):
        assert made(codec, responses=given) == [{"query": "2 + 2 =", "response": "y 4"}]


def test_steps_of_a_codec_with_a_prompt_of_its_own_follow_that():
    tree = SearchTree({"question": "q", "answer": "4"})
    step = {"code": "4", "observation": "4", "observation_start": 5}
    number = put(tree, ROOT, "code\n<output>4</output>\n", **step)
    put(tree, number, "So 4", answer="4", reward=1.0)
    prompt = "<question> 2 + 2 = </question>\n"
    assert made(XML, tree) == [
        {
            "prompt": prompt,
            "completion": "code\n<output>4</output>\nSo 4",
            "trained_spans": [(0, 5), (24, 28)],
        }
    ]
    assert made(XML, forked()) == [{"prompt": prompt, "completion": "a\nb\nc 4"}]


def test_line_ends_behind_a_solution_are_the_codecs_and_not_trained_on():
    tree = SearchTree({"question": "q", "answer": "4"})
    put(tree, ROOT, "So 4\n", answer="4", reward=1.0)
    assert made(LINES, tree) == [{"query": "2 + 2 =", "response": "So 4"}]
    tree = SearchTree({"question": "q", "answer": "4"})
    step = {"code": "4", "observation": "4", "observation_start": 5}
    number = put(tree, ROOT, "code\n<output>4</output>\n", **step)
    put(tree, number, "So 4\n", answer="4", reward=1.0)
    (row,) = made(XML, tree)
    assert row["completion"].endswith("So 4")
    assert row["trained_spans"] == [(0, 5), (24, 28)]
