"""The states that are kept as processes, the least recently used of which make room for others."""

import collections
import hashlib
import threading

from understand_r1_zero.interpreter.forked import Forked, memory_bytes


class Node:
    """What a state is: its last step, after which other state, and its process while kept.

    `lock` is held while the process is forked or made again, so that nobody drops it meanwhile.
    """

    def __init__(self, parent: "Node | None", code: str):
        self.parent = parent
        self.code = code
        steps = f"{parent.seed if parent else ''}\n{code}"
        digest = hashlib.sha256(steps.encode("utf-8", "replace")).digest()
        self.seed = int.from_bytes(digest[:8], "big")
        self.lock = threading.RLock()
        self.process: Forked | None = None
        self.references = 0
        self.memory_bytes = 0


class KeptStates:
    """Nodes with their processes, bounded in number and memory; safe to use from several threads.

    Memory is counted beyond `fresh_bytes`, that of a state in which nothing has run; the owner sets
    it once it is known.

    A state dropped keeps its code: it can be made again from the nearest ancestor that is kept.
    """

    def __init__(self, max_states: int, max_bytes: int):
        self._max_states = max_states
        self._max_bytes = max_bytes
        self.fresh_bytes = 0
        self._nodes: collections.OrderedDict[Node, None] = collections.OrderedDict()
        self._lock = threading.Lock()
        self.num_dropped = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def processes(self) -> list[Forked]:
        """The processes of all kept states, the least recently used first."""
        with self._lock:
            return [node.process for node in self._nodes if node.process]

    def use(self, node: Node) -> Forked | None:
        """The process of a state, which is now the most recently used; None if it is not kept."""
        with self._lock:
            if node.process:
                self._nodes.move_to_end(node)
            return node.process

    def keep(self, node: Node, process: Forked) -> None:
        """Keep a state as a process; the least recently used ones make room if need be."""
        node.memory_bytes = max(memory_bytes(process.pid) - self.fresh_bytes, 0)
        with self._lock:
            node.process = process
            self._nodes[node] = None
            others = list(self._nodes)[:-1]
        for other in others:
            if not self._is_too_much():
                return
            # One that is just being forked is in use.
            if other.lock.acquire(blocking=False):
                try:
                    self.drop(other)
                finally:
                    other.lock.release()
                self.num_dropped += 1

    def _is_too_much(self) -> bool:
        with self._lock:
            kept_bytes = sum(node.memory_bytes for node in self._nodes)
            return len(self._nodes) > self._max_states or kept_bytes > self._max_bytes

    def drop(self, node: Node) -> None:
        """End the process of a state, if it has one."""
        with self._lock:
            self._nodes.pop(node, None)
            process, node.process = node.process, None
        if process:
            process.kill()

    def drop_all(self) -> None:
        """End all processes."""
        with self._lock:
            nodes = list(self._nodes)
        for node in nodes:
            self.drop(node)
