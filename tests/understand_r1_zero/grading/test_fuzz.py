"""Answers that no grader should trust, and what they may cost: their own verdict and nothing else."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import psutil
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from understand_r1_zero.grading.conventions import PRESETS
from understand_r1_zero.grading.exact import normalise
from understand_r1_zero.grading.pool import Grade, GraderPool
from understand_r1_zero.types import Status

DEFAULT = PRESETS["default"]

SOUP = (
    *r"0 1 2 7 12 99 1234567 . , ; : ' / + - * = < > ( ) [ ] { } ^ _ & ! % $ | ~ \ \\ # @ ?".split(),
    *r"x y z N a e i n \pi \infty \pm \mp \cdot \times \div \to \le \ge \ne \in \cup \cap".split(),
    *r"\frac \dfrac \sqrt \sqrt[3] \binom \text \mathrm \mathbb \mathbf \boxed \left \right".split(),
    *r"\left( \right) \{ \} \langle \rangle \lfloor \rceil \sin \log \log_2 \lim \int \sum".split(),
    *r"\prod \min \gcd \pmod \overline \bar \hat \vec \angle ^\circ ^{2} _{1} \% \$ \, \!".split(),
    *r"\begin{pmatrix} \end{pmatrix} \begin{cases} \end{array} \foo \label \def \input".split(),
    *(" ", "\n", "\t", " or ", " and ", "million", " cm", "monday", "True", "nan", "1e5", "**"),
)
UNICODE = (
    "٣४๕𝟗１²³⁴½¾Ⅷ①",  # digits and numbers that are not ASCII
    "\u202e\u200f\u2066\u200b\ufeff\u0301\u0336",  # right to left, zero width, combining
    "πe∞√∑∫≤≥≠∈∪∅×÷·−–±°′″ℝ",
    "\ud800\udfff\U0010ffff\ufffe",
    "аеіοΑΒ𝑥𝒚🙂ß",
)


def soup(draw: random.Random) -> str:
    return draw.choice(["", " "]).join(draw.choices(SOUP, k=draw.randint(1, 24)))


def balanced_soup(draw: random.Random, depth: int = 0) -> str:
    if draw.random() < depth / 3:
        return draw.choice(["x", "y", "2", "3.5", "17", r"\pi", "i", r"\infty", "0"])
    forms = (
        r"\frac{%s}{%s}", r"%s+%s", r"%s-%s", r"(%s)(%s)", r"\sqrt[%s]{%s}", r"%s=%s", r"%s<%s",
        r"(%s,%s]", r"\{%s,%s\}", r"%s \cup %s", r"%s,%s", r"\binom{%s}{%s}", r"%s \text{ or } %s",
        r"\begin{pmatrix}%s\\%s\end{pmatrix}", r"%s_{%s}", r"|%s|\pm %s",
        r"\sin(%s)\cos(%s)", r"%s\%%%s", r"f(%s)=%s", r"{%s}^\circ %s", r"%s:%s", r"%s \in %s",
    )  # fmt: skip
    return draw.choice(forms) % (balanced_soup(draw, depth + 1), balanced_soup(draw, depth + 1))


def control(draw: random.Random) -> str:
    alphabet = [*map(chr, range(32)), "\x7f", "\x85", "\u2028", *"12x+{}\\$,"]
    return "".join(draw.choices(alphabet, k=draw.randint(1, 40)))


def unicode_text(draw: random.Random) -> str:
    alphabet = draw.choice(UNICODE) + "12x+/^{}(),. "
    return "".join(draw.choices(alphabet, k=draw.randint(1, 30)))


def nested(draw: random.Random) -> str:
    opening, closing = draw.choice(
        [
            ("{", "}"), ("(", ")"), ("[", ")"), ("|", "|"), ("-", ""), ("x^{", "}"), (r"\sqrt{", "}"),
            (r"\frac{1}{", "}"), (r"\left(", r"\right)"), (r"\text{", "}"), (r"\boxed{", "}"),
        ]
    )  # fmt: skip
    depth = draw.choice([3, 10, 30, 100, 300])
    return opening * depth + "7" + closing * (depth - draw.choice([0, 0, 0, 1, -1]))


def long(draw: random.Random) -> str:
    piece = draw.choice(
        [
            "9", "x+", "1,", " ", "{", "}", "(", r"\frac{1}{", r"\text{", "1e", "\\", "$", "\x00", "٣",
            "1 ", "1/", r"\pm", "and ", "x=", "[1,", r"\cup", "-", "!", "%", "\ud800", "5 or ",
        ]
    )  # fmt: skip
    return piece * (draw.choice([1_000, 20_000, 100_000]) // len(piece))


def heavy(draw: random.Random) -> str:
    n = draw.choice([3, 9, 99, 999, 99_999, 99_999_999])
    return draw.choice(
        [
            rf"{n}^{{{n}}}", f"{n}**{n}", rf"(x+1)^{{{n}}}", f"{n}!", f"({n}!)!", rf"\binom{{{n}}}{{7}}",
            rf"\frac{{1}}{{{n}!}}", rf"\sum_{{k=1}}^{{{n}}} k", rf"\prod_{{k=1}}^{{{n}}} k", f"1e{n}",
            rf"\sqrt[{n}]{{2}}", rf"10^{{-{n}}}", rf"\sin({n}^{{9}})", rf"\log_{{{n}}} {n + 1}",
            rf"x^{{x^{{{n}}}}}", rf"\int_0^{{{n}}} e^{{x^2}} dx", rf"{n}^{{1/{n}}}", f"{n}" * 40,
            rf"[0,{n}^{{{n}}})", rf"x^{{{n}}}={n}", rf"0.\overline{{{n}}}", f"{n}_{{{n}}}",
        ]
    )  # fmt: skip


def endless(draw: random.Random) -> str:
    return draw.choice(["9^{9^{9^{9}}}", "99999999!", "9**9**9**9", r"2^{2^{2^{2^{2^{2}}}}}"])


# A killed worker takes a second to replace: the last four kinds, which may cost one, are few.
MAKERS: dict[Callable[[random.Random], str], int] = {
    soup: 5600,
    balanced_soup: 540,
    control: 1800,
    unicode_text: 2000,
    nested: 12,
    long: 30,
    heavy: 14,
    endless: 4,
}


def nasty_answers() -> list[str]:
    draw = random.Random(0)
    answers = [make(draw) for make, count in MAKERS.items() for _ in range(count)]
    draw.shuffle(answers)
    return answers


def random_number(draw: random.Random) -> str:
    """A number of nine digits, which nothing hits by chance."""
    return draw.choice(["{}", "-{}", "0.{}", r"\frac{{{}}}{{1000003}}"]).format(
        draw.randint(10**8, 10**9)
    )


def resources() -> tuple[set[int], set[str], int]:
    """Child processes, threads and the number of open files of this process."""
    process = psutil.Process()
    children = {child.pid for child in process.children(recursive=True)}
    return children, {thread.name for thread in threading.enumerate()}, process.num_fds()


@pytest.mark.slow
def test_ten_thousand_nasty_answers() -> None:
    answers, draw = nasty_answers(), random.Random(1)
    assert len(answers) == 10_000
    before = resources()
    with GraderPool(num_workers=2, deadline_s=0.5) as pool:
        futures = [pool.submit(answer, [random_number(draw)], DEFAULT) for answer in answers]
        grades = [future.result(timeout=120) for future in futures]
        children, _, _ = resources()
        assert len(children - before[0]) <= 2
        assert pool.submit("x+1", ["1+x"], DEFAULT).result() == Grade(Status.CORRECT)
    assert resources() == before
    counts = Counter(grade.status for grade in grades)
    assert set(counts) <= {Status.INCORRECT, Status.TIMEOUT, Status.ERROR}, [
        (answer[:200], grade)
        for answer, grade in zip(answers, grades, strict=True)
        if grade.status in (Status.CORRECT, Status.UNKNOWN)
    ]
    assert counts[Status.TIMEOUT] + counts[Status.ERROR] <= 100, counts


ENDLESS = {100: "9^{9^{9^{9}}}", 700: "99999999!"}
"""Where they stand among good answers. math-verify as it is finishes neither."""


@pytest.mark.slow
def test_two_endless_answers_among_a_thousand_cost_one_deadline_each() -> None:
    deadline_s = 2.0
    finished_s = dict[int, list[tuple[float, int]]]()

    def note(index: int) -> None:
        finished_s.setdefault(threading.get_ident(), []).append((time.monotonic(), index))

    with GraderPool(num_workers=2, deadline_s=deadline_s) as pool:
        futures = []
        for n in range(1000):
            if n in ENDLESS:
                futures.append(pool.submit(ENDLESS[n], ["3"], PRESETS["math_verify"]))
            else:
                futures.append(pool.submit(f"{n}+x", [f"x+{n + n % 2}"], DEFAULT))
            futures[-1].add_done_callback(lambda _, n=n: note(n))
        statuses = [future.result(timeout=120).status for future in futures]
    assert statuses == [
        Status.TIMEOUT if n in ENDLESS else [Status.CORRECT, Status.INCORRECT][n % 2]
        for n in range(1000)
    ]
    # A thread grades one answer after another with its own worker: what lies between two is the cost.
    costs_s = {
        index: end_s - start_s
        for finished in finished_s.values()
        for (start_s, _), (end_s, index) in pairwise(sorted(finished))
    }
    for index in ENDLESS:
        assert deadline_s <= costs_s[index] < deadline_s + 1


short_soup = st.lists(st.sampled_from(SOUP), max_size=8)


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(num_workers=1, deadline_s=2.0) as pool:
        yield pool


@settings(deadline=None)
@given(text=st.one_of(st.text(max_size=40), short_soup.map("".join)))
def test_every_text_equals_itself_unless_it_says_nothing(text: str, pool: GraderPool) -> None:
    status = pool.submit(text, [text], DEFAULT).result().status
    assert status is (Status.CORRECT if normalise(text) else Status.UNKNOWN)


@settings(max_examples=150, deadline=None)
@given(tokens=short_soup, data=st.data())
def test_no_soup_is_equal_one_way_only(
    tokens: list[str], data: st.DataObject, pool: GraderPool
) -> None:
    changed = list(tokens)
    changed.insert(data.draw(st.integers(0, len(tokens))), data.draw(st.sampled_from(SOUP)))
    if data.draw(st.booleans()):
        changed.pop(data.draw(st.integers(0, len(tokens))))
    answer, gold = "".join(tokens), "".join(changed)
    futures = [pool.submit(*pair, DEFAULT) for pair in [(answer, [gold]), (gold, [answer])]]
    forward, backward = (future.result().status for future in futures)
    assume(Status.TIMEOUT not in (forward, backward))
    assert (forward is Status.CORRECT) is (backward is Status.CORRECT), (answer, gold)
