import pytest

from understand_r1_zero.search.codecs.answers import fenced_code, final_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Final Answer: 5", "5"),
        ("Final Answer: 5</p>\n</step>", "5"),
        ("Final Answer: 5\n<Solution complete>", "5"),
        ("Final Answer: 4\nFinal Answer: 5", "5"),
        ("Final Answer: the box \\boxed{5}.", "5"),
        ("Final Answer: $5", "$5"),
        ("Final Answer: 5$", "5$"),
        ("Final Answer:", None),
        ("Final Answer: $ $", None),
        ("Final answer: 5", None),
        ("5", None),
    ],
)
def test_what_follows_the_mark(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("section", "code"),
    [
        ("\n```python\nprint(1)\n```\n", "print(1)"),
        ("```py\nprint(1)```", "print(1)"),
        ("```\n  x\n```", "  x"),
        ("```Python \r\nprint(1)\r\n```", "print(1)"),
        ("```python\ns = '''\n```\n'''\n```", "s = '''\n```\n'''"),
        ("```python\n```", ""),
        ("```python```", None),
        ("```python\nprint(1)", None),
        ("print(1)\n```", None),
        ("```bash\nls\n```", None),
        ("Run this:\n```python\nprint(1)\n```", None),
        ("", None),
    ],
)
def test_code_in_a_fence(section, code):
    assert fenced_code(section) == code
