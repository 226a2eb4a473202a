"""`python -m bench.step_rewards [--seeds 0 1 2]`: does PPO learn from fewer tokens if steps are rewarded too?

The outcome is sparse: six subtractions in a row, by a policy that errs at four in five of them
(`examples/tiny/stepper`, fine-tuned on the homework of pupils who do), so that one solution in 16,000 is right.
Twice the same PPO, with the outcome alone and with a process reward model besides (`--oracle prm`).

The process reward model learned a teacher's marks of homework, right and faulty, as PRM800K's are people's marks:
nothing was sampled for it.

Writes `bench/results/step_rewards.json`: the sampled tokens until the mean accuracy of `WINDOW_STEPS` steps' samples
reaches `TARGET`, and the curves. Runs stay in `runs/algorithms/`, and one that is complete under the same flags is
not run again.
"""

import argparse
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.__main__ import RESULTS
from bench.algorithm_kinds import DATA, Flags, Run
from bench.algorithms import run_of
from bench.result import Result
from bench.side import REPOSITORY
from bench.step_reward_data import write_homework, write_marked, write_problems

COMMAND = "python -m bench.step_rewards"
TARGET = 0.5
"""The accuracy of samples that is to be reached."""
AT_MOST = 0.5
"""The share of the tokens of outcome reward that rewards of steps may need."""
WINDOW_STEPS = 5
OUTCOME_STEPS, STEP_STEPS = 240, 80
SEED = 7
PROBLEMS, HOMEWORK, MARKED = (
    DATA / f"subtractions_{name}.jsonl" for name in ("asked", "hasty", "marked")
)
NUM_PROBLEMS, NUM_HOMEWORK, NUM_MARKED = 3000, 25_600, 25_600
STEPPER = "examples/tiny/stepper"


def of(path: Path) -> str:
    """A path as flags have it, the same on every machine."""
    return str(path.relative_to(REPOSITORY))


HASTY: Flags = (
    *("--algo", "sft", "--sft_data", of(HOMEWORK), "--pretrain", STEPPER),
    *("--learning_rate", "1e-3", "--rollout_batch_size", "128", "--max_steps", "200"),
    *("--lr_scheduler", "linear", "--eval_steps", "-1"),
)
SAMPLING: Flags = ("--generate_max_length", "96", "--eval_steps", "-1", "--warn_truncated", "1")
MODEL: Flags = (
    *("--algo", "value", "--value_loss", "bce", "--value_data", of(MARKED), "--pretrain", STEPPER),
    *("--learning_rate", "2e-3", "--lr_scheduler", "linear", "--lr_warmup_ratio", "0.05"),
    *("--rollout_batch_size", "64", "--max_steps", "600"),
    *("--holdout", "0.1", "--eval_steps", "300"),
)
PPO: Flags = (
    *SAMPLING,
    *("--prompt_data", of(PROBLEMS), "--critic_type", "ppo", "--lam", "0.95"),
    *("--rollout_batch_size", "8", "--num_samples", "4"),
)
"""At first one response in 500 steps is right."""


def main() -> int:
    """Make the process reward model, train by both rewards, compare; exit status 1 where too few tokens are saved."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    # So that the run that is under way ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    write_problems(PROBLEMS, NUM_PROBLEMS, SEED)
    write_homework(HOMEWORK, NUM_HOMEWORK, SEED)
    write_marked(MARKED, NUM_MARKED, SEED + 1)
    policy = ("--pretrain", of(run_of("step rewards hasty", HASTY).checkpoint))
    model = run_of("step rewards model", MODEL)
    auc = model.ends("eval/value_auc")[1]
    print(f"model: held-out AUC {auc:.3f}", flush=True)
    steps: Flags = (
        *("--oracle", "prm", "--value_model", of(model.checkpoint)),
        *("--step_reward", "gain", "--max_steps", str(STEP_STEPS)),
    )
    outcome_runs, step_runs = [], []
    for seed in seeds:
        flags = (*PPO, *policy, "--seed", str(seed))
        outcome = (*flags, "--max_steps", str(OUTCOME_STEPS))
        outcome_runs.append(run_of(f"step rewards outcome {seed}", outcome))
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
            "model_auc": auc,
            "flags": {"ppo": list(PPO), "steps": list(steps)},
        },
    )
    result.write(RESULTS, COMMAND)
    print(f"ratio {result.figure:.2f}, wanted at most {AT_MOST}")
    return 0 if result.is_met else 1


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
