"""Which process gets which device, and the batch arithmetic: pure functions of the flags."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from understand_r1_zero.args import Args, ClusterArgs
from understand_r1_zero.prompt_order import num_steps
from understand_r1_zero.workload import Workload, train_batch_refusal, workload


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process and what it may use.

    `gpus` are positions among the run's `--gpus`; `gpu_share` is what Ray reserves for it: 1 a GPU,
    a half where an actor and a learner share one, and 0 for a tensor-parallel actor on GPUs that its
    bundle's learners reserve (Ray has no fractions over several GPUs). `cores` are positions among
    the cores the run may use, empty on GPUs: any. `bundle` is the process's bundle of the placement
    group.
    """

    name: str
    kind: Literal["actor", "learner"]
    bundle: int
    gpus: tuple[int, ...] = ()
    gpu_share: float = 0.0
    cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Batches:
    """What one step asks, samples and trains; counts, unless a name says otherwise.

    With stored examples nothing is asked: `problems` are the examples taken, `responses` 0.
    `optimizer_steps` are of one step, at most where the `work` is; `micro_batches` (fewest, most) of one
    optimizer step on one rank: most when every response is as long as allowed. Ranks share by tokens, so
    `responses_per_rank`, stored ones too, is an average, rounded up. `steps_per_epoch`, `steps` and
    `horizon` (optimizer steps the learning-rate schedule spans) are None while the number of problems
    is unknown.
    """

    work: Workload
    problems: int
    responses: int
    optimizer_steps: int
    responses_per_rank: int
    micro_batches: tuple[int, int]
    micro_batch_tokens: int
    optimizer_steps_per_publication: int
    steps_per_epoch: float | None
    steps: int | None
    horizon: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Processes, their placement and the batch arithmetic of one run."""

    processes: tuple[ProcessPlan, ...]
    bundles: tuple[Mapping[str, float], ...]
    batches: Batches
    num_problems: int | None
    unused_gpus: tuple[int, ...]

    @property
    def num_steps(self) -> int:
        """Steps of the whole run; the number of problems must be known, or `--max_steps` given."""
        assert self.batches.steps is not None, "plan() was not told the number of problems"
        return self.batches.steps

    @property
    def num_optimizer_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.num_steps * self.batches.optimizer_steps

    @property
    def actors(self) -> tuple[ProcessPlan, ...]:
        """The sampling processes, in order."""
        return tuple(process for process in self.processes if process.kind == "actor")

    @property
    def learners(self) -> tuple[ProcessPlan, ...]:
        """The training ranks, in order."""
        return tuple(process for process in self.processes if process.kind == "learner")


def plan(args: Args, num_cores: int, num_problems: int | None = None) -> Plan:
    """Place every process and do the batch arithmetic.

    `num_problems` is the number of training problems, None while unknown. Raises ValueError, naming
    the flag and the nearest value that works, for a placement or a batch that cannot be.
    """
    num_actors, num_learners = process_counts(args)
    if args.cluster.gpus:
        processes = _on_gpus(args.cluster, num_actors, num_learners)
    else:
        split = args.sampling.max_staleness > 0 and num_actors > 0
        processes = _on_cores(num_cores, num_actors, num_learners, split=split)
    used = {gpu for process in processes for gpu in process.gpus}
    return Plan(
        processes=processes,
        bundles=_bundles(processes),
        batches=batch_arithmetic(args, num_learners, num_problems),
        num_problems=num_problems,
        unused_gpus=tuple(gpu for gpu in range(args.cluster.gpus) if gpu not in used),
    )


def process_counts(args: Args) -> tuple[int, int]:
    """Number of actors and learners.

    A run that samples nothing has no actors, and a learner on every GPU unless `--num_learners` says
    otherwise. For all others: on the CPU one of each unless given. Collocated: one actor per `num_gpus_per_actor` GPUs and one
    learner per GPU. Split: half the GPUs each, the odd one to the actors (sampling takes longer); where
    one number is given, the other role gets the rest. Raises ValueError when they do not fit.
    """
    if args.needs_actors:
        return _counts_with_actors(args.cluster)
    gpus, learners = args.cluster.gpus, args.cluster.num_learners
    if gpus and learners > gpus:
        raise ValueError(f"--num_learners must be at most --gpus {gpus}, got {learners}; lower it")
    return 0, learners or gpus or 1


def _counts_with_actors(cluster: ClusterArgs) -> tuple[int, int]:
    gpus, width = cluster.gpus, cluster.num_gpus_per_actor
    if gpus == 0:
        return cluster.num_actors or 1, cluster.num_learners or 1
    if cluster.collocate:
        return _collocated_counts(cluster)
    learners = cluster.num_learners
    if not learners:
        actor_gpus = cluster.num_actors * width or max(width, math.ceil(gpus / 2) // width * width)
        learners = gpus - actor_gpus
    actors = cluster.num_actors or (gpus - learners) // width
    if actors < 1 or learners < 1 or actors * width + learners > gpus:
        raise ValueError(
            f"--gpus {gpus} cannot hold {max(actors, 1)} actors of {width} GPUs beside "
            f"{max(learners, 1)} learners; add --collocate to share the GPUs, or raise --gpus to "
            f"{max(actors, 1) * width + max(learners, 1)}"
        )
    return actors, learners


def learners_cover_actors(cluster: ClusterArgs) -> bool:
    """Whether, collocated, a learner is on every GPU that an actor uses."""
    num_actors, num_learners = _counts_with_actors(cluster)
    return num_learners >= num_actors * cluster.num_gpus_per_actor


def _collocated_counts(cluster: ClusterArgs) -> tuple[int, int]:
    gpus, width = cluster.gpus, cluster.num_gpus_per_actor
    actors, learners = cluster.num_actors or gpus // width, cluster.num_learners or gpus
    if not 1 <= actors * width <= gpus or learners > gpus:
        raise ValueError(
            f"--gpus {gpus} with --collocate holds at most {gpus // width} actors of "
            f"{width} GPUs and {gpus} learners, got {max(1, actors)} and {learners}; lower "
            "--num_actors, --num_learners or --num_gpus_per_actor"
        )
    if width > 1 and learners < actors * width:
        raise ValueError(
            f"--num_learners must put a learner on each of the {actors * width} GPUs that the "
            f"collocated actors of --num_gpus_per_actor {width} use, got {learners}; leave it out"
        )
    return actors, learners


def batch_arithmetic(args: Args, num_learners: int, num_problems: int | None) -> Batches:
    """The counts of one step and of the whole run.

    Steps are `prompt_order.num_steps`, or `--max_steps` if that is less; problems may be stored
    examples. Raises ValueError for a `--train_batch_size` that cannot be.
    """
    optim, work = args.optim, workload(args)
    refusal = train_batch_refusal(args)
    if refusal:
        raise ValueError(refusal)
    sequences = work.units_per_optimizer_step(args) * work.sequences_per_unit
    per_rank = math.ceil(sequences / num_learners)
    longest = work.longest_tokens or optim.max_tokens_per_micro_batch
    by_tokens = max(1, optim.max_tokens_per_micro_batch // longest)
    largest = min(per_rank, optim.train_batch_size_per_device)
    optimizer_steps = work.optimizer_steps(args)
    steps = _total_steps(args, num_problems)
    horizon = steps and math.ceil(steps * optimizer_steps * optim.max_step_adjustment)
    return Batches(
        work=work,
        problems=args.sampling.rollout_batch_size,
        responses=0 if work.is_stored else args.responses_per_step,
        optimizer_steps=optimizer_steps,
        responses_per_rank=per_rank,
        micro_batches=(
            math.ceil(per_rank / largest),
            math.ceil(per_rank / min(largest, by_tokens)),
        ),
        micro_batch_tokens=min(largest * longest, max(longest, optim.max_tokens_per_micro_batch)),
        optimizer_steps_per_publication=optimizer_steps * optim.sync_params_every,
        steps_per_epoch=num_problems and num_problems / args.sampling.rollout_batch_size,
        steps=steps,
        horizon=horizon,
    )


def _total_steps(args: Args, num_problems: int | None) -> int | None:
    limit = args.run.max_steps if args.run.max_steps > 0 else None
    if num_problems is None:
        return limit
    steps = num_steps(num_problems, args.data.num_prompt_epoch, args.sampling.rollout_batch_size)
    return steps if limit is None else min(limit, steps)


def _on_gpus(cluster: ClusterArgs, num_actors: int, num_learners: int) -> tuple[ProcessPlan, ...]:
    width = cluster.num_gpus_per_actor
    first_learner_gpu = 0 if cluster.collocate else num_actors * width
    learner_gpus = range(first_learner_gpu, first_learner_gpu + num_learners)
    processes = []
    for index in range(num_actors):
        gpus = tuple(range(index * width, (index + 1) * width))
        shared = any(gpu in learner_gpus for gpu in gpus)
        share = float(width) if not shared else 0.5 if width == 1 else 0.0
        processes.append(ProcessPlan(f"actor-{index}", "actor", index, gpus, share))
    for index, gpu in enumerate(learner_gpus):
        is_shared = cluster.collocate and gpu < num_actors * width
        bundle = gpu // width if is_shared else num_actors + gpu - num_actors * width
        share = 0.5 if is_shared and width == 1 else 1.0
        processes.append(ProcessPlan(f"learner-{index}", "learner", bundle, (gpu,), share))
    return tuple(processes)


def _on_cores(
    num_cores: int, num_actors: int, num_learners: int, *, split: bool
) -> tuple[ProcessPlan, ...]:
    """Synchronous actors and learners take turns on all cores; asynchronous ones halve them."""
    cores = tuple(range(num_cores))
    middle = max(1, num_cores // 2)
    actor_cores, learner_cores = (
        (cores[:middle], cores[middle:] or cores) if split else (cores, cores)
    )
    actors = [
        ProcessPlan(f"actor-{index}", "actor", index, cores=share)
        for index, share in enumerate(_divide(actor_cores, num_actors))
    ]
    learners = [
        ProcessPlan(f"learner-{index}", "learner", num_actors + index, cores=share)
        for index, share in enumerate(_divide(learner_cores, num_learners))
    ]
    return (*actors, *learners)


def _divide(cores: tuple[int, ...], parts: int) -> list[tuple[int, ...]]:
    """Contiguous shares as even as possible; with more parts than cores, parts share cores."""
    if not 0 < parts < len(cores):
        return [(cores[index % len(cores)],) for index in range(parts)]
    edges = [index * len(cores) // parts for index in range(parts + 1)]
    return [cores[start:end] for start, end in itertools.pairwise(edges)]


def _bundles(processes: Sequence[ProcessPlan]) -> tuple[Mapping[str, float], ...]:
    """What Ray reserves: a CPU for each process (its cores are its own affair) and each GPU once."""
    bundles: list[Mapping[str, float]] = []
    for bundle in range(1 + max(process.bundle for process in processes)):
        members = [process for process in processes if process.bundle == bundle]
        gpus = {gpu for process in members for gpu in process.gpus}
        resources = {"CPU": float(len(members)), "GPU": float(len(gpus))}
        bundles.append({name: amount for name, amount in resources.items() if amount})
    return tuple(bundles)
