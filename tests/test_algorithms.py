"""Every `--algo` through the command line, on real engines: it learns, it is saved."""

import json
import math
import random

import pytest
from transformers import AutoModelForTokenClassification

pytestmark = [pytest.mark.engine, pytest.mark.slow]

MODEL_FILES = ("config.json", "model.safetensors")


def sums(num_rows):
    """Problems as the demo asks them, with the solutions of a careful pupil."""
    rng = random.Random(0)
    for _ in range(num_rows):
        a, b, c = (rng.randrange(10) for _ in range(3))
        problem = f"State the final answer to the following arithmetic problem: {a} + {b} + {c} ="
        yield problem, [f"{a}+{b}={a + b}", f"{a + b}+{c}={a + b + c}"], a + b + c


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def solutions(path):
    return write_lines(
        path,
        (
            {"query": problem, "response": "\n".join([*steps, f"\\boxed{{{answer}}}"])}
            for problem, steps, answer in sums(256)
        ),
    )


def preferences(path):
    return write_lines(
        path,
        (
            {
                "prompt": problem,
                "chosen": "\n".join([*steps, f"\\boxed{{{answer}}}"]),
                "rejected": f"\\boxed{{{answer + 1}}}",
            }
            for problem, steps, answer in sums(16)
        ),
    )


def values(path):
    return write_lines(
        path,
        (
            {"problem": problem, "steps": steps, "values": [1.0, float(answer % 2)]}
            for problem, steps, answer in sums(64)
        ),
    )


def finish(start_run, *flags):
    run = start_run(*flags)
    assert run.wait() == 0, run.text()
    return run


@pytest.mark.parametrize("algo", ["dpo", "rft"])
def test_sampled_groups_teach(start_run, algo):
    run = finish(start_run, "--algo", algo, "--max_steps", "3")
    rows = run.rows()[1:]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["train/policy_grad_norm"] > 0 for row in rows)
    key = {"dpo": "train/reward_margin", "rft": "train/sft_loss"}[algo]
    assert key in rows[-1]
    assert all((run.path / "checkpoints/step_3" / name).exists() for name in MODEL_FILES)


def test_a_critic_warms_up_before_the_policy_moves_and_is_saved_beside_it(start_run):
    run = finish(start_run, *"--critic_type ppo --critic_warmup_steps 1 --max_steps 3".split())
    rows = run.rows()[1:]
    assert ["train/policy_grad_norm" in row for row in rows] == [False, True, True]
    assert all(row["train/critic_grad_norm"] > 0 for row in rows)
    assert rows[-1]["train/value_mean"] > 0
    critic = run.path / "checkpoints/step_3/critic"
    assert all((critic / name).exists() for name in MODEL_FILES)


def test_supervised_data_lowers_the_held_out_loss_too_and_the_policy_is_evaluated(
    start_run, tmp_path
):
    data = solutions(tmp_path / "solutions.jsonl")
    flags = "--algo sft --max_steps 12 --eval_steps 12 --rollout_batch_size 64 --num_prompt_epoch 4".split()
    run = finish(start_run, *flags, "--sft_data", data, "--holdout", "0.1")
    losses = [row["train/sft_loss"] for row in run.rows()[1:]]
    assert losses[-1] < 0.7 * losses[0], losses
    before, after = (row for row in run.rows() if row["step"] in (0, 12))
    assert after["eval/sft_loss"] < 0.7 * before["eval/sft_loss"]
    assert "held out, step 12: sft_loss" in run.text()
    accuracies = [row["eval/average/accuracy"] for row in (before, after)]
    assert accuracies[1] > accuracies[0] + 0.15, accuracies
    assert not list((run.path / "samples").glob("*"))


def test_stored_preferences_widen_the_margin_without_a_reference_model(start_run, tmp_path):
    data = preferences(tmp_path / "pairs.jsonl")
    flags = (
        "--algo dpo --max_steps 6 --num_prompt_epoch 8 --precompute_ref_logprobs --holdout 0.25 "
        "--eval_steps 6".split()
    )
    run = finish(start_run, *flags, "--preference_data", data)
    held_out = [row for row in run.rows() if "eval/preference_loss" in row]
    assert [row["step"] for row in held_out] == [0, 6]
    assert held_out[0]["eval/preference_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert held_out[1]["eval/preference_loss"] < 0.6 and held_out[1]["eval/reward_margin"] > 0.2
    margins = [row["train/reward_margin"] for row in run.rows()[1:]]
    assert margins[0] == pytest.approx(0.0, abs=1e-5)
    assert margins[-1] > 0.5, margins
    assert (run.path / "ref_logprobs.npz").exists()


def test_steps_teach_a_policy_and_a_value_head_which_the_next_run_goes_on_with(start_run, tmp_path):
    data = write_lines(
        tmp_path / "steps.jsonl",
        (
            {
                "prompt": problem,
                "chosen": steps[0],
                "rejected": steps[0] + "0",
                "chosen_value": 0.75,
                "rejected_value": -0.5,
                "chosen_is_whole": False,
                "rejected_is_whole": False,
            }
            for problem, steps, _ in sums(16)
        ),
    )
    flags = (
        "--algo dpo --pair_value_weight 0.5 --pair_margin_weight 0.5 --value_head tanh --sft_weight 0.1 "
        "--num_prompt_epoch 8 --holdout 0.25 --eval_steps 4 --preference_data".split()
    )
    run = finish(start_run, *flags, data, "--max_steps", "4")
    held_out = [row for row in run.rows() if "eval/value_loss" in row]
    assert [row["step"] for row in held_out] == [0, 4]
    assert held_out[1]["eval/value_loss"] < held_out[0]["eval/value_loss"]
    checkpoint = run.path / "checkpoints/step_4"
    value_model = AutoModelForTokenClassification.from_pretrained(checkpoint / "value_model")
    assert value_model.config.value_activation == "tanh"
    assert value_model.score.bias.item() != 0
    again = start_run(*flags, data, "--max_steps", "1", "--pretrain", checkpoint, name="again")
    assert again.wait() == 0, again.text()
    assert again.rows()[0]["eval/value_loss"] == pytest.approx(
        held_out[1]["eval/value_loss"], rel=1e-4
    )
    linear = ("--pretrain", checkpoint, "--value_head", "linear")
    other = start_run(*flags, data, *linear, name="other")
    assert other.wait() != 0
    assert "value_activation is tanh" in other.text() and "Traceback" not in other.text()


def test_a_value_model_is_trained_and_saved_for_vllms_pooling_runner(start_run, tmp_path):
    data = values(tmp_path / "values.jsonl")
    flags = "--algo value --max_steps 2 --num_prompt_epoch 4 --eval_steps 1 --holdout 0.2".split()
    run = finish(start_run, *flags, "--value_data", data)
    assert [log.name for log in (run.path / "logs").glob("*.log")] == ["learner-0.log"]
    again = start_run("--resume", run.path, "--max_steps", "3")
    assert again.wait() == 0, again.text()
    rows = run.rows()
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    # The same steps are held out, now as before.
    assert len({row["eval/value_steps"] for row in rows}) == 1
    assert rows[-1]["eval/value_loss"] < rows[0]["eval/value_loss"]
    assert all(row["eval/value_auc"] is not None for row in rows)
    assert not any(key.endswith("/accuracy") for row in rows for key in row)
    config = json.loads((run.path / "checkpoints/step_3/config.json").read_text())
    assert config["architectures"] == ["Qwen2ForTokenClassification"]
