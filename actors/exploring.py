"""Explores given solutions: completions from their steps, many solutions at once, over the actor's engine."""

import time
from collections.abc import Sequence

import numpy as np

from actors.step_writer import StepWriter
from actors.valuing import AnswerGrader
from oracles.monte_carlo import Completions, hard_settled, never_settled
from understand_r1_zero.args_search import StepOracleArgs
from understand_r1_zero.search.explore import GivenSolution, ask_about_steps, explored_tree
from understand_r1_zero.search.records import FACTS_KEY, SearchFacts, to_record
from understand_r1_zero.search.step import Step
from understand_r1_zero.search.step_oracle import Draws
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.types import Group, Problem, Response, Sampling, Status, Verdict


class Explorer:
    """Explores solutions, any number of them at once.

    Args:
        writer: completes them.
        grader: of answers.
        flags: `--mc_mode`, how many completions, and how many of them at once.
        warnings: for the user; the next group to be finished takes them along.
    """

    def __init__(
        self,
        writer: StepWriter,
        grader: AnswerGrader,
        flags: StepOracleArgs,
        warnings: list[str],
    ) -> None:
        self._writer = writer
        self._grader = grader
        self._scan = flags.mc_mode
        self._completions = Completions(
            writer.complete, grader.grade, flags.mc_completions, flags.mc_round
        )
        # Only the soft estimate wants more than one right completion.
        self._is_settled = never_settled if flags.mc_mode == "soft" else hard_settled
        self._warnings = warnings

    async def explore(
        self, index: int, problem: Problem, sampling: Sampling, given: GivenSolution
    ) -> Group:
        """Complete a solution from its steps on; the group's one response is the solution, its tree the find."""
        started_s = time.monotonic()
        seed = node_seed(sampling.seed or 0, str(index))
        verdict = await self._judge(problem, given)
        is_right = None if verdict.status is Status.UNKNOWN else verdict.status is Status.CORRECT
        drawn: dict[int, Draws] = {}
        if is_right is not None:

            async def draw(steps: Sequence[Step]) -> Draws:
                return await self._completions.draw(problem, steps, seed, self._is_settled)

            with self._writer.states_of(problem):
                drawn = await ask_about_steps(given, draw, self._scan, is_right=is_right)
        explored_s = time.monotonic()
        tree, last = explored_tree(given, drawn, is_right=is_right)
        tree.record[FACTS_KEY] = SearchFacts(
            given=tree.tag(last),
            scan=self._scan,
            seed=seed,
            tokens=sum(found.num_tokens for found in drawn.values()),
            seconds=explored_s - started_s,
            status=str(verdict.status),
        )
        prompt = self._writer.prompt(problem.text)
        warnings = tuple(self._warnings)
        self._warnings.clear()
        return Group(
            index=index,
            problem=problem,
            prompt=prompt,
            prompt_token_ids=np.array(self._writer.encode_prompt(prompt), np.int32),
            responses=(_response(given, verdict),),
            generate_s=explored_s - started_s,
            grade_s=time.monotonic() - explored_s,
            tree=to_record(tree),
            warnings=warnings,
        )

    async def _judge(self, problem: Problem, given: GivenSolution) -> Verdict:
        verdict = await self._grader.grade(problem, given.answer)
        if given.is_truncated and verdict.status is not Status.UNKNOWN:
            return Verdict(0.0, Status.TRUNCATED)
        return verdict


def _response(given: GivenSolution, verdict: Verdict) -> Response:
    """The solution, of which only the text is known."""
    return Response(
        text="".join(step.text for step in given.steps),
        token_ids=np.empty(0, np.int32),
        sampler_logprobs=np.empty(0, np.float32),
        is_truncated=given.is_truncated,
        version_spans=(),
        verdict=verdict,
    )
