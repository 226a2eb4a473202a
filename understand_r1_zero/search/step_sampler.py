"""Steps below a node, written by a policy and read by a codec: how a search expands.

**Token-exact.** The policy goes on after the token ids that it sampled, never after its text tokenised
again; only what somebody else wrote, a closing tag or what code printed, is tokenised here.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from understand_r1_zero.search.codecs.fault_counts import FaultCounts
from understand_r1_zero.search.codecs.step import Fault, StepCodec
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.tree import Node, SearchTree

CODE_ERRORS = "code errors"
"""Why a node ends whose steps' code failed too often in a row."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a policy wrote after a prompt.

    `text` ends with the stop string that ended it (`stop_reason`, None where the policy ended it itself);
    `token_ids` are those of the text, as sampled, or tokenised again where the last one reached past a stop
    string; `end_ids` is the end-of-sequence token behind them where the policy ended its text itself;
    `logprob` sums those of the `num_tokens` sampled ones, the end among them, in nats.
    """

    text: str
    token_ids: tuple[int, ...]
    logprob: float
    num_tokens: int
    end_ids: tuple[int, ...] = ()
    stop_reason: str | None = None
    is_truncated: bool = False


Continue = Callable[[Sequence[int], int, int], Awaitable[Sequence[Continuation]]]
"""So many continuations of a prompt's token ids, drawn by a seed; none where there is no room left."""
Encode = Callable[[str], Sequence[int]]
"""The token ids of a text that goes on, without special tokens."""
Observe = Callable[[Sequence[Step], Step], Awaitable[Step]]
"""A step after its code was run in the state that the steps before it left."""
Prompt = Callable[[str], Sequence[int]]
"""The token ids of a problem's prompt, with what a reflection said the next step should heed, if it did."""
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Reading:
    """How samples become steps, for all problems alike.

    `encode` tokenises what the policy did not write; `faults` counts samples that are no steps, and `warn` is
    told when none of the first is one. So many steps in a row whose code fails (`max_code_errors`) end a
    solution. With `keeps_faults` a sample that is no step becomes a node that ends there, to be backed up as
    a failure (AlphaMath); else it is left out.
    """

    codec: StepCodec
    encode: Encode
    faults: FaultCounts
    warn: Warn
    max_code_errors: int = 4
    keeps_faults: bool = False


class StepSampler:
    """Expands one tree.

    Args:
        prompt: the token ids of the codec's prompt for the problem, with a hint where there is one.
        reading: how samples are read.
        ask: the policy.
        seed: of the tree; each node has one of its own, by its place.
        observe: runs code; None: the codec's steps have none.
    """

    def __init__(
        self,
        prompt: Prompt,
        reading: Reading,
        ask: Continue,
        seed: int,
        observe: Observe | None = None,
    ) -> None:
        self._prompt = prompt
        self._reading = reading
        self._ask = ask
        self._seed = seed
        self._observe = observe
        self._num_asked: Counter[str] = Counter()
        self.num_tokens = 0
        """Sampled so far, those of samples that are no steps among them."""

    async def __call__(self, tree: SearchTree, number: int, count: int) -> list[Node]:
        """The nodes of `count` samples below a node, in the order in which they were drawn."""
        way = tree.way(number)
        token_ids = [*self._prompt(tree.nodes[number].hint)]
        for node in way:
            # Steps that somebody else wrote have no token ids.
            token_ids += node.token_ids or self._reading.encode(node.text)
        samples = await self._ask(token_ids, count, self._seed_of(tree.tag(number)))
        self.num_tokens += sum(sample.num_tokens for sample in samples)
        steps = [node.step for node in way]
        nodes = await asyncio.gather(*(self._node(sample, steps) for sample in samples))
        return [node for node in nodes if node is not None]

    def _seed_of(self, tag: str) -> int:
        """The node's, and another one each time it is asked again: its samples would be the same."""
        self._num_asked[tag] += 1
        times = self._num_asked[tag]
        return node_seed(self._seed, tag if times == 1 else f"{tag} again {times}")

    async def _node(self, sample: Continuation, steps: Sequence[Step]) -> Node | None:
        """The step that a sample is, once its code was run; None where it is none and is left out."""
        reading = self._reading
        step = reading.codec.parse(
            sample.text, steps, stop_reason=sample.stop_reason, is_truncated=sample.is_truncated
        )
        if warning := reading.faults.count(step):
            reading.warn(warning)
        if isinstance(step, Fault):
            return _failed(step, sample) if reading.keeps_faults else None
        if step.code is not None and self._observe is not None:
            step = await self._observe(steps, step)
        node = _node_of(step, sample, reading.encode)
        last = [*steps, step][-reading.max_code_errors :]
        if len(last) == reading.max_code_errors and all(each.has_failed for each in last):
            node.terminal = CODE_ERRORS
        return node


def node_seed(seed: int, tag: str) -> int:
    """Of a node, from that of its problem and its name: the same in every run, 63 bits."""
    digest = hashlib.blake2b(f"{seed} {tag}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _node_of(step: Step, sample: Continuation, encode: Encode) -> Node:
    assert step.text.startswith(sample.text), "codecs leave samples as they are"
    rest = step.text[len(sample.text) :]
    # The end of a solution is the policy's own: nothing follows it. A step that goes on has none in it.
    is_ended = bool(sample.end_ids) and step.answer is not None
    behind = sample.end_ids if is_ended else encode(rest) if rest else ()
    return Node(
        step,
        token_ids=(*sample.token_ids, *behind),
        logprob=sample.logprob,
        num_tokens=sample.num_tokens,
    )


def _failed(fault: Fault, sample: Continuation) -> Node:
    return Node(
        Step(sample.text),
        token_ids=(*sample.token_ids, *sample.end_ids),
        logprob=sample.logprob,
        num_tokens=sample.num_tokens,
        terminal=str(fault.reason),
    )
