"""GSM8K as Self-Explore asks it: the question on a line, then a step a line, and "The answer is" in the last.

    python -m examples.self_explore.gsm8k GSM8K_DIRECTORY OUT [--train N] [--test N]

reads `train.jsonl` and `test.jsonl` of {query, response}, the answer behind `####`, and writes `sft.jsonl`
({query, response}), `problems.jsonl` and `test.jsonl` ({problem, answer}). `GSM8K` is the template.
"""

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from understand_r1_zero.rejection import write_rows
from understand_r1_zero.templates import Template

ANSWER = "The answer is"
_CALCULATION = re.compile(r"<<[^>]*>>")


def render(problem_text: str, tokenizer: Any = None) -> str:
    """The question and a line end."""
    return f"{problem_text}\n"


GSM8K = Template("gsm8k", render, extraction="sentence", needs_tokenizer=False)


def solution_of(response: str) -> tuple[str, str]:
    """A solution that ends in `The answer is ...`, and the answer.

    What a calculator would have written, `<<48/2=24>>`, is left out: nobody runs one here.
    """
    steps, _, answer = _CALCULATION.sub("", response).partition("####")
    return f"{steps.rstrip()}\n{ANSWER} {answer.strip()}", answer.strip()


def rows_of(path: Path, count: int) -> list[dict[str, str]]:
    """The first `count` rows as {query, response, answer}."""
    lines = path.read_text(encoding="utf-8").splitlines()[:count]
    rows = []
    for row in map(json.loads, lines):
        response, answer = solution_of(row["response"])
        rows.append({"query": row["query"], "response": response, "answer": answer})
    return rows


def _problems(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"problem": row["query"], "answer": row["answer"]} for row in rows]


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--train", type=int, default=10_000, help="training problems, the first ones"
    )
    parser.add_argument("--test", type=int, default=10_000, help="test problems, the first ones")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train = rows_of(options.source / "train.jsonl", options.train)
    write_rows(
        options.out / "sft.jsonl",
        ({"query": row["query"], "response": row["response"]} for row in train),
    )
    write_rows(options.out / "problems.jsonl", _problems(train))
    test = rows_of(options.source / "test.jsonl", options.test)
    write_rows(options.out / "test.jsonl", _problems(test))


if __name__ == "__main__":
    main()
