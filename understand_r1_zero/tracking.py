"""wandb, and nothing else imports it: one run, in the run directory, that never stops training."""

import contextlib
import netrc
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from understand_r1_zero.args import TrackingArgs
from understand_r1_zero.run_directory import RunDirectory, write_atomic

REACH_TIMEOUT_S = 5.0
INIT_TIMEOUT_S = 30.0
FINISH_TIMEOUT_S = 60.0
"""Longest waits for the server: before, at, and after a run. The rest can be synced later."""
_FAILURES = Exception
"""What wandb raises: its own Error, and bare exceptions of its internals when its process is lost. None
of them may end a training run, whose metrics are on disk anyway."""


class Tracker:
    """Sends every step's metrics to one wandb run; without --use-wb it does nothing.

    It is offline without credentials or without network, and never asks for either. The run's id
    lies in the run directory, so that a resumed run continues it. When wandb fails, `warn` gets one
    line and training goes on with metrics.jsonl alone.
    """

    def __init__(
        self,
        args: TrackingArgs,
        run_directory: RunDirectory,
        config: Mapping[str, Any],
        warn: Callable[[str], None],
    ) -> None:
        self._run: Any = None
        self._warn = warn
        self._next_step = 0
        if args.use_wb:
            self._run = _start(args, run_directory, dict(config), warn)
        if self._run is not None:
            self._next_step = self._run.step

    @property
    def location(self) -> str:
        """The run's page, or the command that uploads it when it is offline; empty without wandb."""
        if self._run is None or self._run.disabled:
            return ""
        return f"wandb sync {Path(self._run.dir).parent}" if self._run.offline else self._run.url

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send one step. A resumed online run leaves out the steps its page already has."""
        if self._run is None or step < self._next_step:
            return
        import wandb

        try:
            self._run.log(dict(metrics), step=step)
        except _FAILURES as error:
            self._warn(f"wandb stopped at step {step} ({_one_line(error)}); metrics.jsonl goes on")
            self._run = None
            # wandb would try the same at exit and end the program with a traceback.
            with contextlib.suppress(_FAILURES):
                wandb.teardown()
        self._next_step = step

    def finish(self, exit_code: int = 0) -> None:
        """Upload what is left, at most `FINISH_TIMEOUT_S`, and end wandb's process."""
        if self._run is None:
            return
        import wandb

        try:
            self._run.finish(exit_code=exit_code)
            wandb.teardown()
        except _FAILURES as error:
            self._warn(f"wandb did not finish ({_one_line(error)}); {self.location}")
        self._run = None


def run_id(path: Path) -> str:
    """The wandb id stored in `path`, drawn and stored at the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, secrets.token_hex(4) + "\n")
    return path.read_text(encoding="utf-8").strip()


def reason_offline(base_url: str) -> str:
    """Why a run cannot be online, and what would help; empty when it can, or WANDB_MODE decides."""
    if os.environ.get("WANDB_MODE", "online") != "online":
        return ""
    if not _has_credentials(base_url):
        return "no login (`wandb login` once)"
    return "" if _is_reachable(base_url) else f"{base_url} does not answer"


def _start(
    args: TrackingArgs,
    run_directory: RunDirectory,
    config: dict[str, Any],
    warn: Callable[[str], None],
) -> Any:
    """Start the run, offline when online fails, or None when wandb cannot start at all."""
    import wandb

    options = {
        "project": args.wb_project,
        "entity": args.wb_org or None,
        "group": args.wb_group or None,
        "name": args.wb_run_name or run_directory.path.resolve().name,
        "id": run_id(run_directory.wandb / "run_id"),
        "resume": "allow",
        "dir": str(run_directory.path),
        "config": config,
    }
    try:
        session = wandb.setup(wandb.Settings(silent=True))
        reason = reason_offline(session.settings.base_url)
        if reason:
            warn(f"wandb records offline: {reason}; `wandb sync` uploads the run later")
        return _init("offline" if reason else None, options)
    except _FAILURES as error:
        warn(f"wandb cannot start ({_one_line(error)}); trying offline")
    try:
        wandb.teardown()
        return _init("offline", options)
    except _FAILURES as error:
        warn(f"wandb cannot start offline ({_one_line(error)}); metrics.jsonl goes on")
    return None


def _init(mode: Literal["offline"] | None, options: dict[str, Any]) -> Any:
    import wandb

    settings = wandb.Settings(
        silent=True, console="off", init_timeout=INIT_TIMEOUT_S, finish_timeout=FINISH_TIMEOUT_S
    )
    return wandb.init(mode=mode, settings=settings, **options)


def _has_credentials(base_url: str) -> bool:
    """Whether wandb would find a key without asking: in the environment or in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        logins = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    hosts = {urlsplit(base_url).netloc, "api.wandb.ai"}
    return any(logins.authenticators(host) for host in hosts)


def _is_reachable(base_url: str) -> bool:
    """Whether the server answers at all, through the proxy of the environment if there is one."""
    try:
        urllib.request.urlopen(base_url, timeout=REACH_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _one_line(error: BaseException) -> str:
    """The message without line breaks, cut to what fits beside its remedy."""
    return " ".join(str(error).split())[:120] or type(error).__name__
