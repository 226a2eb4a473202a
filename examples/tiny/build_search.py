"""Build the tiny world for search: `python -m examples.tiny.build_search [--out DIR]`.

A policy that writes solutions in three step formats, some steps of them hasty (pupils.py), and a value model
that `train_zero_math.py --algo value` makes of it from its own samples (step_samples.py), which are labelled
by their final answers alone. README.md beside this file says what they know.
"""

import argparse
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoTokenizer

from examples.tiny.build import (
    build_model,
    draw_sum,
    in_parts,
    pretrain,
    worksheets,
)
from examples.tiny.pupils import FORMATS, documents, question_of
from examples.tiny.step_samples import Writer, grouped, held_out_questions, measure, search_problems
from examples.tiny.step_worth import (
    Valuer,
    auc,
    guided,
    judged,
    kinds,
    sibling_accuracy,
    write_value_data,
)
from understand_r1_zero.args import TINY_MODEL
from understand_r1_zero.checkpoint import latest_checkpoint
from understand_r1_zero.types import Problem

HERE = Path(__file__).parent
NUM_LAYERS = 3
MAX_RESPONSE = 128
NUM_PROBLEMS, NUM_SAMPLES = 2000, 8
"""What the value model learns from, in each format: so many problems, so many solutions of each."""
NUM_TERMS = 5
"""Of the benchmark."""
VALUE_DATA = "value.jsonl"
VALUE_FLAGS = (
    *("--algo", "value", "--value_loss", "bce", "--learning_rate", "2e-3"),
    *("--rollout_batch_size", "128", "--num_prompt_epoch", "100"),
    *("--lr_scheduler", "linear", "--lr_warmup_ratio", "0.05"),
    *("--holdout", "0.05", "--eval_steps", "100"),
)
MODEL_FILES = ("config.json", "model.safetensors")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
REPOSITORY = HERE.parents[1]
PHRASES = (
    *("<question> ", " </question>\n", "<step>\n<p>\n", "\n</p>\n<code>\n```python\nprint("),
    *(")\n```\n</code>", "\n<output>\n", "\n</output>\n</step>\n"),
    *("\n</p>\n<p>\nFinal Answer: ", "\n</p>\n</step>"),
    *("Step ", "The answer is \\boxed{", "Take ", " from ", "Add ", " to ", "That was all."),
)
"""Single tokens beside those of the demo's model: the tags of the XML with their line ends, and fixed words."""


def build_tokenizer() -> Any:
    """The demo model's, with `PHRASES`."""
    tokenizer: Any = AutoTokenizer.from_pretrained(TINY_MODEL)
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in PHRASES])
    return tokenizer


def build_policy(directory: Path, steps: int, seed: int) -> None:
    """Worksheets, then careful pupils only, then hasty ones."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, NUM_LAYERS)
    held_out = held_out_questions()
    parts = (
        (worksheets(rng), steps // 8),
        (documents(rng, draw_sum, held_out, is_careful=True), steps * 3 // 8),
        (documents(rng, draw_sum, held_out, is_careful=False), steps),
    )
    pretrain(model, in_parts(parts, tokenizer, rng, MAX_RESPONSE), steps)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory, save_jinja_files=False)


def write_samples(policy: Path, path: Path, seed: int) -> None:
    """Value data: the policy's own solutions of new problems, each format its own."""
    rng, held_out = random.Random(seed), held_out_questions()
    groups = []
    for name in FORMATS:
        problems = list(itertools.islice(new_problems(rng, held_out), NUM_PROBLEMS))
        solutions = Writer(policy, name).solve(problems, NUM_SAMPLES)
        groups += [(name, group) for group in grouped(solutions, NUM_SAMPLES)]
    print(f"value data: {write_value_data(path, groups)} solutions")


def new_problems(rng: random.Random, held_out: frozenset[str]) -> Iterator[Problem]:
    """Endless problems of the policy's corpus; none of `held_out` among them.

    Three in four are as long as the benchmark's: only these have the last steps, where most is to be learned.
    """
    for row in itertools.count():
        drawn = draw_sum(rng)
        while row % 4 and len(drawn.terms) < NUM_TERMS:
            drawn = draw_sum(rng)
        if question_of(drawn) not in held_out:
            yield Problem("sums", row, question_of(drawn), (str(drawn.answer),))


def build_value(policy: Path, directory: Path, work: Path, steps: int) -> None:
    """`train_zero_math.py --algo value` on the policy's samples."""
    flags = (
        *("--pretrain", str(policy.resolve()), "--value_data", str(work / VALUE_DATA)),
        *(*VALUE_FLAGS, "--max_steps", str(steps), "--save_path", str(work / "value")),
    )
    subprocess.run([sys.executable, "train_zero_math.py", *flags], cwd=REPOSITORY, check=True)
    checkpoint = latest_checkpoint(work / "value")
    assert checkpoint is not None, "a run ends with a checkpoint"
    directory.mkdir(parents=True, exist_ok=True)
    for source, names in ((checkpoint, MODEL_FILES), (policy, TOKENIZER_FILES)):
        for name in names:
            shutil.copyfile(source / name, directory / name)


def report(policy: Path, value: Path, num_samples: int = 8, width: int = 5) -> None:
    """Print what the policy makes of the benchmark, and what the value model makes of the policy."""
    problems, valuer = search_problems(), Valuer(value)
    for name in FORMATS:
        writer = Writer(policy, name)
        samples = writer.solve(problems, num_samples)
        steps = judged(name, samples, valuer)
        places = sorted({step.place for step in steps})
        by_place = (auc([step for step in steps if step.place == place]) for place in places)
        print({kind: round(share, 3) for kind, share in kinds(samples).items()})
        found = guided(writer, valuer, name, problems, width)
        print(
            f"{name}: AUC {auc(steps):.3f}, by place {[round(each, 3) for each in by_place]}, "
            f"of siblings {sibling_accuracy(steps):.3f}; the best of {width} at each step: "
            f"{sum(solution.is_right for solution in found) / len(found):.3f}"
        )


def main() -> None:
    """Build, save and measure both models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="where stepper/ and value/ are made")
    parser.add_argument("--steps", type=int, default=900, help="optimizer steps of the policy")
    parser.add_argument("--value_steps", type=int, default=500, help="of the value model")
    parser.add_argument("--value_only", action="store_true", help="keep the policy that is there")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    policy, value = options.out / "stepper", options.out / "value"
    torch.manual_seed(options.seed)
    start = time.perf_counter()
    if not options.value_only:
        build_policy(policy, options.steps, options.seed)
        print(f"policy built after {time.perf_counter() - start:.0f} s")
        measure(policy)
    with tempfile.TemporaryDirectory() as work:
        write_samples(policy, Path(work) / VALUE_DATA, options.seed)
        print(f"value data sampled after {time.perf_counter() - start:.0f} s")
        build_value(policy, value, Path(work), options.value_steps)
    print(f"value model built after {time.perf_counter() - start:.0f} s")
    report(policy, value)


if __name__ == "__main__":
    main()
