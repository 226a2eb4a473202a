"""The command verify, on the pooling engine."""

import json
import math

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from understand_r1_zero.templates import render_qwen_math

pytestmark = [pytest.mark.engine, pytest.mark.slow]

VERIFY = ("-m", "understand_r1_zero", "verify")
VALUE = "examples/tiny/value"
STEM = "State the final answer to the following arithmetic problem: "


def question(terms, wrong):
    """A sum with a right solution, one with each of the wrong first partial sums, and one without an answer."""
    text = " ".join(f"{'+-'[term < 0]} {abs(term)}" for term in terms).removeprefix("+ ")

    def solution(first):
        totals = [first]
        lines = [f"{terms[0]}{terms[1]:+d}={first}\n"]
        for term in terms[2:]:
            totals.append(totals[-1] + term)
            lines.append(f"{totals[-2]}{term:+d}={totals[-1]}\n")
        return "".join(lines) + f"\\boxed{{{totals[-1]}}}\n"

    firsts = [*wrong, terms[0] + terms[1]]
    texts = [solution(first) for first in firsts] + [f"{terms[0]}{terms[1]:+d}=\n"]
    return {"prompt": f"{STEM}{text} =", "preds": texts, "answer": str(sum(terms))}


QUESTIONS = [
    question((3, -7, 9), (4, 4)),
    question((5, 5, -8, 1), (0, 9)),
    question((9, -2, -8), (11, 6)),
    question((4, 5, -3, 6), (8, 1)),
    question((2, 6, 7), (4, 9)),
]


@pytest.fixture
def prm(tmp_path):
    """A random process reward model of two labels, whose values lie apart: float32 tells no 1 from another."""
    torch.manual_seed(2)
    path = tmp_path / "prm"
    model = AutoModelForTokenClassification.from_pretrained("examples/tiny/stepper", num_labels=2)
    torch.nn.init.normal_(model.score.weight, std=0.05)
    model.save_pretrained(path)
    AutoTokenizer.from_pretrained("examples/tiny/stepper").save_pretrained(path)
    return path


def step_values(directory, prompt, text):
    """Probabilities at the line ends, without vLLM."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForTokenClassification.from_pretrained(directory, dtype=torch.float32).eval()
    values = []
    for end in (i + 1 for i, letter in enumerate(text) if letter == "\n"):
        ids = tokenizer(render_qwen_math(prompt) + text[:end]).input_ids
        with torch.no_grad():
            outputs = model(torch.tensor([ids])).logits[0, -1].double()
        values.append(float(torch.sigmoid(outputs[-1] - (outputs[0] if len(outputs) > 1 else 0))))
    return values


def accuracies(directory, aggregate):
    """Of the best solution, and of the answer with the highest sum of values, by a plain loop."""
    best = weighted = 0
    for row in QUESTIONS:
        top, sums = (-1.0, ""), {}
        for text in row["preds"]:
            if "boxed" not in text:
                continue
            answer = text.split("{")[1].split("}")[0]
            score = aggregate(step_values(directory, row["prompt"], text))
            sums[answer] = sums.get(answer, 0.0) + score
            top = max(top, (score, answer), key=lambda pair: pair[0])
        best += top[1] == row["answer"]
        weighted += max(sums, key=sums.get) == row["answer"]
    return best / len(QUESTIONS), weighted / len(QUESTIONS)


def test_verifiers_choose_by_the_values_that_the_models_give(start_run, tmp_path, prm):
    file = tmp_path / "responses.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    flags = ["--verify", file, "--verifiers", f"orm={VALUE},prm={prm}", "--grader_workers", "1"]
    run = start_run(*flags, small=False, program=VERIFY)
    # Two engines start, one after the other.
    assert run.wait(timeout_s=400) == 0, run.text()
    assert f"5 questions of {file}, 4 solutions of each" in run.text()
    found = json.loads((tmp_path / "responses.verified.json").read_text())
    assert (tmp_path / "responses.verified.png").read_bytes().startswith(b"\x89PNG")
    assert found["verifiers"] == {"orm": VALUE, "prm": str(prm)}
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == 2 + 2 * 6
    reached = {name: row["accuracy"]["4"]["mean"] for name, row in rows.items()}
    # One of three answers is right; the first question has a wrong one twice, and of equal ones the first wins.
    assert reached["pass@n"] == 1.0 and reached["SC"] == 0.0
    aggregates = {"last": lambda values: values[-1], "min": min, "product": math.prod}
    for name, directory in (("orm", VALUE), ("prm", prm)):
        for aggregate, function in aggregates.items():
            expected = accuracies(directory, function)
            names = f"{name} ({aggregate})", f"SC+{name} ({aggregate})"
            assert [reached[each] for each in names] == pytest.approx(expected), names
    # SC is right nowhere: what a verifier is right of is what it is above SC.
    assert reached["orm (product)"] > 0
    assert rows["orm (product)"]["over_sc"]["mean"] == pytest.approx(reached["orm (product)"])


def test_what_cannot_verify_is_refused_before_anything_starts(start_run, tmp_path):
    file = tmp_path / "responses.jsonl"
    file.write_text(json.dumps(QUESTIONS[0]) + "\n")
    for place, (flags, said) in enumerate(
        [
            ((), "--verify names no file"),
            (("--verify", file, "--verifiers", "orm=examples/tiny/model"), "--verifiers examples"),
            (("--verify", file, "--verifiers", VALUE), "must be NAME=DIR,NAME=DIR"),
            (("--verify", file, "--output", tmp_path / "no" / "x.json"), "--output must lie in"),
        ]
    ):
        run = start_run(*flags, small=False, program=VERIFY, name=f"run{place}")
        assert run.wait() == 1 and said in run.text()
