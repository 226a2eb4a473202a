"""Searches for solutions: one tree a problem, many problems at once, over the actor's engines."""

import asyncio
import time

import numpy as np

from actors.policy_steps import PolicySteps
from actors.step_writer import StepWriter
from actors.valuing import AnswerGrader, Valuer
from oracles.outcome import verdict_value
from understand_r1_zero.search.methods import Solved, solve
from understand_r1_zero.search.records import FACTS_KEY, SearchFacts, to_record
from understand_r1_zero.search.reflection import REFLECTIONS, Reflect
from understand_r1_zero.search.settings import WHOLE_SOLUTIONS, SearchSettings
from understand_r1_zero.search.step_oracle import SIGNED, StepOracle
from understand_r1_zero.search.step_sampler import node_seed
from understand_r1_zero.search.tree import ROOT, SearchTree
from understand_r1_zero.types import Group, Problem, Response, Sampling, Status, Verdict


class Searcher:
    """Searches problems, any number of them at once.

    Args:
        policy: writes reflections.
        writer: writes steps.
        settings: the method.
        grader: of answers.
        valuer: of nodes.
        oracle: of steps; None: the method needs no values.
        warnings: for the user; the next group to be finished takes them along.
    """

    def __init__(
        self,
        policy: PolicySteps,
        writer: StepWriter,
        settings: SearchSettings,
        grader: AnswerGrader,
        valuer: Valuer,
        oracle: StepOracle | None,
        warnings: list[str],
    ) -> None:
        self._policy = policy
        self._writer = writer
        self._settings = settings
        self._grader = grader
        self._valuer = valuer
        self._oracle = oracle
        self._warnings = warnings

    async def search(self, index: int, problem: Problem, sampling: Sampling) -> Group:
        """Search one problem; the group's one response is the solution that was chosen."""
        started_s = time.monotonic()
        seed = node_seed(sampling.seed or 0, str(index))
        tree = SearchTree({})
        sampler = self._writer.sampler(problem, seed)
        evaluate = None
        if self._oracle is not None:
            evaluate = self._valuer.evaluator(problem, seed, self._oracle)
        with self._writer.states_of(problem):
            solved = await solve(
                tree,
                sampler,
                evaluate,
                self._settings,
                seed,
                are_equal=self._grader.are_equal,
                reflect=self._reflect(problem, seed),
            )
        searched_s = time.monotonic()
        prompt = self._writer.prompt(problem.text)
        verdict = await self._grade_ends(problem, tree, solved)
        tree.record[FACTS_KEY] = self._facts(tree, solved, verdict, seed, sampler.num_tokens)
        warnings = tuple(self._warnings)
        self._warnings.clear()
        return Group(
            index=index,
            problem=problem,
            prompt=prompt,
            prompt_token_ids=np.array(self._writer.encode_prompt(prompt), np.int32),
            responses=(_response(tree, solved.chosen, verdict),),
            generate_s=searched_s - started_s,
            grade_s=time.monotonic() - searched_s,
            tree=to_record(tree),
            warnings=warnings,
        )

    def _reflect(self, problem: Problem, seed: int) -> Reflect | None:
        kind = self._settings.reflection
        if kind == "none":
            return None
        return REFLECTIONS[kind](problem.text, self._policy.write, seed)

    async def _grade_ends(self, problem: Problem, tree: SearchTree, solved: Solved) -> Verdict:
        """Reward every answer of the tree, 1 or -1; returns the verdict on the one that was chosen."""
        finals = tree.finals()
        chosen = None if solved.chosen is None else tree.nodes[solved.chosen].answer
        answers = list({chosen, *(tree.nodes[number].answer for number in finals)})
        grades = await asyncio.gather(*(self._grader.grade(problem, each) for each in answers))
        verdicts = dict(zip(answers, grades, strict=True))
        for number in finals:
            verdict = verdicts[tree.nodes[number].answer]
            if verdict.status is not Status.UNKNOWN:
                tree.nodes[number].reward = verdict_value(verdict, SIGNED)
        return verdicts[chosen]

    def _facts(
        self, tree: SearchTree, solved: Solved, verdict: Verdict, seed: int, num_tokens: int
    ) -> SearchFacts:
        spent = solved.outcome.spent
        facts = SearchFacts(
            method=self._settings.method,
            seed=seed,
            reason=solved.outcome.reason,
            simulations=spent.simulations,
            tokens=num_tokens,
            seconds=spent.seconds,
            status=str(verdict.status),
        )
        if self._settings.method in WHOLE_SOLUTIONS:
            facts["samples"] = self._settings.num_samples
        if solved.chosen is not None:
            facts["chosen"] = tree.tag(solved.chosen)
        return facts


def _response(tree: SearchTree, chosen: int | None, verdict: Verdict) -> Response:
    """The chosen solution, which was sampled step by step: the tokens' own log-probs are not kept."""
    token_ids = [token_id for node in tree.way(chosen or ROOT) for token_id in node.token_ids]
    return Response(
        text=tree.text(chosen or ROOT),
        token_ids=np.array(token_ids, np.int32),
        sampler_logprobs=np.full(len(token_ids), np.nan, np.float32),
        is_truncated=False,
        version_spans=(),
        verdict=verdict,
    )
