"""Steps below a node, written by a policy and read by a codec: how a search expands."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.step import Fault, StepCodec
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import Node, SearchTree


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a policy wrote after a prompt.

    `text` ends with the stop string that ended it (`stop_reason`, None where the policy ended it itself);
    `logprob` sums those of the tokens, in nats.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    stop_reason: str | None = None
    is_truncated: bool = False


Continue = Callable[[str, int, int], Awaitable[Sequence[Continuation]]]
"""So many continuations of a prompt, drawn by a seed."""
Observe = Callable[[SearchTree, int, Step], Awaitable[Step]]
"""The step, to be put below the node, after its code was run."""
Warn = Callable[[str], None]


class StepSampler:
    """Expands the tree of one problem.

    Args:
        problem_text: as the codec's prompt has it.
        codec: how steps are written.
        ask: the policy.
        seed: of the problem; each node has one of its own, by its place in the tree.
        faults: counts samples that are no steps, over all problems.
        warn: is told when none of the first is one.
        observe: runs code; None: the codec's steps have none.
        keeps_faults: whether a sample that is no step becomes a node that ends there, to be backed up as a
            failure (AlphaMath); else it is left out.
    """

    def __init__(
        self,
        problem_text: str,
        codec: StepCodec,
        ask: Continue,
        seed: int,
        *,
        faults: FaultCounts,
        warn: Warn,
        observe: Observe | None = None,
        keeps_faults: bool = False,
    ) -> None:
        self._problem_text = problem_text
        self._codec = codec
        self._ask = ask
        self._seed = seed
        self._faults = faults
        self._warn = warn
        self._observe = observe
        self._keeps_faults = keeps_faults

    async def __call__(self, tree: SearchTree, number: int, count: int) -> list[Node]:
        """The nodes of `count` samples below a node, in the order in which they were drawn."""
        steps = tree.steps(number)
        prompt = self._codec.prompt(self._problem_text, steps)
        samples = await self._ask(prompt, count, node_seed(self._seed, tree.tag(number)))
        nodes = []
        for sample in samples:
            parsed = self._codec.parse(
                sample.text,
                steps,
                stop_reason=sample.stop_reason,
                is_truncated=sample.is_truncated,
            )
            if warning := self._faults.count(parsed):
                self._warn(warning)
            if isinstance(parsed, Step):
                if parsed.code is not None and self._observe is not None:
                    parsed = await self._observe(tree, number, parsed)
                nodes.append(_node(parsed, sample))
            elif self._keeps_faults:
                nodes.append(_failed(parsed, sample))
        return nodes


def node_seed(seed: int, tag: str) -> int:
    """Of a node, from that of its problem and its name: the same in every run, 63 bits."""
    digest = hashlib.blake2b(f"{seed} {tag}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _node(step: Step, sample: Continuation) -> Node:
    return Node(
        step,
        token_ids=sample.token_ids,
        logprob=sample.logprob,
        num_tokens=len(sample.token_ids),
    )


def _failed(fault: Fault, sample: Continuation) -> Node:
    node = _node(Step(sample.text), sample)
    node.terminal = str(fault.reason)
    return node
