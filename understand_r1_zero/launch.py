"""Processes on one machine or many: the only file that imports ray.

Ray places, starts and ends the processes and carries their objects through shared memory; what the
rest of the system sees is a `RemoteProcess` with `submit` and a `Shared` value to pass along.
"""

import contextlib
import gc
import logging
import operator
import os
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understand_r1_zero import import_path
from understand_r1_zero.protocols import Process

CONNECT_TIMEOUT_S = 5.0
MAX_CONCURRENCY = 10_000
"""Calls under way at once in one process, at most."""
START_TIMEOUT_S = 600.0
"""A process that is not placed by then never will be: the cluster lacks what it asks for."""
PRIVATE_RAY = {
    # Otherwise Ray resolves loopback to the machine's address and listens on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    # Otherwise its processes give way to everything else on the machine.
    "RAY_worker_niceness": "0",
}
"""Environment of a private Ray, unless the user's says otherwise; ray reads it when first imported."""


class ProcessDied(RuntimeError):
    """A remote process ended before it answered."""

    def __init__(self, process: "RemoteProcess", cause: str) -> None:
        super().__init__(f"{process.name} died: {cause}")
        self.process = process

    def __reduce__(self) -> tuple[Any, ...]:
        return RuntimeError, (str(self),)


@dataclass(frozen=True)
class Placement:
    """What one process occupies: a bundle of the placement group, its GPUs (may be a fraction), and
    environment variables set before its interpreter imports anything."""

    bundle: int
    gpus: float = 0.0
    env: Mapping[str, str] = field(default_factory=dict)


class Shared:
    """A value that stays in shared memory; passed to `submit`, it arrives as the value itself."""

    def __init__(self, ref: Any) -> None:
        self.ref = ref


class RemoteProcess:
    """A process holding one object, whose methods `submit` calls."""

    def __init__(self, name: str, handle: Any) -> None:
        self.name = name
        self._handle = handle

    def submit(self, method: str, *args: Any) -> "Future[Any]":
        """Call `method`, or that of a part (`part.method`), there; a `Shared` arrives as its value.

        The future raises what the method raised, or `ProcessDied`.
        """
        return self._resolve(self._handle.call.remote(method, *_refs(args)))

    def submit_shared(self, method: str, *args: Any) -> "tuple[Shared, Future[Any]]":
        """Call a method that returns (payload, summary): the payload stays in shared memory."""
        call = self._handle.call.options(num_returns=2)
        payload, summary = call.remote(method, *_refs(args))
        return Shared(payload), self._resolve(summary)

    def reserve_port(self) -> "Future[tuple[str, int]]":
        """The address of the process's node and a port that is free there now."""
        return self._resolve(self._handle.__ray_call__.remote(_address_and_port))

    def identify(self) -> "Future[tuple[str, int]]":
        """Node address and process id."""
        return self._resolve(self._handle.__ray_call__.remote(_address_and_pid))

    def kill(self) -> None:
        """End the process now, without its consent."""
        import ray

        ray.kill(self._handle, no_restart=True)

    def _resolve(self, ref: Any) -> "Future[Any]":
        from ray.exceptions import RayActorError, RayTaskError

        outer: Future[Any] = Future()

        def copy(inner: "Future[Any]") -> None:
            error = inner.exception()
            if error is None:
                outer.set_result(inner.result())
            elif isinstance(error, RayActorError):
                outer.set_exception(ProcessDied(self, _cause(error)))
            elif isinstance(error, RayTaskError) and isinstance(error.cause, Exception):
                error.cause.add_note(f"raised in {self.name}:\n{error}")
                outer.set_exception(error.cause)
            else:
                outer.set_exception(error)

        ref.future().add_done_callback(copy)
        return outer


def process_ids(processes: Sequence[Process]) -> dict[str, int]:
    """The process id of each process, by name."""
    identities = [process.identify() for process in processes]
    return {p.name: found.result()[1] for p, found in zip(processes, identities, strict=True)}


class Cluster:
    """A private Ray on loopback, or a connection to an existing cluster; a context manager.

    An existing cluster's nodes get a copy of the current directory to work in, which must be the
    repository, and share nothing else with this machine but what Ray carries.

    Every process gets one bundle of one placement group, so that a job that does not fit is refused
    at once instead of hanging half-started.
    """

    def __init__(self, address: str = "", *, bundles: Sequence[Mapping[str, float]]) -> None:
        self._address = address
        self._bundles = [dict(bundle) for bundle in bundles]
        self._group: Any = None

    def __enter__(self) -> "Cluster":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self._address:
            self._connect()
        else:
            self._start_private()
        try:
            self._reserve()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process this run started and leave the cluster (or end the private one)."""
        import ray

        if self._group is not None:
            with contextlib.suppress(Exception):  # the cluster may be gone already
                ray.util.remove_placement_group(self._group)
        ray.shutdown()

    def spawn(
        self,
        name: str,
        path: str,
        placement: Placement,
        kwargs: Mapping[str, Any],
        log_path: Path | None = None,
        *,
        is_concurrent: bool = False,
    ) -> RemoteProcess:
        """Start a process that holds an object of the class at `path` (module:Class).

        It is imported there alone: this process never loads the engines. With `is_concurrent` its
        methods are coroutines that run at the same time, otherwise one after the other. Its output
        goes to `log_path` if given.
        """
        import ray

        handle: Any = (
            ray.remote(_ConcurrentHost if is_concurrent else _Host)
            .options(
                num_cpus=0,
                num_gpus=placement.gpus,
                max_concurrency=MAX_CONCURRENCY if is_concurrent else 1,
                max_restarts=0,
                runtime_env={"env_vars": dict(placement.env)},
                scheduling_strategy=self._place(placement.bundle),
            )
            .remote(path, dict(kwargs))
        )
        process = RemoteProcess(name, handle)
        if log_path is not None:
            handle.__ray_call__.remote(_redirect_output, str(log_path))
        return process

    def visible_gpus(self, bundle: int) -> str:
        """The GPUs of a bundle as CUDA_VISIBLE_DEVICES names them on its node.

        To be asked before any process occupies them.
        """
        import ray

        task: Any = ray.remote(_visible_gpus).options(
            num_cpus=0,
            num_gpus=self._bundles[bundle]["GPU"],
            scheduling_strategy=self._place(bundle),
        )
        return ray.get(task.remote())

    def share(self, value: Any) -> Shared:
        """Put a value into shared memory once, for any number of processes."""
        import ray

        return Shared(ray.put(value))

    def _place(self, bundle: int) -> Any:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        return PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=bundle)

    def _start_private(self) -> None:
        for variable, value in PRIVATE_RAY.items():
            os.environ.setdefault(variable, value)
        import ray

        resources: dict[str, float] = {}
        for bundle in self._bundles:
            for key, amount in bundle.items():
                resources[key] = resources.get(key, 0.0) + amount
        ray.init(
            address="local",
            num_cpus=max(1, round(resources.get("CPU", 0))),
            num_gpus=round(resources["GPU"]) if "GPU" in resources else None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )

    def _connect(self) -> None:
        import ray

        refusal = (
            f"--ray_address {self._address}: no Ray cluster answers there; start one with "
            "`ray start --head`, or leave the flag out"
        )
        if not Path("train_zero_math.py").is_file():
            raise ValueError(
                f"--ray_address {self._address}: run from the repository's root, of which every node "
                f"gets a copy; this is {Path.cwd()}"
            )
        host, colon, port = self._address.rpartition(":")
        if colon:
            # Ray itself would try for minutes.
            try:
                socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
            except (OSError, ValueError) as error:
                raise ValueError(refusal) from error
        try:
            ray.init(
                address=self._address,
                # Relative paths then mean the same on every node, and our code is there.
                runtime_env={"working_dir": ".", "excludes": [".git", ".venv*", "runs"]},
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except ConnectionError as error:
            raise ValueError(refusal) from error

    def _reserve(self) -> None:
        import ray

        self._group = ray.util.placement_group(self._bundles, strategy="PACK")
        if not self._group.wait(START_TIMEOUT_S if self._address else 60.0):
            raise ValueError(
                f"the Ray cluster has {ray.cluster_resources()}, which cannot hold the bundles "
                f"{self._bundles}; lower --gpus, --num_actors or --num_learners"
            )


def collect_garbage_seldom() -> None:
    """Let cyclic garbage wait for 10,000 new objects, not 700.

    Importing an engine makes a million objects that stay: it takes 5 s, or 8 s with Python's default.
    """
    gc.set_threshold(10_000)


class _Host:
    """What Ray keeps in a process: the object, whose methods it calls by name."""

    def __init__(self, path: str, kwargs: dict[str, Any]) -> None:
        collect_garbage_seldom()
        self._inner = import_path.load(path)(**kwargs)

    def call(self, method: str, *args: Any) -> Any:
        return operator.attrgetter(method)(self._inner)(*args)


class _ConcurrentHost:
    """As `_Host`, for an object whose methods are coroutines."""

    def __init__(self, path: str, kwargs: dict[str, Any]) -> None:
        self._host = _Host(path, kwargs)

    async def call(self, method: str, *args: Any) -> Any:
        return await self._host.call(method, *args)


def _cause(error: BaseException) -> str:
    """The sentence of Ray's message that tells what happened, without its general advice."""
    text = str(error).partition("Some common causes")[0].strip()
    return text.splitlines()[-1].strip() if text else type(error).__name__


def _refs(args: Sequence[Any]) -> list[Any]:
    return [arg.ref if isinstance(arg, Shared) else arg for arg in args]


def _address_and_port(_: object) -> tuple[str, int]:
    import ray

    with socket.socket() as probe:
        probe.bind(("", 0))
        return ray.util.get_node_ip_address(), probe.getsockname()[1]


def _visible_gpus() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


def _address_and_pid(_: object) -> tuple[str, int]:
    import ray

    return ray.util.get_node_ip_address(), os.getpid()


def _redirect_output(_: object, path: str) -> None:
    """Append the process's (and its children's) output to a file; another node keeps Ray's own."""
    if not Path(path).parent.is_dir():
        return
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
