"""What `--dry_run` tells: read as a user would, on a machine without a GPU or a network."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from understand_r1_zero.cli import parse
from understand_r1_zero.dry_run import dry_run

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_hub_cache(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def shown(*flags: str, num_cores: int = 4) -> str:
    text = dry_run(parse(flags), num_cores)
    assert all(len(line) <= 100 for line in text.splitlines())
    return text


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_batch_arithmetic_is_told_in_words(tmp_path: Path):
    data = tmp_path / "problems.jsonl"
    data.write_text('{"problem": "1 + 1", "answer": "2"}\n' * 12_000)
    recipe = REPOSITORY / "examples" / "zero" / "qwen2.5-math-1.5b.toml"
    text = flat(shown("--config", str(recipe), "--prompt_data", str(data)))
    assert "asks 128 problems and samples 8 responses to each: 1,024 responses" in text
    assert "trains 8 optimizer steps of 128 responses on 8 learners, about 16 on each" in text
    assert "in 16 micro-batches of at most 1 response" in text
    assert "then publishes the weights as the next policy version, after 8 optimizer steps" in text
    assert "12,000 problems are 93.8 steps an epoch" in text
    assert "--num_prompt_epoch 20: 1,875 steps, 15,000 optimizer steps" in text
    assert "GPU 7 actor-7, learner-7" in text
    assert "Qwen/Qwen2.5-Math-1.5B: 1.50 B parameters (estimate from the name), bfloat16" in text
    assert "40 GB" in text and "fits" in text


def test_the_default_run_is_told_for_the_cpu():
    flags = "--rollout_batch_size 64 --prompt_data reasoning_gym:chain_sum?size=20000"
    text = flat(shown(*flags.split()))
    assert "cores 0-3 actor-0, learner-0" in text
    assert "20,000 problems are 312.5 steps an epoch" in text
    assert "All processes together take" in text


def test_a_run_without_actors_is_told():
    flags = "--algo value --value_data a.jsonl"
    text = flat(shown(*flags.split()))
    assert "cores 0-3 learner-0 Nothing is sampled and no benchmark asked" in text
    assert "actor-0" not in text and "one actor" not in text
    text = flat(shown(*flags.split(), "--gpus", "2", "--pretrain", "x-1B"))
    assert "GPU 1 learner-1" in text and "sequences at once" not in text
    assert "80 GB" in text and "fits" in text


def test_split_cores_and_publication_every_few_steps():
    flags = (
        "--max_staleness 1 --sync_params_every 2 --num_ppo_epochs 3 "
        "--rollout_batch_size 64 --num_samples 8 --train_batch_size 512"
    )
    text = flat(shown(*flags.split()))
    assert "cores 0-1 actor-0 cores 2-3 learner-0" in text
    assert "trains 3 optimizer steps, in 3 passes, of 512 responses on 1 learner, in" in text
    assert "publishes the weights as the next policy version every 2 steps, after 6" in text


def test_what_is_unknown_is_said():
    text = flat(shown("--pretrain", "org/model", "--prompt_data", "org/data", "--max_steps", "9"))
    assert "org/data are not counted before they are loaded" in text
    assert "unknown, at most --max_steps 9" in text
    assert "unknown: org/model has no config.json here or in the hub cache" in text


def test_unused_gpus_and_parts_of_tensor_parallel_actors_are_shown():
    flags = "--gpus 5 --num_gpus_per_actor 2 --num_actors 1 --num_learners 2 --pretrain x-7B"
    text = flat(shown(*flags.split()))
    assert "GPU 1 actor-0 (1 of 2) GPU 2 learner-0 GPU 3 learner-1 GPU 4 unused" in text
    assert "one actor of 1, on each of its GPUs" in text


def test_what_fits_nowhere_is_warned_of():
    text = flat(shown("--gpus", "2", "--pretrain", "org/giant-405B"))
    assert text.count("TOO SMALL") == 4
    assert "WARNING: fits none of these" in text
    assert "WARNING: too much" in flat(shown("--pretrain", "org/giant-405B"))


def test_a_configuration_is_read_where_there_is_one(tmp_path: Path):
    config = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "vocab_size": 512,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "(config.json), float32" in flat(shown("--pretrain", str(tmp_path)))


@pytest.mark.parametrize("gpus", [0, 1, 2, 3, 7, 8, 64, 512])
def test_any_number_of_gpus_is_planned(gpus: int):
    collocate = ["--collocate"] if gpus == 1 else []
    text = shown("--gpus", str(gpus), "--pretrain", "Qwen2.5-7B", *collocate)
    assert text.count("GPU ") >= gpus
    assert text.endswith("Dry run: nothing was started.")


def test_a_dry_run_is_fast_in_a_process_of_its_own():
    script = (
        "from understand_r1_zero.cli import parse; from understand_r1_zero.dry_run import dry_run;"
        "print(dry_run(parse(['--gpus', '8', '--pretrain', 'a/b-7B']), 2))"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - started < 5.0
    assert "GPU 7" in done.stdout


def rows(path: Path, number: int) -> str:
    path.write_text('{"prompt": "1 + 1"}\n' * number)
    return str(path)


def test_pairs_of_sampled_groups_are_told_as_a_bound():
    flags = "--algo dpo --pairs correct_incorrect --train_batch_size 64 --lr_scheduler linear"
    text = flat(shown(*flags.split(), "--num_ppo_epochs", "2"))
    assert "512 responses, which make at most 512 pairs; scores them with the reference" in text
    assert (
        "trains at most 16 optimizer steps, in 2 passes, of at most 64 pairs on 1 learner" in text
    )
    assert "each after a pass that scores its pairs" in text
    assert "after at most 16 optimizer steps" in text
    assert "spans 1,120, of which it runs through fewer where a step has fewer pairs" in text
    assert "reference model" in text
    best = flat(shown("--algo", "dpo", "--preference_loss", "simpo", "--gpus", "8", "--collocate"))
    assert "make at most 64 pairs; trains at most 1 optimizer step of at most 64 pairs" in best
    assert "on 8 learners, about 16 responses on each" in best
    assert "reference" not in best


def test_stored_pairs_are_counted_and_nothing_is_sampled(tmp_path: Path):
    data = rows(tmp_path / "pairs.jsonl", 1000)
    flags = ["--algo", "dpo", "--preference_data", data]
    text = flat(shown(*flags))
    assert "Actors only evaluate benchmarks" in text
    assert "pairs.jsonl, and samples nothing; scores them with the reference model;" in text
    assert "1,000 pairs are 15.6 steps an epoch; --num_prompt_epoch 1: 15 steps" in text
    assert "pairs over --prompt_max_length or --generate_max_length" in text
    cached = flat(shown(*flags, "--precompute_ref_logprobs"))
    assert "which were computed once before the first step" in cached
    assert "reference model" not in cached


def test_supervised_examples_are_counted_in_optimizer_steps_of_their_own(tmp_path: Path):
    data = rows(tmp_path / "examples.jsonl", 200)
    flags = ["--algo", "sft", "--sft_data", data, "--train_batch_size", "24"]
    text = flat(shown(*flags, "--num_prompt_epoch", "2"))
    assert "takes 64 examples of" in text and "asks" not in text
    assert "trains 3 optimizer steps of 24 examples on 1 learner" in text
    assert "--num_prompt_epoch 2: 6 steps, 18 optimizer steps" in text
    assert "a longer example goes alone and takes more (--sft_max_length leaves them out)" in text
    bounded = flat(shown(*flags, "--sft_max_length", "500"))
    assert "examples over --sft_max_length" in bounded
    assert "as long as they may be" in bounded


def test_kept_responses_are_told_as_a_bound():
    text = flat(shown("--algo", "rft", "--rft_max_per_problem", "2", "--train_batch_size", "50"))
    assert "512 responses, of which at most 128 correct ones are kept" in text
    assert "trains at most 3 optimizer steps of at most 50 responses" in text


def test_a_value_model_has_no_logits_and_no_actors(tmp_path: Path):
    data = rows(tmp_path / "values.jsonl", 640)
    text = shown("--algo", "value", "--value_data", data)
    assert "no actors, no vLLM" in flat(text)
    assert "logits" not in text
    assert "640 examples are 10.0 steps an epoch" in flat(text)
    joint = shown("--algo", "value", "--value_joint", "--value_data", data)
    assert "Actors only evaluate benchmarks" in flat(joint) and "logits" in joint


def test_what_a_missing_file_holds_is_unknown(tmp_path: Path):
    flags = ["--algo", "sft", "--sft_data", str(tmp_path / "none.jsonl"), "--max_steps", "9"]
    text = flat(shown(*flags))
    assert "none.jsonl are not counted before they are loaded" in text
    assert "unknown, at most --max_steps 9" in text


def test_offloading_is_shown_where_it_goes():
    flags = "--gpus 8 --fp16 --pretrain a/b-7B --collocate --gradient_checkpointing"
    text = flat(shown(*flags.split(), "--activation_offload", "--beta", "0.1", "--ref_offload"))
    assert "float16, ZeRO stage 2" in text
    assert "activations of one layer forward, backward" in text
    assert "reference model in use scoring" in text
