"""A real server on this machine: one that answers, one that fails, hangs or lies."""

import asyncio
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from oracles.remote import RemoteOracle
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import SIGNED
from understand_r1_zero.types import Problem

HANG, DROP, CUT = "hang", "drop", "cut"


def values_of(batch):
    """A value for each step that is asked for: its text, a number."""
    return {"values": [[float(t) for t in body["steps"][body["first"] :]] for body in batch]}


class Server(ThreadingHTTPServer):
    """Does what the script says, one entry a batch, and after it answers well."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = []
        self.batches = []
        self.arrived_s = []
        self.is_over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/score"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.batches.append(batch)
        self.server.arrived_s.append(time.monotonic())
        act = self.server.script.pop(0) if self.server.script else values_of(batch)
        if act in (HANG, DROP):
            if act == HANG:
                self.server.is_over.wait(60)
            self.close_connection = True
            return
        status, reply = act if isinstance(act, tuple) else (200, act)
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.path)
        self.send_header("Content-Length", str(len(body) + (act == (200, CUT))))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


def problem_of(number):
    return Problem("sums", number, f"problem {number}", (str(number),))


def ask(url, *solutions, first=0, **options):
    """The scores of all solutions, or what went wrong, asked at once."""

    async def scores():
        oracle = RemoteOracle(url, **({"backoff_s": 0.01, "timeout_s": 20.0} | options))
        return await asyncio.gather(
            *(
                oracle.score(problem_of(number), [Step(text) for text in texts], first)
                for number, texts in enumerate(solutions)
            ),
            return_exceptions=True,
        )

    return asyncio.run(scores())


def test_requests_share_batches_and_get_their_own_values(server):
    solutions = [[str(n / 10), str(n / 20)] for n in range(10)]
    found = ask(server.url, *solutions, batch_size=4)
    assert [score.values for score in found] == [(n / 10, n / 20) for n in range(10)]
    assert sorted(len(batch) for batch in server.batches) == [2, 4, 4]
    sent = [body for batch in server.batches for body in batch]
    assert {"problem": "problem 3", "steps": ["0.3", "0.15"], "first": 0} in sent


def test_a_batch_that_is_not_full_waits_for_others_and_no_longer(server):
    async def scores():
        oracle = RemoteOracle(server.url, wait_s=0.5)
        early = asyncio.create_task(oracle.score(problem_of(1), [Step("0.1")]))
        await asyncio.sleep(0.1)
        late = asyncio.create_task(oracle.score(problem_of(2), [Step("0.2")]))
        both = await early, await late
        alone = await oracle.score(problem_of(3), [Step("0.3")])
        return [score.values for score in (*both, alone)]

    assert asyncio.run(scores()) == [(0.1,), (0.2,), (0.3,)]
    assert [len(batch) for batch in server.batches] == [2, 1]


def test_only_the_steps_asked_for_are_valued_and_answers_go_along_on_demand(server):
    (score,) = ask(server.url, ["x", "0.5", "1.0"], first=1, sends_answers=True)
    assert score.values == (0.5, 1.0)
    sent = {"problem": "problem 0", "steps": ["x", "0.5", "1.0"], "first": 1, "answers": ["0"]}
    assert server.batches == [[sent]]
    (score,) = ask(server.url, ["x"], first=1)
    assert (score.values, len(server.batches)) == ((), 1)


@pytest.mark.parametrize("failure", [(500, "out of memory"), (503, "busy"), DROP, (200, CUT)])
def test_a_server_that_fails_twice_is_asked_again_later_each_time(server, failure):
    server.script = [failure, failure]
    (score,) = ask(server.url, ["0.5"], backoff_s=0.1)
    assert score.values == (0.5,)
    assert len(server.batches) == 3
    first, second, third = server.arrived_s
    assert second - first >= 0.1 and third - second >= 0.2


def test_a_server_that_hangs_costs_its_time_and_no_more(server):
    server.script = [HANG]
    started_s = time.monotonic()
    found = ask(server.url, ["0.5"], ["0.6"], timeout_s=0.3)
    assert 0.3 <= time.monotonic() - started_s < 10
    for error in found:
        assert isinstance(error, TimeoutError)
        assert str(error).startswith(f"{server.url} gave no values within 0.3 s")


def test_a_server_that_never_recovers_is_reported_with_its_last_word(server):
    server.script = [(502, "no upstream")] * 100
    (error,) = ask(server.url, ["0.5"], timeout_s=1.0)
    assert isinstance(error, TimeoutError) and "502 '\"no upstream\"'" in str(error)
    assert 2 <= len(server.batches) < 10
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, but nobody listens
        (error,) = ask(f"http://127.0.0.1:{listener.getsockname()[1]}", ["0.5"], timeout_s=1.0)
    assert isinstance(error, TimeoutError) and "Cannot connect" in str(error)


@pytest.mark.parametrize("status", [302, 400, 404, 422])
def test_a_refusal_is_an_error_at_once(server, status):
    server.script = [(status, "no such model")]
    found = ask(server.url, ["0.5"], ["0.6"])
    for error in found:
        assert isinstance(error, ValueError)
        assert str(error) == f"{server.url} refused a batch: {status} '\"no such model\"'"
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"<html>hello</html>", "must answer in JSON, got 200 '<html>hello</html>'"),
        (b"\xff\xfe", "must answer in JSON"),
        ([[0.5, 0.5]], r'must answer \{"values": \[\[...\], ...\]\}, got 200 '),
        ({"scores": [[0.5, 0.5]]}, "must answer"),
        ({"values": 0.5}, "must answer"),
        ({"values": []}, "one list of values for each of 1 requests, got 0 lists"),
        ({"values": [[0.5, 0.5]] * 2}, "got 2 lists"),
        ({"values": [[0.5]]}, r"must give 2 values, one for each of steps\[first:\], got \[0.5\]"),
        ({"values": [0.5]}, "must give 2 values"),
        ({"values": [[0.5, None]]}, r"within \[0, 1\], got None"),
        ({"values": [[0.5, "1"]]}, "got '1'"),
        ({"values": [[0.5, True]]}, "got True"),
        ({"values": [[0.5, float("nan")]]}, "got nan"),
        ({"values": [[0.5, float("inf")]]}, "got inf"),
        ({"values": [[0.5, -0.1]]}, "got -0.1; mend the server, or name its scale"),
        ({"values": [[10**400, 0.5]]}, "got 1000"),
    ],
)
def test_a_server_that_lies_is_refused_by_its_url(server, reply, message):
    server.script = [reply]
    (error,) = ask(server.url, ["0.5", "0.6"])
    assert isinstance(error, ValueError) and str(error).startswith(server.url)
    with pytest.raises(ValueError, match=message):
        raise error


def test_another_scale(server):
    (score,) = ask(server.url, ["-1", "1"], scale=SIGNED)
    assert score.values == (-1.0, 1.0)
    (error,) = ask(server.url, ["-1.5"], scale=SIGNED)
    assert isinstance(error, ValueError)


def test_one_that_gives_up_takes_nothing_from_the_others(server):
    async def scores():
        oracle = RemoteOracle(server.url, wait_s=0.5)
        tasks = [
            asyncio.create_task(oracle.score(problem_of(n), [Step(str(n / 10))])) for n in range(3)
        ]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        return [score.values for score in await asyncio.gather(*tasks[1:])]

    assert asyncio.run(scores()) == [(0.1,), (0.2,)]


def test_bad_settings_are_refused():
    for url, options, message in (
        ("localhost:8000", {}, "must begin with http:// or https://, got 'localhost:8000'"),
        ("", {}, "got ''"),
        ("http://h", {"batch_size": 0}, "batch size of a remote oracle must be at least 1, got 0"),
        ("http://h", {"timeout_s": 0.0}, "time limit of a remote oracle must be above 0 s, got 0"),
        ("http://h", {"backoff_s": -1.0}, "back-off of a remote oracle must be above 0 s, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            RemoteOracle(url, **options)
