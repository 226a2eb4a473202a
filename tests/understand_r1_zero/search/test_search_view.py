"""The page of a tree: what is on it, and that hostile text stays text."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from tests.understand_r1_zero.search.grown_trees import searched
from understand_r1_zero.search.records import chosen_of, from_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import ROOT, Node, SearchTree
from understand_r1_zero.search.view import UNFOLDED_NODES, page, write_view


class Page(HTMLParser):
    """Elements in their order with their attributes, and the text inside each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, []
        self.rows = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))
        if tag == "tr":
            self.rows.append({"classes": dict(attrs).get("class", "").split(), "text": ""})
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_data(self, data):
        tag = self._open[-1] if self._open else ""
        self.texts.setdefault(tag, []).append(data)
        if "tr" in self._open:
            self.rows[-1]["text"] += data


def parsed(tree):
    return Page(page(tree))


def worked() -> SearchTree:
    """A step with code below the problem, then a right and a wrong answer, and one not graded."""
    text = "<p>\nAdd.\n</p>\n```python\nprint(2 < 3)\n```\n<output>\nTrue & so\n</output>\n"
    tree = SearchTree(
        {
            "question": "2 + 3?",
            "answer": "5",
            "search": {
                "method": "mcts",
                "chosen": "0.0.0",
                "status": "correct",
                "reason": "simulations",
                "simulations": 1200,
                "tokens": 34567,
                "seconds": 61.0,
                "seed": 7,
            },
        }
    )
    a = tree.add(ROOT, Node(Step(text, "print(2 < 3)", "True & so", None, text.index("<output>"))))
    for answer, reward in (("5", 1.0), ("6", -1.0), ("7", None)):
        number = tree.add(
            a,
            Node(
                Step(f"It is {answer}.", answer=answer),
                reward=reward,
                value=0.25,
                visits=4,
                value_sum=3.0,
                num_tokens=1,
                logprob=-1.0,
                count=2,
            ),
        )
        tree.end(number, "answer")
    return tree


def test_a_row_for_each_node_with_its_numbers_and_words():
    rows = parsed(worked()).rows[1:]
    assert [row["classes"] for row in rows] == [["root"], ["path"], ["path"], [], []]
    right, wrong, unknown = (row["text"] for row in rows[2:])
    assert right.startswith("0.0.0chosenright: 5It is 5.")
    assert right.endswith("0.750.2540.37×2answer+1")
    assert wrong.startswith("0.0.1wrong: 6")
    assert wrong.endswith("answer-1")
    assert unknown.startswith("0.0.2answer: 7")


def test_code_and_observation_are_told_apart():
    found = parsed(worked())
    assert found.texts["code"] == ["print(2 < 3)"]
    assert "".join(found.texts["samp"]).strip() == "True & so"
    whole = found.rows[2]["text"]
    assert worked().nodes[1].text in whole


def test_the_observation_of_a_file_of_super_mario_is_found_at_the_end_of_the_text():
    fields = {
        "text": "<code>\nprint(7)\n</code>\n<output>\n7\n</output>",
        "action_input": "print(7)",
        "extra_info": "7",
    }
    tree = from_record({"question": "q", "react": {"0": {"text": ""}, "0.0": fields}})
    found = parsed(tree)
    assert found.texts["code"] == ["print(7)"]
    assert "".join(found.texts["samp"]).strip() == "7"


def test_the_header_says_what_the_search_came_to():
    header = page(worked()).partition("<nav>")[0]
    for text in (
        "2 + 3?",
        "<dd>5</dd>",
        '<b class="mark right">right: 5</b>',
        "1 right, 1 wrong, 1 not graded",
        "mcts",
        "1,200",
        "34,567",
        "61.0s",
        "simulations",
    ):
        assert text in header


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("incorrect", '<b class="mark wrong">wrong: 5</b>'),
        ("timeout", '<b class="mark wrong">wrong (timeout): 5</b>'),
        ("unknown", '<b class="mark answer">unknown: 5</b>'),
    ],
)
def test_the_verdict_on_the_chosen_answer_is_the_records(status, expected):
    tree = worked()
    tree.record["search"]["status"] = status
    assert expected in page(tree)


def test_a_tree_without_answers_has_no_chosen_path():
    tree = SearchTree({})
    tree.add(ROOT, Node(Step("a"), terminal="no step"))
    text = page(tree)
    assert '<button id="path" disabled>' in text
    assert "<dt>chosen answer</dt><dd>none</dd>" in text
    assert [row["classes"] for row in Page(text).rows[1:]] == [["root"], []]


HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' style='position:fixed",
    "</b></td></tr></table><!--",
    "<step><iframe srcdoc='x'>",
    "&lt;script&gt; &#x3c;b&#x3e;",
)


def spoken(text: str) -> SearchTree:
    """A tree with the text everywhere a model, a data set or a record can put it."""
    tree = SearchTree(
        {
            "question": text,
            "answer": text,
            "search": {
                "method": text,
                "reason": text,
                "status": text,
                "chosen": "0.0",
                "seed": text,
            },
        }
    )
    final = Node(Step(f"{text} {text} {text}", text, text, text), terminal=text, num_tokens=1)
    tree.insert(Node(parent=ROOT, depth=1))
    tree.nodes[1].step, tree.nodes[1].terminal = final.step, text
    return tree


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_text(hostile):
    found, harmless = parsed(spoken(hostile)), parsed(spoken("harmless"))
    # Delimiters of steps are put into elements of their own, whoever wrote them.
    kept = [e for e in found.elements if e != ("span", (("class", "markup"),))]
    assert kept == harmless.elements
    shown = "".join(piece for pieces in found.texts.values() for piece in pieces)
    assert hostile in shown


def test_what_html_cannot_hold_is_shown_as_signs(tmp_path):
    tree = spoken("nul \0 escape \x1b[31m surrogate \ud800 line\rbreak")
    write_view(tree, tmp_path / "view.html")
    text = (tmp_path / "view.html").read_bytes().decode("utf-8")
    assert "nul ␀ escape ␛[31m surrogate \\ud800 line␍break" in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)


def test_the_page_needs_nothing_else_and_allows_no_other_script():
    text = page(searched(20))
    found = Page(text)
    names = {name for _, attributes in found.elements for name, _ in attributes}
    assert not names & {"src", "href", "srcset", "action", "data", "background"}
    assert not {name for name in names if name.startswith("on")}
    assert (
        "url(" not in text
        and "@import" not in text
        and "http:" not in text
        and "https:" not in text
    )
    (script,) = found.texts["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        in dict(found.elements[3][1])["content"]
    )


def test_a_large_tree_opens_along_its_chosen_path():
    tree = searched(110, seed=4)
    assert len(tree.nodes) > 400
    path = tree.path(chosen_of(tree))
    rows = dict(zip(tree.below(ROOT), parsed(tree).rows[1:], strict=True))
    for number, row in rows.items():
        is_on_path = number in path
        assert ("path" in row["classes"]) == is_on_path
        is_folded = bool(tree.nodes[number].children) and not is_on_path and number != ROOT
        assert ("folded" in row["classes"]) == is_folded
    assert "below: 69 steps, 10 right, 23 wrong" in rows[1]["text"]


def test_a_small_tree_opens_whole():
    tree = searched(5)
    assert len(tree.nodes) <= UNFOLDED_NODES
    assert not any("folded" in row["classes"] for row in parsed(tree).rows)
