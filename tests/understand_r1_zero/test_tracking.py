"""wandb for real: offline in this process, and against a server on loopback that refuses all."""

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from understand_r1_zero.args import TrackingArgs
from understand_r1_zero.run_directory import RunDirectory
from understand_r1_zero.tracking import Tracker, reason_offline, run_id

ARGS = TrackingArgs(use_wb=True)
NO_SERVER = "http://127.0.0.1:9"
OFFLINE = "wandb records offline: no login (`wandb login` once); `wandb sync` uploads the run later"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run directory, and no wandb login of the machine's user."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return RunDirectory.create(tmp_path / "run")


@pytest.fixture
def refusing_server() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def do_POST(self):
            self.send_error(400)

        def log_message(self, format: str, *args: object):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def wandb_processes(parent: int) -> list[int]:
    """The wandb-core processes that serve a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:  # ended meanwhile
            continue
        if "wandb-core" in words[0] and words[-2:] == [str(parent), ""]:
            found.append(int(path.parent.name))
    return found


def test_without_the_flag_wandb_is_not_even_imported(run: RunDirectory):
    code = (
        "import sys; from pathlib import Path\n"
        "from understand_r1_zero.args import TrackingArgs\n"
        "from understand_r1_zero.run_directory import RunDirectory\n"
        "from understand_r1_zero.tracking import Tracker\n"
        "tracker = Tracker(TrackingArgs(), RunDirectory(Path(sys.argv[1])), {}, print)\n"
        "tracker.log(1, {'a': 1.0}); tracker.finish()\n"
        "assert 'wandb' not in sys.modules and not tracker.location"
    )
    subprocess.run([sys.executable, "-c", code, str(run.path)], check=True)
    assert not run.wandb.exists()


def test_offline_without_a_login_and_resumed_under_the_same_id(run: RunDirectory):
    warnings: list[str] = []
    folders = []
    for step in (3, 4):
        tracker = Tracker(ARGS, run, {"seed": 1}, warnings.append)
        tracker.log(step, {"eval/average/accuracy": 0.5})
        command, _, folder = tracker.location.rpartition(" ")
        assert command == "wandb sync"
        tracker.finish()
        folders.append(Path(folder))
    identity = (run.wandb / "run_id").read_text().strip()
    for folder in folders:
        assert folder.parent == run.wandb
        assert (folder / f"run-{identity}.wandb").stat().st_size > 0
    assert warnings == [OFFLINE] * 2
    assert wandb_processes(os.getpid()) == []


def test_a_refusing_server_is_one_line_and_the_run_goes_on_offline(
    run: RunDirectory, refusing_server: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_BASE_URL", refusing_server)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    warnings: list[str] = []
    tracker = Tracker(ARGS, run, {}, warnings.append)
    tracker.log(0, {"a": 1.0})
    assert tracker.location.startswith("wandb sync ")
    tracker.finish()
    (warning,) = warnings
    assert warning.startswith("wandb cannot start") and warning.endswith("trying offline")
    assert "\n" not in warning


def test_losing_wandb_in_the_middle_is_one_line(run: RunDirectory):
    warnings: list[str] = []
    tracker = Tracker(ARGS, run, {}, warnings.append)
    tracker.log(0, {"a": 1.0})
    (core,) = wandb_processes(os.getpid())
    os.kill(core, signal.SIGKILL)
    for step in range(1, 20):
        tracker.log(step, {"a": 1.0})
        if len(warnings) > 1:
            break
    tracker.log(20, {"a": 1.0})
    tracker.finish()
    assert warnings[0] == OFFLINE
    assert len(warnings) == 2 and "metrics.jsonl goes on" in warnings[1]


def test_an_invalid_setting_of_the_environment_is_survived(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "soon")
    warnings: list[str] = []
    tracker = Tracker(ARGS, run, {}, warnings.append)
    tracker.log(0, {"a": 1.0})
    tracker.finish()
    assert len(warnings) == 2 and warnings[1].endswith("metrics.jsonl goes on")


def test_online_needs_a_login_and_a_server(
    run: RunDirectory, refusing_server: str, monkeypatch: pytest.MonkeyPatch
):
    assert reason_offline(refusing_server).startswith("no login")
    netrc = f"machine {refusing_server.removeprefix('http://')} login user password {'0' * 40}\n"
    Path(os.environ["NETRC"]).write_text(netrc)
    assert reason_offline(refusing_server) == ""
    assert reason_offline(NO_SERVER).startswith("no login")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert reason_offline(NO_SERVER) == f"{NO_SERVER} does not answer"
    assert reason_offline(refusing_server) == ""
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert reason_offline(NO_SERVER) == ""


def test_run_id_is_drawn_once(tmp_path: Path):
    first = run_id(tmp_path / "wandb" / "run_id")
    assert first == run_id(tmp_path / "wandb" / "run_id") and len(first) == 8
    assert first != run_id(tmp_path / "other" / "run_id")
