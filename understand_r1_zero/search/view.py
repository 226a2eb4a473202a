"""A searched tree as one HTML file that needs nothing else and asks no network for anything.

What a model wrote is hostile: all of it is escaped, and a content policy forbids every script but ours.
"""

import base64
import hashlib
import html
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from understand_r1_zero.console import duration
from understand_r1_zero.run_directory import disk_errors_explained, write_atomic
from understand_r1_zero.search.records import chosen_of, facts_of, golds_of, question_of
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.summary import is_right, is_solved, tree_size
from understand_r1_zero.search.tree import ROOT, Node, SearchTree
from understand_r1_zero.search.view_assets import SCRIPT, STYLE

UNFOLDED_NODES = 60
"""Up to so many nodes a page opens with all of them; a larger one along the chosen path."""
_MARKUP = re.compile(r"(?:</?(?:step|p|code|output)>|```(?:python)?)\n?")
"""What delimits the parts of a step: hidden at first."""
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {127: 0x2421}
"""Control characters, which HTML forbids, and the signs that stand for them."""
_WORDS = {True: "right", False: "wrong", None: "answer"}


def write_view(tree: SearchTree, path: Path) -> None:
    """Write the page of a tree.

    Raises:
        OSError: the file cannot be written.
    """
    with disk_errors_explained(path):
        write_atomic(path, page(tree))


def page(tree: SearchTree) -> str:
    """The HTML of a tree: its problem, what the search came to, and a row for each node, parents first.

    A node's row has its tag, the step in one line, Q (`value_sum / visits`), V (`value`), N (`visits`), P
    (`prior`), and, where any node has them, count, end and reward. Words mark the chosen path and answers.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    title = " ".join(question_of(tree.record).split())[:80] or "a search tree"
    off = "" if chosen_of(tree) is not None else " disabled"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title><style>{STYLE}</style></head><body>
{_header(tree)}
<nav><button id="fold">Fold all</button><button id="unfold">Unfold all</button>
<button id="path"{off}>Only the chosen path</button><button id="texts">Whole texts</button><button id="delimiters">Delimiters</button>
<span>An arrow folds what is below a step, a click on its text opens it.</span></nav>
{_table(tree)}
<script>{SCRIPT}</script></body></html>
"""


def escaped(text: str) -> str:
    """Text as HTML; control characters become visible signs, lone surrogates their escapes."""
    readable = text.replace("\r\n", "\n").translate(_CONTROLS)
    readable = readable.encode("utf-8", "backslashreplace").decode("utf-8")
    return html.escape(readable)


def _header(tree: SearchTree) -> str:
    facts, size = facts_of(tree), tree_size(tree)
    entries = {
        "gold answer": escaped(", ".join(golds_of(tree.record))) or "not known",
        "chosen answer": _chosen_answer(tree),
        "answers found": _answers_found(tree),
        "method": escaped(str(facts.get("method", ""))),
        "nodes": f"{size.nodes:,}",
        "depth": f"{size.depth}",
        "simulations": f"{facts['simulations']:,}" if "simulations" in facts else "",
        "sampled tokens": f"{size.tokens:,}" if size.tokens else "",
        "time": "" if size.seconds is None else duration(size.seconds),
        "ended by": escaped(str(facts.get("reason", ""))),
        "seed": escaped(str(facts.get("seed", ""))),
    }
    listed = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in entries.items() if value
    )
    return (
        f'<header><h1>Search tree</h1><p class="problem">{escaped(question_of(tree.record))}</p>'
        f"<dl>{listed}</dl></header>"
    )


def _chosen_answer(tree: SearchTree) -> str:
    chosen = chosen_of(tree)
    if chosen is None:
        return "none"
    found, status = is_solved(tree), facts_of(tree).get("status")
    word = _WORDS[found] if found is not None else status or "not graded"
    if status not in (None, "correct", "incorrect", word):
        word += f" ({status})"
    answer = tree.nodes[chosen].answer
    return _mark(f"{word}: {'no answer' if answer is None else answer}", _WORDS[found])


def _answers_found(tree: SearchTree) -> str:
    found = Counter(is_right(tree, number) for number in tree.finals())
    names = {True: "right", False: "wrong", None: "not graded"}
    return ", ".join(f"{found[key]} {name}" for key, name in names.items() if found[key]) or "none"


def _q(node: Node) -> float | None:
    return node.mean() if node.visits else None


def _decimals(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _prior(node: Node) -> str:
    return f"{node.prior:.2f}" if node.num_tokens else ""


def _count(node: Node) -> str:
    return f"×{node.count}" if node.count > 1 else ""


def _reward(node: Node) -> str:
    return "" if node.reward is None else f"{node.reward:+g}"


@dataclass(frozen=True, slots=True)
class _Column:
    """Cells of one kind: text, or a value with its bar."""

    name: str
    meaning: str
    kind: str
    text: Callable[[Node], str]
    value: Callable[[Node], float | None] = lambda node: None


_COLUMNS = (
    _Column("Q", "mean of what simulations brought up", "number", lambda n: _decimals(_q(n)), _q),
    _Column(
        "V", "the oracle's own value", "number", lambda n: _decimals(n.value), lambda n: n.value
    ),
    _Column("N", "visits", "number", lambda n: str(n.visits)),
    _Column("P", "prior: geometric mean of the tokens' probabilities", "number", _prior),
    _Column("count", "equal samples that are this step", "number", _count),
    _Column("end", "why nothing may follow", "word", lambda n: escaped(n.terminal)),
    _Column("reward", "the grader's", "number", _reward),
)


def _table(tree: SearchTree) -> str:
    columns = [c for c in _COLUMNS if any(c.text(node) for node in tree.nodes)]
    values = [v for node in tree.nodes for c in columns if (v := c.value(node)) is not None]
    low, high = _range(values)
    heads = "".join(
        f'<th class="{column.kind}" title="{escaped(column.meaning)}">{column.name}</th>'
        for column in columns
    )
    chosen = chosen_of(tree)
    path = [] if chosen is None else tree.path(chosen)
    is_folded = _folded_at_first(tree, path)
    order = list(tree.below(ROOT))
    place = {number: i for i, number in enumerate(order)}
    below = _below(tree, order)
    rows = []
    for number in order:
        node = tree.nodes[number]
        names = {
            "root": number == ROOT,
            "path": number in path,
            "folded": is_folded(number) and bool(node.children),
        }
        classes = " ".join(name for name, is_so in names.items() if is_so)
        parent = "" if number == ROOT else f' data-parent="{place[node.parent]}"'
        cells = "".join(_cell(column, node, low, high) for column in columns)
        step = _step_cell(tree, number, below[number], path)
        rows.append(f'<tr class="{classes}"{parent}><td>{step}</td>{cells}</tr>')
    return (
        f"<table><thead><tr><th>step</th>{heads}</tr></thead><tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>"
    )


def _folded_at_first(tree: SearchTree, path: list[int]) -> Callable[[int], bool]:
    if len(tree.nodes) <= UNFOLDED_NODES:
        return lambda number: False
    if path:
        return lambda number: number != ROOT and number not in path
    return lambda number: tree.nodes[number].depth > 0


def _below(tree: SearchTree, order: list[int]) -> list[str]:
    """What a folded node hides: how many steps, and how many right and wrong answers."""
    counts = [Counter[str]() for _ in tree.nodes]
    for number in reversed(order[1:]):
        parent = counts[tree.nodes[number].parent]
        parent.update(counts[number])
        parent["steps"] += 1
        if tree.nodes[number].answer is not None and (found := is_right(tree, number)) is not None:
            parent[_WORDS[found]] += 1
    return [
        ", ".join(f"{c[name]} {name}" for name in ("steps", "right", "wrong") if c[name])
        for c in counts
    ]


def _range(values: list[float]) -> tuple[float, float]:
    """Of the bars: 0 to 1 and -1 to 1, or wider where values are."""
    high = max([1.0, *map(abs, values)])
    return (-high if min(values, default=0.0) < 0 else 0.0), high


def _cell(column: _Column, node: Node, low: float, high: float) -> str:
    value = column.value(node)
    if value is None:
        return f'<td class="{column.kind}">{column.text(node)}</td>'
    ends = sorted((place - low) / (high - low) for place in (0.0, value))
    style = f"--from:{ends[0]:.1%};--to:{ends[1]:.1%}"
    return f'<td class="{column.kind} bar" style="{style}">{column.text(node)}</td>'


def _step_cell(tree: SearchTree, number: int, below: str, path: list[int]) -> str:
    node = tree.nodes[number]
    marks = []
    if number in path:
        marks.append(_mark(*(("chosen",) * 2 if number == path[-1] else ("path",) * 2)))
    if node.answer is not None:
        word = _WORDS[is_right(tree, number)]
        marks.append(_mark(f"{word}: {node.answer}", word))
    fold, hidden = '<span class="none"></span>', ""
    if node.children:
        fold = '<button class="fold" title="fold what is below"></button>'
        hidden = f'<span class="below">below: {below}</span>'
    text = "the problem" if number == ROOT and not node.text else _shown(node.step)
    return (
        f'<div class="step" style="--d:{node.depth}">{fold}'
        f'<button class="tag" title="open the text">{tree.tag(number)}</button>'
        f'{"".join(marks)}<div class="text">{text}</div>{hidden}</div>'
    )


def _shown(step: Step) -> str:
    """The text of a step as HTML: `<code>` is what it had run, `<samp>` what the interpreter said."""
    start = _observation_start(step)
    own, said = step.text[:start], step.text[start:]
    code = (step.code or "").strip()
    before, found, after = own.partition(code) if code else (own, "", "")
    parts = [_marked(before), f"<code>{escaped(found)}</code>" if found else "", _marked(after)]
    return "".join(parts) + (f"<samp>{_marked(said)}</samp>" if said else "")


def _observation_start(step: Step) -> int:
    """Files of other programs do not say where it starts: there it is the observation at the text's end."""
    if step.observation_start is not None:
        return step.observation_start
    said = (step.observation or "").strip()
    found = step.text.rfind(said) if said else -1
    return len(step.text) if found < 0 else found


def _marked(text: str) -> str:
    parts, end = [], 0
    for match in _MARKUP.finditer(text):
        parts += [
            escaped(text[end : match.start()]),
            f'<span class="markup">{escaped(match[0])}</span>',
        ]
        end = match.end()
    return "".join(parts) + escaped(text[end:])


def _mark(text: str, kind: str) -> str:
    return f'<b class="mark {kind}">{escaped(text)}</b>'
