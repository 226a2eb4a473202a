"""Solutions of ReAct written in XML."""

from collections import Counter

from understand_r1_zero.args_rounds import LabelArgs
from understand_r1_zero.labels.rewritten import in_xml, written
from understand_r1_zero.labels.solutions import Solution
from understand_r1_zero.search.codecs.alphamath import XmlCodec
from understand_r1_zero.search.codecs.react import ReactCodec
from understand_r1_zero.search.step import Step

REACT = ReactCodec()


def react_steps():
    first = REACT.parse(
        "Thought: Add them.\n\nAction: python_interpreter\n\nAction Input:\n```python\nprint(2+3)\n```\n\nObservation:"
    )
    assert isinstance(first, Step)
    first = REACT.observe(first, "5")
    last = REACT.parse("Thought: It is 5.\n\nFinal Answer: $5$\n<Solution complete>", [first])
    assert isinstance(last, Step)
    return first, last


def test_steps_are_those_that_an_xml_policy_would_have_written():
    new = in_xml(Solution("2+3?", react_steps(), True, "5", nodes=(1, 2)))
    assert new is not None
    assert new.text == (
        "<step>\n<p>\nAdd them.\n</p>\n<code>\n```python\nprint(2+3)\n```\n</code>\n<output>\n5\n</output>\n</step>\n"
        "<step>\n<p>\nIt is 5.\n</p>\n<p>\nFinal Answer: 5\n</p>\n</step>\n"
    )
    assert [(s.code, s.answer) for s in XmlCodec().split(new.text)] == [
        ("print(2+3)", None),
        (None, "5"),
    ]
    start, end = new.trained_spans[0]
    assert new.text[start:end].endswith("</code>"), "what the interpreter wrote is not trained on"


def test_a_solution_without_a_form_is_left_out_and_a_failed_end_is_cut_off():
    first, last = react_steps()
    nothing_run = REACT.parse("Thought: Hm.\n\nAction: None\n\nAction Input: None\n\nObservation:")
    assert isinstance(nothing_run, Step)
    failed = Solution("2+3?", (first, Step("Thought and no")), False, None, nodes=(1, 2))
    silent = Solution("2+3?", (nothing_run, last), True, "5", nodes=(1, 2))
    left_out = Counter()
    kept, codec = written([failed, silent], LabelArgs(label_codec="xml"), REACT, left_out)
    assert codec == XmlCodec()
    assert [(each.nodes, len(each.steps)) for each in kept] == [((1,), 1)]
    assert left_out == {"solutions that xml has no form for": 1}
    assert written([silent], LabelArgs(), REACT, left_out) == ([silent], REACT)
