"""Placement and batch arithmetic, against counts worked out by hand and invariants."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from understand_r1_zero.args import (
    AlgorithmArgs,
    Args,
    ClusterArgs,
    OptimArgs,
    RunArgs,
    SamplingArgs,
)
from understand_r1_zero.cli import parse
from understand_r1_zero.plan import (
    Plan,
    batch_arithmetic,
    plan,
    process_counts,
)

PUBLISHED = Args(
    sampling=SamplingArgs(rollout_batch_size=128, num_samples=8, generate_max_length=3000),
    optim=OptimArgs(train_batch_size=128, train_batch_size_per_device=1),
)


def place(cluster: ClusterArgs, *, num_cores: int = 8, max_staleness: int = 0) -> Plan:
    """Where the default run's processes would go."""
    sampling = SamplingArgs(max_staleness=max_staleness)
    return plan(Args(cluster=cluster, sampling=sampling), num_cores)


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (ClusterArgs(), (1, 1)),
        (ClusterArgs(num_actors=3, num_learners=2), (3, 2)),
        (ClusterArgs(gpus=8), (4, 4)),
        (ClusterArgs(gpus=3), (2, 1)),
        (ClusterArgs(gpus=8, collocate=True), (8, 8)),
        (ClusterArgs(gpus=1, collocate=True), (1, 1)),
        (ClusterArgs(gpus=8, num_actors=6), (6, 2)),
        (ClusterArgs(gpus=8, num_learners=2), (6, 2)),
        (ClusterArgs(gpus=8, num_actors=2, num_learners=3), (2, 3)),
        (ClusterArgs(gpus=8, num_gpus_per_actor=4), (1, 4)),
        (ClusterArgs(gpus=8, num_gpus_per_actor=2, num_learners=4), (2, 4)),
        (ClusterArgs(gpus=8, num_gpus_per_actor=4, collocate=True), (2, 8)),
        (ClusterArgs(gpus=8, num_gpus_per_actor=3, collocate=True), (2, 8)),
    ],
)
def test_process_counts(cluster: ClusterArgs, expected: tuple[int, int]):
    assert process_counts(Args(cluster=cluster)) == expected


VALUE = AlgorithmArgs(algo="value")


@pytest.mark.parametrize(
    ("cluster", "num_learners"),
    [
        (ClusterArgs(), 1),
        (ClusterArgs(num_actors=3, num_learners=2), 2),
        (ClusterArgs(gpus=1), 1),
        (ClusterArgs(gpus=8), 8),
        (ClusterArgs(gpus=8, num_learners=2), 2),
        (ClusterArgs(gpus=8, num_gpus_per_actor=4, collocate=True), 8),
    ],
)
def test_a_run_that_samples_nothing_has_no_actors(cluster: ClusterArgs, num_learners: int):
    sampling = SamplingArgs(max_staleness=1)
    planned = plan(Args(cluster=cluster, algorithm=VALUE, sampling=sampling), num_cores=4)
    assert planned.actors == ()
    assert len(planned.learners) == num_learners
    assert len(planned.bundles) == num_learners
    used = [core for learner in planned.learners for core in learner.cores]
    assert sorted(used) == ([] if cluster.gpus else [0, 1, 2, 3])
    gpus = [gpu for learner in planned.learners for gpu in learner.gpus]
    assert gpus == (list(range(num_learners)) if cluster.gpus else [])


def test_more_learners_than_gpus_are_refused_without_actors_too():
    with pytest.raises(ValueError, match="--num_learners must be at most --gpus 2, got 3"):
        process_counts(Args(cluster=ClusterArgs(gpus=2, num_learners=3), algorithm=VALUE))


@pytest.mark.parametrize(
    ("flags", "needs_actors"),
    [
        ("", True),
        ("--eval_steps -1", True),
        ("--algo rft --eval_steps -1", True),
        ("--algo dpo --eval_steps -1", True),
        ("--algo value --value_data a", False),
        ("--algo value --value_data a --value_joint", True),
        ("--algo value --value_data a --value_joint --eval_steps -1", False),
        ("--algo sft --sft_data a", True),
        ("--algo sft --sft_data a --eval_steps -1", False),
        ("--algo sft --sft_data a --prompt_data b", False),
        ("--algo sft --sft_data a --prompt_data b --eval_data c", True),
        ("--algo dpo --preference_data a --eval_steps -1", False),
    ],
)
def test_actors_are_for_samples_and_benchmarks(flags: str, needs_actors: bool):
    assert parse(flags.split()).needs_actors == needs_actors


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (ClusterArgs(gpus=1), "--gpus 1 .*--collocate.* raise --gpus to 2"),
        (ClusterArgs(gpus=4, num_gpus_per_actor=4), "--gpus 4 .* raise --gpus to 5"),
        (ClusterArgs(gpus=4, num_actors=3, num_learners=2), "3 actors .* 2 learners.* to 5"),
        (ClusterArgs(gpus=4, num_learners=4), "--gpus 4 .* raise --gpus to 5"),
        (ClusterArgs(gpus=2, num_actors=3, collocate=True), "at most 2 actors of 1 GPUs"),
        (ClusterArgs(gpus=2, num_learners=3, collocate=True), "and 2 learners, got 2 and 3"),
        (ClusterArgs(gpus=2, num_gpus_per_actor=4, collocate=True), "--num_gpus_per_actor"),
    ],
)
def test_placements_that_cannot_be_are_refused_with_the_numbers(cluster: ClusterArgs, message: str):
    with pytest.raises(ValueError, match=message):
        process_counts(Args(cluster=cluster))


def test_synchronous_processes_of_the_cpu_take_turns_on_all_cores():
    planned = place(ClusterArgs(num_actors=2, num_learners=1), num_cores=5)
    assert [process.cores for process in planned.actors] == [(0, 1), (2, 3, 4)]
    assert [process.cores for process in planned.learners] == [(0, 1, 2, 3, 4)]


def test_asynchronous_processes_of_the_cpu_share_no_core():
    planned = place(ClusterArgs(num_actors=2), num_cores=4, max_staleness=1)
    assert [process.cores for process in planned.processes] == [(0,), (1,), (2, 3)]


@given(
    num_actors=st.integers(1, 5),
    num_learners=st.integers(1, 5),
    num_cores=st.integers(1, 9),
    max_staleness=st.integers(0, 1),
)
def test_every_process_of_the_cpu_has_a_core(
    num_actors: int, num_learners: int, num_cores: int, max_staleness: int
):
    cluster = ClusterArgs(num_actors=num_actors, num_learners=num_learners)
    planned = place(cluster, num_cores=num_cores, max_staleness=max_staleness)
    used = {core for process in planned.processes for core in process.cores}
    assert all(process.cores for process in planned.processes)
    assert used <= set(range(num_cores))
    if max_staleness == 0 or num_actors >= num_cores // 2 or num_learners >= num_cores:
        return
    assert used == set(range(num_cores))


@given(
    gpus=st.integers(1, 32),
    width=st.integers(1, 4),
    num_actors=st.integers(0, 8),
    num_learners=st.integers(0, 8),
    collocate=st.booleans(),
)
def test_every_gpu_is_reserved_at_most_once(
    gpus: int, width: int, num_actors: int, num_learners: int, collocate: bool
):
    cluster = ClusterArgs(
        gpus=gpus,
        num_gpus_per_actor=width,
        num_actors=num_actors,
        num_learners=num_learners,
        collocate=collocate,
    )
    try:
        actors, learners = process_counts(Args(cluster=cluster))
    except ValueError:
        assume(False)
        return
    planned = place(cluster)
    assert (len(planned.actors), len(planned.learners)) == (actors, learners)
    assert all(len(actor.gpus) == width for actor in planned.actors)
    for tenants in (planned.actors, planned.learners):
        used = [gpu for process in tenants for gpu in process.gpus]
        assert len(used) == len(set(used)) and set(used) <= set(range(gpus))
    on_actors = {gpu for actor in planned.actors for gpu in actor.gpus}
    on_learners = {gpu for learner in planned.learners for gpu in learner.gpus}
    assert collocate or not on_actors & on_learners
    assert set(planned.unused_gpus) == set(range(gpus)) - on_actors - on_learners
    # What the processes of a bundle reserve fits what the bundle holds.
    for index, bundle in enumerate(planned.bundles):
        members = [process for process in planned.processes if process.bundle == index]
        assert members and sum(process.gpu_share for process in members) <= bundle["GPU"]
        assert bundle["CPU"] == len(members)
    assert sum(bundle["GPU"] for bundle in planned.bundles) == gpus - len(planned.unused_gpus)


def test_collocated_processes_share_the_gpus_of_their_bundle():
    planned = place(ClusterArgs(gpus=2, collocate=True))
    assert [(process.name, process.gpus, process.gpu_share) for process in planned.processes] == [
        ("actor-0", (0,), 0.5),
        ("actor-1", (1,), 0.5),
        ("learner-0", (0,), 0.5),
        ("learner-1", (1,), 0.5),
    ]
    assert [process.bundle for process in planned.processes] == [0, 1, 0, 1]


def test_published_arithmetic():
    """128 problems of 8 responses in batches of 128: eight optimizer steps a publication."""
    batches = batch_arithmetic(PUBLISHED, num_learners=8, num_problems=12_000)
    assert batches.responses == 1024
    assert batches.optimizer_steps == batches.optimizer_steps_per_publication == 8
    assert batches.responses_per_rank == 16
    assert batches.micro_batches == (16, 16)
    assert batches.micro_batch_tokens == 4024
    assert batches.steps_per_epoch == 93.75
    assert batches.steps == 93 and batches.horizon == 93 * 8
    planned = plan(PUBLISHED, num_cores=2, num_problems=12_000)
    assert (planned.num_steps, planned.num_optimizer_steps) == (93, 744)


def test_epochs_publications_limits_and_horizon():
    args = replace(
        PUBLISHED,
        algorithm=AlgorithmArgs(num_ppo_epochs=2),
        optim=replace(PUBLISHED.optim, sync_params_every=3, max_step_adjustment=1.5),
        run=RunArgs(max_steps=5),
        data=replace(PUBLISHED.data, num_prompt_epoch=2),
    )
    batches = batch_arithmetic(args, num_learners=1, num_problems=12_000)
    assert batches.optimizer_steps == 16
    assert batches.optimizer_steps_per_publication == 48
    assert batches.steps == 5 and batches.horizon == 120
    unlimited = replace(args, run=RunArgs())
    assert batch_arithmetic(unlimited, 1, 12_000).steps == 187
    assert batch_arithmetic(args, 1, None).steps == 5
    unknown = batch_arithmetic(unlimited, 1, None)
    assert unknown.steps is unknown.horizon is unknown.steps_per_epoch is None


def test_micro_batches_are_bounded_by_responses_and_by_tokens():
    optim = OptimArgs(
        train_batch_size=64, train_batch_size_per_device=16, max_tokens_per_micro_batch=10_000
    )
    sampling = SamplingArgs(rollout_batch_size=8, num_samples=8, generate_max_length=976)
    args = Args(sampling=sampling, optim=optim)
    batches = batch_arithmetic(args, num_learners=2, num_problems=None)
    # 32 responses a rank: two micro-batches of 16, or, all 2000 tokens long, seven of 5.
    assert batches.micro_batches == (2, 7)
    assert batches.micro_batch_tokens == 10_000
    longer = replace(args, optim=replace(optim, max_tokens_per_micro_batch=100))
    alone = batch_arithmetic(longer, num_learners=2, num_problems=None)
    assert alone.micro_batches == (2, 32)
    assert alone.micro_batch_tokens == 2000
