"""A side of `learner_head_*`: log-probs and entropies of one sequence's tokens, forward and backward.

`ours` computes them in pieces, `theirs` as one would write it: all logits, their log-softmax.
"""

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.side import DoRound, Round, answer

MEMORY = Path("/proc/self")
RESET_PEAK = "5"


def main() -> None:
    """One forward and backward pass of the head a round."""
    answer(_prepare)


def _prepare() -> DoRound:
    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    import torch
    from torch import nn

    which, *sizes = sys.argv[1:]
    length, hidden_size, vocabulary = map(int, sizes)
    torch.manual_seed(0)
    head = nn.Linear(hidden_size, vocabulary, bias=False)
    hidden = torch.randn(length, hidden_size).requires_grad_()
    targets = torch.randint(0, vocabulary, (length,))
    score = _in_pieces(head) if which == "ours" else _plain(head)

    def do_round() -> Round:
        head.weight.grad = hidden.grad = None
        gc.collect()
        # What glibc keeps of the last round would hide as much of this one's.
        ctypes.CDLL(None).malloc_trim(0)
        (MEMORY / "clear_refs").write_text(RESET_PEAK)
        before = _memory_bytes("VmRSS")
        started_s = time.perf_counter()
        cpu = time.process_time()
        logprobs, _ = score(hidden, targets)
        logprobs.mean().backward()
        seconds = time.perf_counter() - started_s
        assert head.weight.grad is not None
        return {
            "tokens": length,
            "seconds": seconds,
            "cpu_seconds": time.process_time() - cpu,
            "peak_bytes": _memory_bytes("VmHWM") - before,
            "grad_norm": float(head.weight.grad.norm()),
        }

    return do_round


def _in_pieces(head) -> Callable:
    from learners.head import TokenHead

    return TokenHead(head, temperature=1.0)


def _plain(head) -> Callable:
    import torch

    def score(hidden, targets):
        logprobs = head(hidden).log_softmax(-1)
        with torch.no_grad():
            entropies = -(logprobs.exp() * logprobs).sum(-1)
        return logprobs.gather(-1, targets[:, None]).squeeze(-1), entropies

    return score


def _memory_bytes(name: str) -> int:
    for line in (MEMORY / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in {MEMORY}/status")


if __name__ == "__main__":
    main()
