"""`python -m bench.step_rewards [--seeds 0 1 2]`: does PPO learn from fewer tokens if steps are rewarded too?

The task has a sparse outcome: sums of eight digits for `examples/tiny/stepper`, which was trained on three to five
and errs at one step in eight, so that few whole solutions are right. Twice the same PPO, with the outcome
alone and with a process reward model's gains at step ends (`--oracle prm --step_reward gain`).

The process reward model is made of the policy's own samples, without knowing which steps are right: a step is
good if any sample of its problem that begins with the same steps comes to the right answer (Math-Shepherd's hard
estimate, with the group's samples as completions). Problems that no sample solves are left out: their right
steps would be called wrong.

Writes `bench/results/step_rewards.json`: the sampled tokens, the oracle's counted, until the mean accuracy of
`WINDOW_STEPS` steps' samples reaches `TARGET`, and the curves. Runs stay in `runs/algorithms/`, and one that is
complete under the same flags is not run again.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import RESULTS
from bench.algorithm_kinds import DATA, Flags, Run
from bench.algorithms import run_of
from bench.result import Result
from bench.side import REPOSITORY
from understand_r1_zero.search.codecs.registry import load_codec
from understand_r1_zero.templates import load_template

COMMAND = "python -m bench.step_rewards"
NUM_TERMS = 8
TARGET = 0.5
"""The accuracy of samples that is to be reached."""
AT_MOST = 0.5
"""The share of the tokens of outcome reward that rewards of steps may need."""
WINDOW_STEPS = 5
MAX_STEPS = 60
MAX_TOKENS = 96
MARKED = DATA / "marked_steps.jsonl"
POLICY = "examples/tiny/stepper"
SUMS = (
    f"reasoning_gym:chain_sum?min_terms={NUM_TERMS}&max_terms={NUM_TERMS}"
    "&min_digits=1&max_digits=1&size=6000"
)
TASK: Flags = (
    *("--pretrain", POLICY, "--prompt_data", SUMS, "--generate_max_length", str(MAX_TOKENS)),
    *("--eval_steps", "-1", "--warn_truncated", "1"),
)
SAMPLES: Flags = (
    *TASK,
    *("--rollout_batch_size", "32", "--num_samples", "32", "--max_steps", "4"),
    *("--learning_rate", "0", "--seed", "1000"),
)
"""No update: the policy's own samples, as they are graded."""
MODEL: Flags = (
    *("--algo", "value", "--value_loss", "bce", "--pretrain", POLICY, "--learning_rate", "2e-3"),
    *("--rollout_batch_size", "64", "--num_prompt_epoch", "100", "--max_steps", "200"),
    *("--lr_scheduler", "linear", "--lr_warmup_ratio", "0.05"),
    *("--holdout", "0.1", "--eval_steps", "50"),
)
PPO: Flags = (
    *TASK,
    *("--critic_type", "ppo", "--max_steps", str(MAX_STEPS)),
    *("--rollout_batch_size", "32", "--num_samples", "4"),
)


def main() -> int:
    """Make the process reward model, train by both rewards, compare; exit status 1 where too few tokens are saved."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    samples = run_of("step rewards samples", SAMPLES)
    num_rows = write_marked(samples, MARKED)
    data = ("--value_data", str(MARKED.relative_to(REPOSITORY)))
    model = run_of("step rewards model", (*MODEL, *data))
    steps: Flags = (
        *("--oracle", "prm", "--value_model", str(model.checkpoint.relative_to(REPOSITORY))),
        *("--step_reward", "gain"),
    )
    outcome_runs, step_runs = [], []
    for seed in seeds:
        flags = (*PPO, "--seed", str(seed))
        outcome_runs.append(run_of(f"step rewards outcome {seed}", flags))
        step_runs.append(run_of(f"step rewards prm {seed}", (*flags, *steps)))
        for name, run in (("outcome", outcome_runs[-1]), ("steps", step_runs[-1])):
            print(f"seed {seed}, {name}: {line_of(run)}", flush=True)
    result = Result(
        name="step_rewards",
        unit=f"sampled tokens until {TARGET:.0%} of samples are right",
        ours=[tokens_until(run.rows, TARGET)[0] for run in step_runs],
        theirs=[tokens_until(run.rows, TARGET)[0] for run in outcome_runs],
        target=AT_MOST,
        is_share=True,
        details={
            "seeds": seeds,
            "reached": {
                "ours": [tokens_until(run.rows, TARGET)[1] for run in step_runs],
                "theirs": [tokens_until(run.rows, TARGET)[1] for run in outcome_runs],
            },
            "curves": {
                "ours": [curve_of(run.rows) for run in step_runs],
                "theirs": [curve_of(run.rows) for run in outcome_runs],
            },
            "model": {
                "tokens": sum(tokens_of(row) for row in samples.rows),
                "solutions": num_rows,
                "auc": model.ends("eval/value_auc")[1],
            },
            "flags": {"ppo": list(PPO), "steps": list(steps)},
        },
    )
    result.write(RESULTS, COMMAND)
    print(f"ratio {result.figure:.2f}, wanted at most {AT_MOST}")
    return 0 if result.is_met else 1


def write_marked(samples: Run, path: Path) -> int:
    """Write the marked solutions of a run's samples as `--value_data`; returns how many."""
    groups: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    prompts: dict[str, str] = {}
    for file in sorted((samples.directory / "samples").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            group = json.loads(line)
            prompts[group["problem"]] = group["prompt"]
            groups[group["problem"]] += [
                (response["text"], response["status"] == "correct")
                for response in group["responses"]
                if response["status"] != "truncated"
            ]
    rows = [
        {"prompt": prompts[problem], "steps": steps, "values": values}
        for problem, solutions in groups.items()
        for steps, values in marked(solutions)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return len(rows)


def marked(solutions: Sequence[tuple[str, bool]]) -> Iterator[tuple[list[str], list[float]]]:
    """The different solutions of a problem in steps, each 1 if a right one begins with the steps up to it, else 0.

    Nothing where no solution is right.
    """
    codec = load_codec("lines", load_template("qwen_math"))
    split = [
        (tuple(step.text for step in codec.split(text)), is_right) for text, is_right in solutions
    ]
    good = {
        steps[:end] for steps, is_right in split if is_right for end in range(1, len(steps) + 1)
    }
    if good:
        for steps in dict.fromkeys(steps for steps, _ in split if steps):
            yield list(steps), [float(steps[:end] in good) for end in range(1, len(steps) + 1)]


def tokens_of(row: Mapping[str, Any]) -> float:
    """Sampled in a step, by the policy for itself and for an oracle."""
    return row.get("actor/num_tokens", 0.0) + row.get("actor/oracle_tokens", 0.0)


def curve_of(rows: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """(tokens so far, share of the step's samples that are right) after each step."""
    curve, total = [], 0.0
    for row in rows:
        if "actor/correct" in row:
            total += tokens_of(row)
            curve.append((total, row["actor/correct"]))
    return curve


def tokens_until(rows: Iterable[Mapping[str, Any]], target: float) -> tuple[float, bool]:
    """Tokens until the mean accuracy of `WINDOW_STEPS` steps reaches a target; all of them if it never does."""
    curve = curve_of(rows)
    for end in range(WINDOW_STEPS, len(curve) + 1):
        window = [accuracy for _, accuracy in curve[end - WINDOW_STEPS : end]]
        if sum(window) / len(window) >= target:
            return curve[end - 1][0], True
    return curve[-1][0], False


def line_of(run: Run) -> str:
    """What a run came to, in a line."""
    tokens, is_reached = tokens_until(run.rows, TARGET)
    curve = curve_of(run.rows)
    shown = ", ".join(f"{accuracy:.2f}" for _, accuracy in curve[:: max(1, len(curve) // 10)])
    reached = f"{TARGET:.0%} after {tokens:,.0f} tokens" if is_reached else "never reached"
    return f"{reached}; accuracy {shown}"


if __name__ == "__main__":
    sys.exit(main())
