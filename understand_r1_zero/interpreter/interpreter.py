"""A sandboxed Python interpreter whose state is forked, not replayed.

    with Interpreter(Limits()) as interpreter:
        state = interpreter.start()
        run = interpreter.run(state, "x = 6 * 7\\nx")     # run.output == "42\\n"
        again = interpreter.run(run.state, "x + 1")       # `state` and `run.state` are unchanged

A state is a process that has run the steps so far and waits. A run forks it, and the child becomes
the new state: a search may go on from any of its nodes without running any code twice.

What protects whom
------------------
The owner and the machine are protected from the code by

- *walls*, the first of these that works when it is tried: `bubblewrap`, or namespaces of our own
  (user, mount, process, network, ipc, uts, cgroup), or Landlock. All show the Python and system
  libraries, read-only, /dev/null, /dev/zero, /dev/urandom, and an empty folder. The first two have
  no /proc, no network and nobody else's processes. Landlock refuses to open files; names, sizes
  and symbolic links of others can still be asked for.
- a *seccomp* list of system calls (`seccomp.py`), in every mechanism: no socket, no signal to
  anybody, no thread, no program, no mount, no namespace, no ptrace, no change of owner or mode.
- the *fork gate* (`gate.py`): the filter passes each `fork` to the owner, who grants one for each
  run. So there are never more processes than runs and kept states, and none escapes its state.
- *limits* (`limits.py`): CPU and wall seconds by SIGKILL, address space, file size and open files
  by rlimits, output by what is read; capabilities are dropped and `no_new_privs` is set.

At start, code that tries to read a file of the owner, to open a socket, to fork and to send a
signal must fail, or the mechanism is not used. Ends: the guard (`guard.py`) sees its owner's end
close, however the owner ends, and kills the rest.

States of different lineages are protected from each other: they share no memory they can write, no
descriptor, no signal; a folder is found by its secret name only, and is removed after its run. What
a step does to its own interpreter (patching builtins, say), its descendants see; nobody else does.

Not protected: what the kernel itself gets wrong; the time of others on the same cores (no cgroups
are used); memory, if `max_running` runs at once exceed the machine's, although the kernel then
takes these processes first (not with bubblewrap); runs from each other where they fill the disk:
they share the size of one tmpfs. With Landlock the folder is on the host's disk, and only the size
of each file is bounded. `is_unsafe` (`--unsafe_interpreter`) has none of the walls and filters:
only limits and deadlines remain.
"""

import collections
import dataclasses
import secrets
import socket
import tempfile
import threading
import weakref

from understand_r1_zero.interpreter import forked, sandbox
from understand_r1_zero.interpreter.forked import Error, Forked, LostError, Outcome
from understand_r1_zero.interpreter.kept import KeptStates, Node
from understand_r1_zero.interpreter.limits import Limits
from understand_r1_zero.interpreter.sandbox import SAFE_MECHANISMS, SandboxError

MAX_CODE_CHARS = 32_768
"""So that a step fits into one message."""

PROBE = """
import os, socket
def attempt(name, action):
    try:
        action()
    except OSError:
        return
    print(name)
attempt("a file of the owner was read", lambda: open({canary!r}).read())
attempt("a socket was opened", lambda: socket.socket())
attempt("a process was forked", lambda: os.fork() or os._exit(0))
attempt("a signal was sent", lambda: os.kill(os.getppid(), 0))
attempt("a file was made outside", lambda: open("/made", "w"))
"""


class State:
    """A handle on an interpreter's state; collected, it is released by itself."""

    def __init__(self, node: Node):
        self._node: Node | None = node
        self._finalizer: weakref.finalize | None = None

    @property
    def node(self) -> Node:
        """The node.

        Raises:
            ValueError: The state was released.
        """
        if self._node is None:
            raise ValueError("state must be one that was not released; start() gives a fresh one")
        return self._node


@dataclasses.dataclass(frozen=True)
class Run:
    """What came of a step."""

    state: State
    """After the step; after a deadline or a death, the state before it."""
    output: str
    """What the step printed and the value of its last expression; then the traceback's last line."""
    error: Error
    """`exception` of the step's code, `timeout` of wall or CPU seconds, `memory` for MemoryError,
    `output` for a flood, `killed` if the process ended otherwise."""
    seconds: float
    """Of the step itself, without waiting and forking."""


class Interpreter:
    """Runs steps of Python in a sandbox; safe to call from several threads at once.

    `mechanisms` are tried in order. `is_unsafe` allows running without any, if none works.

    Raises:
        SandboxError: No mechanism works here; the message says of each why.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        mechanisms: tuple[str, ...] = SAFE_MECHANISMS,
        is_unsafe: bool = False,
    ):
        unknown = set(mechanisms) - set(SAFE_MECHANISMS)
        if unknown:
            raise ValueError(f"mechanisms must be among {SAFE_MECHANISMS}, got {unknown}")
        self.limits = limits or Limits()
        self.num_runs = 0
        self.num_replays = 0
        self._slots = threading.BoundedSemaphore(self.limits.max_running)
        self._lock = threading.Lock()
        self._fork_lock = threading.Lock()
        self._kept = KeptStates(self.limits.max_states, self.limits.kept_bytes)
        self._released: collections.deque[Node] = collections.deque()
        self._running: set[int] = set()
        self._is_closed = False
        self._root = Node(None, "")
        self._root.references = 1
        self._sandbox = self._start(mechanisms, is_unsafe)
        self._kept.fresh_bytes = forked.memory_bytes(self._sandbox.zygote_pid)
        self.mechanism = self._sandbox.mechanism
        self.libraries = self._sandbox.libraries

    def __enter__(self) -> "Interpreter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> State:
        """A fresh state: nothing has run in it."""
        return self._handle(self._root)

    def run(self, state: State, code: str) -> Run:
        """Run a step after `state`, which does not change.

        Whatever the code does comes back as a `Run`.

        Raises:
            ValueError: The state was released.
            SandboxError: The sandbox is closed or broken.
        """
        node = state.node
        if len(code) > MAX_CODE_CHARS:
            text = f"ValueError: the step is longer than {MAX_CODE_CHARS} characters"
            return Run(self._handle(node), text, "exception", 0.0)
        with self._slots:
            self._check()
            self._collect()
            with self._lock:
                self.num_runs += 1
            child = Node(node, code)
            try:
                outcome = self._step(child)
            except LostError as error:
                outcome = Outcome(None, f"the state was lost: {error}", "killed", 0.0)
            if outcome.process is None:
                self._check()
                child = node
            else:
                self._keep(child, outcome.process)
            return Run(self._handle(child), outcome.output, outcome.error, outcome.seconds)

    def release(self, state: State) -> None:
        """Say that a state is not needed any more; releasing it twice does nothing."""
        if state._finalizer and state._finalizer.detach():
            self._released.append(state.node)
            state._node = None
            self._collect()

    @property
    def num_kept(self) -> int:
        """States that are processes now."""
        self._collect()
        return len(self._kept)

    @property
    def num_dropped(self) -> int:
        """States that made room for others so far."""
        return self._kept.num_dropped

    def kept_bytes(self) -> list[int]:
        """Memory that each kept state shares with no other process, as the kernel counts it."""
        sizes = []
        for process in self._kept.processes():
            with open(f"/proc/{process.pid}/smaps_rollup") as file:
                private = [int(line.split()[1]) for line in file if line.startswith("Private_")]
            sizes.append(sum(private) * 1024)
        return sizes

    def close(self) -> None:
        """End every process; runs under way in other threads raise SandboxError."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._sandbox.close()
        # Runs under way now see their processes dead.
        for _ in range(self.limits.max_running):
            self._slots.acquire()
        self._kept.drop_all()
        for _ in range(self.limits.max_running):
            self._slots.release()

    def _start(self, mechanisms: tuple[str, ...], is_unsafe: bool) -> sandbox.Sandbox:
        """The first sandbox whose walls hold."""
        refusals = []
        for mechanism in (*mechanisms, *(["unsafe"] if is_unsafe else [])):
            try:
                self._sandbox = sandbox.start(self.limits, mechanism)
            except SandboxError as error:
                refusals.append(f"{mechanism}: {error}")
                continue
            if mechanism == "unsafe" or not (hole := self._probe()):
                return self._sandbox
            self._sandbox.close()
            refusals.append(f"{mechanism}: its walls do not hold: {hole}")
        raise SandboxError(
            "no way to run model-written code safely works here; "
            + "; ".join(refusals)
            + "; --unsafe_interpreter runs it without protection"
        )

    def _probe(self) -> str:
        """What code in the sandbox could do that it must not; empty if nothing."""
        with tempfile.NamedTemporaryFile(prefix="canary-") as canary:
            try:
                outcome = self._step(Node(self._root, PROBE.format(canary=canary.name)))
            except LostError as error:
                return str(error)
        if outcome.process:
            self._running.discard(outcome.process.pid)
            outcome.process.kill(forked.EXIT_S)
        return outcome.output.strip()

    def _check(self) -> None:
        if self._is_closed:
            raise SandboxError("the interpreter is closed")
        if not self._sandbox.is_alive():
            raise SandboxError("the sandbox's first process is gone: start another interpreter")

    def _handle(self, node: Node) -> State:
        with self._lock:
            node.references += 1
        state = State(node)
        # It runs wherever the collector happens to, so it must not wait for a lock.
        state._finalizer = weakref.finalize(state, self._released.append, node)
        state._finalizer.atexit = False
        return state

    def _collect(self) -> None:
        """End the processes of states that nobody holds."""
        while True:
            try:
                node = self._released.popleft()
            except IndexError:
                return
            with self._lock:
                node.references -= 1
                is_free = node.references == 0
            if is_free:
                with node.lock:
                    self._kept.drop(node)

    def _keep(self, node: Node, process: Forked) -> None:
        self._kept.keep(node, process)
        with self._lock:
            self._running.discard(process.pid)

    def _step(self, node: Node) -> Outcome:
        """Fork the state before a node and run the node's code in the child.

        Raises:
            LostError: The state before it cannot be made again.
        """
        assert node.parent is not None
        process = self._fork(node.parent)
        limits = self.limits
        folder = secrets.token_hex(16)
        self._sandbox.make_folder(folder)
        request = {
            "code": node.code,
            "seed": node.seed,
            "folder": folder,
            "address_space_bytes": self._sandbox.address_space_bytes + limits.memory_bytes,
            "flood_chars": limits.flood_chars,
            "output_chars": limits.output_chars,
            "float_decimals": limits.float_decimals,
        }
        outcome = forked.run(process, request, limits.cpu_s, limits.wall_s)
        self._sandbox.remove_folder(folder)
        if outcome.process is None:
            with self._lock:
                self._running.discard(process.pid)
        return outcome

    def _fork(self, node: Node) -> Forked:
        """A child of a state; a state that was dropped or died is made again first.

        Raises:
            LostError: It cannot be.
        """
        with node.lock:
            for is_last in (False, True):
                if node is self._root:
                    parent, pid = self._sandbox.zygote_channel, self._sandbox.zygote_pid
                else:
                    process = self._alive(node)
                    parent, pid = process.channel, process.pid
                try:
                    child = self._fork_once(parent, pid)
                    if node.references == 0:
                        self._kept.drop(node)
                    return child
                except LostError:
                    self._kept.drop(node)
                    self._sweep()
                    if is_last or node is self._root:
                        raise
        raise AssertionError("unreachable")

    def _fork_once(self, parent: socket.socket, pid: int) -> Forked:
        with self._fork_lock:
            child = forked.fork(parent, pid, self._sandbox.gate)
            with self._lock:
                self._running.add(child.pid)
            return child

    def _alive(self, node: Node) -> Forked:
        """The process of a state, made again by running its step again if need be."""
        if process := self._kept.use(node):
            return process
        with self._lock:
            self.num_replays += 1
        outcome = self._step(node)
        if outcome.process is None:
            raise LostError(f"running its step again ended with {outcome.error}")
        self._keep(node, outcome.process)
        return outcome.process

    def _sweep(self) -> None:
        with self._fork_lock:
            with self._lock:
                known = self._running | {self._sandbox.zygote_pid}
            known |= {process.pid for process in self._kept.processes()}
            forked.sweep(self._sandbox.zygote_pid, known)
