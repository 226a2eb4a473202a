"""The sampling actor on real vLLM, alone and in processes that are killed."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from actors.sampling import SamplingActor
from understand_r1_zero.args import Args, OracleArgs
from understand_r1_zero.types import Problem, Sampling, Status, Verdict

engine = [pytest.mark.engine, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SAMPLING = Sampling(num_samples=8, temperature=1.0, top_p=1.0, top_k=-1, max_tokens=24)


def problem(row):
    return Problem("sums", row, f"{row} + {2 * row + 3} =", (str(3 * row + 3),))


def seeded(rows):
    return [(row, problem(row), replace(SAMPLING, seed=1000 * row)) for row in rows]


def digest(groups):
    """Of every bit of every response."""
    total = hashlib.sha256()
    for group in groups:
        for response in group.responses:
            total.update(response.token_ids.tobytes() + response.sampler_logprobs.tobytes())
    return total.hexdigest()


class ListedOracle:
    """Gives what it is made with, and remembers what it was asked."""

    def __init__(self, rewards):
        self.rewards = rewards

    def get_reward(self, inputs, responses, references, batch_size=4):
        self.asked = (inputs, responses, references)
        return self.rewards[: len(responses)], {}


def actor_with(oracle):
    actor = SamplingActor(Args(oracle=OracleArgs(oracle="mine:Oracle")), 0)
    actor._oracle = oracle
    return actor


def test_an_oracle_is_asked_as_oat_asks_it():
    oracle = ListedOracle([1.0, 0.5])
    verdicts = actor_with(oracle)._judge(problem(4), ["a", "b"])
    assert verdicts == [Verdict(1.0, Status.CORRECT), Verdict(0.5, Status.INCORRECT)]
    assert oracle.asked == (["4 + 11 ="] * 2, ["a", "b"], ["15"] * 2)


def test_several_gold_answers_reach_the_oracle_together():
    oracle = ListedOracle([0.0])
    actor_with(oracle)._judge(replace(problem(4), answers=("15", "fifteen")), ["a"])
    assert oracle.asked[2] == [("15", "fifteen")]


def test_an_oracle_that_forgets_a_response_is_named():
    with pytest.raises(ValueError, match=r"mine:Oracle returned 1 rewards for 2 responses"):
        actor_with(ListedOracle([1.0]))._judge(problem(4), ["a", "b"])


def test_a_group_without_a_finished_response_is_not_judged():
    oracle = ListedOracle([])
    assert actor_with(oracle)._judge(problem(4), []) == []
    assert not hasattr(oracle, "asked")


class TestGroups:
    pytestmark = engine

    def test_a_group_is_sampled_and_graded(self, live):
        group = live.run(live.actor.sample(7, problem(20), SAMPLING))
        assert (group.index, group.problem) == (7, problem(20))
        assert group.prompt_token_ids.tolist() == live.tokenizer(group.prompt).input_ids
        assert len(group.responses) == 8
        assert group.generate_s > 0 and group.grade_s > 0
        for response in group.responses:
            is_right = response.text.endswith("\\boxed{63}") and not response.is_truncated
            assert (response.verdict.status is Status.CORRECT) == is_right
            assert sum(span.num_tokens for span in response.version_spans) == len(
                response.token_ids
            )

    def test_a_truncated_response_is_not_graded(self, live):
        group = live.run(live.actor.sample(0, problem(20), replace(SAMPLING, max_tokens=3)))
        assert all(response.is_truncated for response in group.responses)
        assert {response.verdict for response in group.responses} == {
            Verdict(0.0, Status.TRUNCATED)
        }

    def test_a_greedy_response_is_asked_besides_and_is_no_part_of_the_group(self, live):
        greedy = replace(SAMPLING, num_samples=1, temperature=0.0)
        [expected] = live.run(live.actor.sample(0, problem(20), greedy)).responses
        sampling = replace(SAMPLING, has_greedy=True, seed=1)
        [batched, other] = live.run(
            live.actor.sample_batch([(0, problem(20), sampling), (1, problem(21), sampling)])
        )
        for group in (live.run(live.actor.sample(0, problem(20), sampling)), batched):
            assert len(group.responses) == 8
            assert group.greedy.text == expected.text
            assert group.greedy.verdict == expected.verdict
        logprobs = [each.greedy.sampler_logprobs.tolist() for each in (batched, other)]
        assert logprobs[0] != logprobs[1]

    def test_groups_under_way_together_keep_their_own_problems(self, live):
        async def ask():
            return await asyncio.gather(
                *(live.actor.sample(row, problem(row), SAMPLING) for row in range(40))
            )

        for row, group in enumerate(live.run(ask())):
            assert (group.index, group.problem) == (row, problem(row))
            assert f"{row} + {2 * row + 3}" in group.prompt
            assert live.tokenizer.decode(group.prompt_token_ids) == group.prompt

    def test_a_slow_oracle_does_not_hold_up_sampling(self, live):
        oracle = live.actor._oracle

        class Slow:
            def get_reward(self, *asked):
                time.sleep(1)
                return oracle.get_reward(*asked)

        async def ask():
            return await asyncio.gather(
                *(live.actor.sample(row, problem(row), SAMPLING) for row in range(20))
            )

        live.actor._oracle = Slow()
        started_s = time.perf_counter()
        live.run(ask())
        live.actor._oracle = oracle
        assert time.perf_counter() - started_s < 10

    def test_statistics_count_groups_and_tokens(self, live):
        before = live.run(live.actor.statistics())
        group = live.run(live.actor.sample(0, problem(20), SAMPLING))
        after = live.run(live.actor.statistics())
        assert after["groups"] == before["groups"] + 1
        tokens = sum(len(response.token_ids) for response in group.responses)
        assert after["tokens"] == before["tokens"] + tokens

    def test_a_seeded_batch_is_the_same_to_the_last_bit_whatever_came_between(self, live):
        # More responses than are sampled at once, so that some wait for others.
        items = seeded(range(70))
        first = live.run(live.actor.sample_batch(items))
        assert [group.index for group in first] == list(range(70))
        live.run(live.actor.sample(0, problem(3), SAMPLING))
        live.run(live.actor.sample_batch(seeded(range(100, 110))))
        live.run(live.actor.reset_prefix_cache())
        assert digest(live.run(live.actor.sample_batch(items))) == digest(first)
        other_seeds = [(i, p, replace(s, seed=s.seed + 1)) for i, p, s in items]
        assert digest(live.run(live.actor.sample_batch(other_seeds))) != digest(first)


ACTOR_PROCESS = """
import asyncio
from actors.sampling import SamplingActor
from test_sampling import digest, seeded
from understand_r1_zero.args import Args

async def main():
    actor = SamplingActor(Args(), 0, (0,))
    await actor.start()
    groups = await actor.sample_batch(seeded(range(70)))
    print("@", digest(groups), flush=True)
    while True:
        await actor.sample_batch(seeded(range(1)))
        await asyncio.sleep(0.05)

if __name__ == "__main__":
    asyncio.run(main())
"""


class ActorProcess:
    """An actor in a process of its own that never stops sampling."""

    def __init__(self, directory):
        script = directory / "actor.py"
        script.write_text(ACTOR_PROCESS)
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        self.log = directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(script)],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
                cwd=ROOT,
                text=True,
            )

    def wait_until_sampling(self):
        """Returns the digest of its first batch."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                return line[1:].strip()
        raise AssertionError(self.log.read_text()[-4000:])


@pytest.fixture(scope="class")
def actor_process(tmp_path_factory):
    actor = ActorProcess(tmp_path_factory.mktemp("actor"))
    actor.digest = actor.wait_until_sampling()
    yield actor
    actor.process.kill()
    actor.process.wait()


class TestProcess:
    pytestmark = engine

    def test_a_fresh_engine_gives_the_same_batch_to_the_last_bit(self, live, actor_process):
        groups = live.run(live.actor.sample_batch(seeded(range(70))))
        assert actor_process.digest == digest(groups)

    def test_an_actor_whose_engine_dies_ends(self, actor_process):
        children = psutil.Process(actor_process.process.pid).children(recursive=True)
        (core,) = [child for child in children if "EngineCore" in child.name()]
        core.kill()
        assert actor_process.process.wait(10) == 1
        assert "this actor ends: the engine died" in actor_process.log.read_text()
        assert psutil.wait_procs(children, 5)[1] == []
