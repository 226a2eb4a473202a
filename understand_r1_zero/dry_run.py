"""What `--dry_run` prints: the plan of a run in tables and words; nothing is started or downloaded."""

import os
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from understand_r1_zero.args import Args
from understand_r1_zero.memory import (
    GIB,
    Memory,
    Part,
    estimate,
    longest_sequence,
    peak_bytes,
    rest_bytes,
)
from understand_r1_zero.plan import Plan, plan
from understand_r1_zero.sizes import ModelSize, model_size, num_problems
from understand_r1_zero.workload import workload

_LINE = 100


def dry_run(args: Args, num_cores: int) -> str:
    """The plan of the run that these flags would start.

    Raises ValueError, as `plan` does, for what cannot be.
    """
    planned = plan(args, num_cores, _num_items(args))
    size = model_size(args.model.pretrain)
    critic_size = model_size(args.critic.critic_pretrain) if args.critic.critic_pretrain else None
    memory = estimate(args, planned, size, critic_size) if size else None
    return render(args, planned, size, memory)


def _num_items(args: Args) -> int | None:
    """Training problems, or stored examples, as far as they can be counted."""
    work = workload(args)
    if work.is_stored:
        return num_problems(work.source, work.split)
    rows = num_problems(args.data.prompt_data, args.data.train_split)
    return None if rows is None else min(rows, args.data.max_train)


def render(args: Args, planned: Plan, size: ModelSize | None, memory: Memory | None) -> str:
    """The plan as text, at most 100 columns wide."""
    sections = [
        ("Processes", _processes(args, planned)),
        ("Each step", _batches(args, planned)),
        ("The whole run", _steps(args, planned)),
        ("Memory", _model(args, size)),
    ]
    blocks = [f"{title}\n{textwrap.indent(body, '  ')}" for title, body in sections]
    if memory is not None:
        blocks.append(textwrap.indent(_memory(args, planned, memory), "  "))
    blocks.append("Dry run: nothing was started.")
    return "\n\n".join(blocks)


def _processes(args: Args, planned: Plan) -> str:
    if args.cluster.gpus:
        places = [
            (f"GPU {gpu}", _tenants(planned, gpu) or "unused") for gpu in range(args.cluster.gpus)
        ]
    else:
        places = [
            (_cores(process.cores), process.name)
            for process in sorted(planned.processes, key=lambda process: process.cores)
        ]
        places = [
            (place, ", ".join(name for _, name in names))
            for place, names in groupby(places, key=lambda pair: pair[0])
        ]
    lines = [_table([("place", "processes"), *places], right=())]
    if not planned.actors:
        lines.append(_words("Nothing is sampled and no benchmark asked: no actors, no vLLM."))
    elif not args.cluster.gpus and not args.sampling.max_staleness:
        lines.append(_words("Actors and learners take turns, so both have all the cores."))
    if planned.actors and planned.batches.work.is_stored:
        lines.append(_words("Actors only evaluate benchmarks: the examples are stored."))
    if args.cluster.vllm_sleep and planned.actors:
        lines.append(_words("Actors sleep (keep no GPU memory) while the learners train."))
    return "\n".join(lines)


def _tenants(planned: Plan, gpu: int) -> str:
    return ", ".join(
        process.name + (f" (1 of {len(process.gpus)})" if len(process.gpus) > 1 else "")
        for process in planned.processes
        if gpu in process.gpus
    )


def _cores(cores: Sequence[int]) -> str:
    if len(cores) == 1:
        return f"core {cores[0]}"
    return f"cores {cores[0]}-{cores[-1]}"


def _batches(args: Args, planned: Plan) -> str:
    batches, ranks = planned.batches, len(planned.learners)
    work = batches.work
    most = "" if work.is_exact else "at most "
    fewest_micro, most_micro = batches.micro_batches
    micro = (
        _count(most_micro, "micro-batch", "es")
        if fewest_micro == most_micro
        else f"{fewest_micro} to {most_micro} micro-batches"
    )
    sequences = "response" if work.sequences_per_unit > 1 else work.unit
    of_pairs = " responses" if work.unit == "pair" else ""
    each = f", about {batches.responses_per_rank:,}{of_pairs} on each" if ranks > 1 else ""
    every = args.optim.sync_params_every
    after = f"{most}{_count(batches.optimizer_steps_per_publication, 'optimizer step')}"
    return _words(
        _examples(args, planned),
        *_scoring(args),
        f"trains {most}{_count(batches.optimizer_steps, 'optimizer step')}"
        f"{f', in {work.passes} passes,' if work.passes > 1 else ''} of "
        f"{most}{_count(work.units_per_optimizer_step(args), work.unit)} on {_count(ranks, 'learner')}{each}, in "
        f"{micro} of at most {_count(args.optim.train_batch_size_per_device, sequences)} or "
        f"{args.optim.max_tokens_per_micro_batch:,} tokens"
        f"{', each after a pass that scores its pairs' if args.algorithm.algo == 'dpo' else ''};",
        f"then publishes the weights as the next policy version, after {after}."
        if every == 1
        else f"publishes the weights as the next policy version every {every} steps, after {after}.",
    )


def _examples(args: Args, planned: Plan) -> str:
    batches = planned.batches
    work = batches.work
    if work.is_stored:
        return f"takes {_count(batches.problems, work.unit)} of {work.source}, and samples nothing;"
    made = {
        "dpo": f", which make at most {_count(work.units, 'pair')}",
        "rft": f", of which at most {work.units:,} correct ones are kept",
    }
    return (
        f"asks {_count(batches.problems, 'problem')} and samples "
        f"{_count(args.sampling.num_samples, 'response')} to each: "
        f"{_count(batches.responses, 'response')}{made.get(args.algorithm.algo, '')};"
    )


def _scoring(args: Args) -> list[str]:
    """How a reference scores the examples."""
    if args.needs_reference_model:
        return ["scores them with the reference model;"]
    if args.algorithm.algo == "dpo" and args.preference.precompute_ref_logprobs:
        return ["finds their reference log-probs, which were computed once before the first step;"]
    return []


def _steps(args: Args, planned: Plan) -> str:
    batches, limit = planned.batches, args.run.max_steps
    work = batches.work
    limits = f"--max_steps {limit}" if limit > 0 else ""
    noun, source = ("problem", args.data.prompt_data)
    if work.is_stored:
        noun, source = work.unit, work.source
    most = "" if work.is_exact else "at most "
    if planned.num_problems is None:
        return _words(
            f"The {noun}s of {source} are not counted before they are loaded, so the "
            f"number of steps is unknown{f', at most {limits}' if limits else ''}."
        )
    assert batches.horizon is not None
    span = f"The learning-rate schedule ({args.optim.lr_scheduler}) spans {batches.horizon:,}"
    if not work.is_exact and args.optim.lr_scheduler != "constant":
        span += f", of which it runs through fewer where a step has fewer {work.unit}s"
    return _words(
        f"{_count(planned.num_problems, noun)} are {batches.steps_per_epoch:,.1f} steps an "
        f"epoch; --num_prompt_epoch {args.data.num_prompt_epoch}{f' and {limits}' if limits else ''}: "
        f"{_count(planned.num_steps, 'step')}, {most}{_count(planned.num_optimizer_steps, 'optimizer step')}. "
        f"{span}.",
        *_uncounted(args),
    )


def _uncounted(args: Args) -> list[str]:
    """Where the number of problems or examples is not yet the last word."""
    match args.algorithm.algo:
        case "sft":
            if not args.supervised.sft_max_length:
                return []
            return ["Still counted here: examples over --sft_max_length."]
        case "value":
            return [
                "Counted here: rows; a row of pos and neg gives an example for each of its texts."
            ]
        case "dpo" if args.preference.preference_data:
            return ["Still counted here: pairs over --prompt_max_length or --generate_max_length."]
    return ["Still counted here: prompts over --prompt_max_length and problems of a benchmark."]


def _model(args: Args, size: ModelSize | None) -> str:
    if size is None:
        return _words(
            f"unknown: {args.model.pretrain} has no config.json here or in the hub cache, and its "
            "name tells no size such as 7B; give a local directory as --pretrain."
        )
    return _words(
        f"{args.model.pretrain}: {size}, {args.model.dtype}, ZeRO stage {args.optim.zero_stage}.",
        *_how_estimated(args),
    )


def _how_estimated(args: Args) -> list[str]:
    if workload(args).longest_tokens:
        return ["All numbers are estimates, for prompts and responses as long as they may be."]
    remedy = " (--sft_max_length leaves them out)" if args.algorithm.algo == "sft" else ""
    return [
        "All numbers are estimates, for micro-batches of --max_tokens_per_micro_batch; a longer "
        f"example goes alone and takes more{remedy}."
    ]


def _memory(args: Args, planned: Plan, memory: Memory) -> str:
    learner = _parts(f"one learner of {len(planned.learners)}", memory.learner)
    if not planned.actors:
        return "\n\n".join([learner, *_verdict(args, planned, memory)])
    width = args.cluster.num_gpus_per_actor
    of_actor = f"one actor of {len(planned.actors)}"
    actor = _parts(of_actor if width == 1 else f"{of_actor}, on each of its GPUs", memory.actor)
    return "\n\n".join([learner, actor, *_verdict(args, planned, memory)])


def _parts(title: str, parts: tuple[Part, ...]) -> str:
    """What one process holds; the column of the GPU is left out where there is none."""
    places = [True, False] if any(part.on_gpu for part in parts) else [False]
    whens = {
        "always": "",
        "step": "in a step",
        "scoring": "scoring",
        "passes": "forward, backward",
        "update": "update",
    }
    rows = [(title, "", *("GPU" if place else "host" for place in places))]
    for part in parts:
        amount = _bytes(part.num_bytes)
        amounts = (amount if part.on_gpu == place else "" for place in places)
        rows.append((part.name, whens[part.when], *amounts))
    rests = [_bytes(rest_bytes(parts, on_gpu=place)) for place in places]
    peaks = [_bytes(peak_bytes(parts, on_gpu=place)) for place in places]
    if rests != peaks:
        rows.append(("between steps", "", *rests))
    rows.append(("at most" if rests != peaks else "together", "", *peaks))
    return _table(rows, right=(2, 3))


def _verdict(args: Args, planned: Plan, memory: Memory) -> Iterator[str]:
    host = memory.published_bytes + sum(
        peak_bytes(parts, on_gpu=False) * count
        for parts, count in (
            (memory.learner, len(planned.learners)),
            (memory.actor, len(planned.actors)),
        )
    )
    everything = f"All processes together take {_bytes(host)} of host memory"
    if memory.published_bytes:
        everything += (
            f", {_bytes(memory.published_bytes)} of it shared memory for published weights"
        )
    if not args.cluster.gpus:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield _words(f"{everything}; this machine has {_bytes(machine)}.")
        if host > machine:
            yield _words(
                "WARNING: too much. Lower --max_tokens_per_micro_batch, or add --gradient_checkpointing."
            )
        return
    yield f"{_gpu_fits(args, memory)}\n{_words(f'{everything}.')}"
    if not any(fit.fits for fit in memory.fits):
        yield _words(
            "WARNING: fits none of these. Lower --max_tokens_per_micro_batch, raise --zero_stage or "
            "--gpus, or add --gradient_checkpointing, --vllm_sleep or --adam_offload."
        )


def _gpu_fits(args: Args, memory: Memory) -> str:
    if not any(fit.sampling_bytes for fit in memory.fits):
        rows = [("GPUs of", "training", "")]
        for fit in memory.fits:
            verdict = "fits" if fit.fits else "TOO SMALL"
            rows.append((f"{fit.size_gib} GB", _bytes(fit.training_bytes), verdict))
        return _table(rows, right=(0, 1))
    rows = [("GPUs of", "sampling", "training", "sequences at once", "")]
    for fit in memory.fits:
        rows.append(
            (
                f"{fit.size_gib} GB",
                _bytes(fit.sampling_bytes),
                _bytes(fit.training_bytes),
                str(fit.sequences),
                "fits" if fit.fits else "TOO SMALL",
            )
        )
    phases = "peak of one GPU" if args.cluster.collocate else "peak of an actor's, a learner's GPU"
    legend = _words(
        f"Sampling, training: {phases}. --vllm_gpu_ratio {args.cluster.vllm_gpu_ratio} of each GPU is "
        f"vLLM's; sequences at once are of {longest_sequence(args):,} tokens, on one actor."
    )
    return f"{_table(rows, right=(0, 1, 2, 3))}\n{legend}"


def _table(rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    """Columns as wide as their widest cell, under a rule; `right` are aligned to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _words(*sentences: str) -> str:
    return "\n".join(
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, _LINE - 2, break_on_hyphens=False)
    )


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number:,} {noun}{'' if number == 1 else plural}"


def _bytes(number: int) -> str:
    return f"{number / GIB:,.1f} GiB" if number >= GIB / 10 else f"{number / 2**20:,.1f} MiB"
