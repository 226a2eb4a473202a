"""What one batch of groups says about the policy, and where a step's time went."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from understand_r1_zero.grading.audit import disagreement_shares
from understand_r1_zero.types import Group, Response, Sampling, Status, Unvalued


def actor_metrics(groups: Sequence[Group], sampling: Sampling, version: int) -> dict[str, float]:
    """Summarise one training batch under Oat's keys; `version` is the learner's current policy.

    - `actor/rewards`, `actor/avg_reward`, `actor/reward_std`: of what the learner maximises, so with
      length penalties and truncated responses, without those whose gold answer cannot be read.
    - `actor/response_tok_len`, `_max`, `actor/prompt_tok_len` in tokens;
      `actor/generate_avg_str_len` in characters.
    - `actor/formatted`: share of responses whose answer could be read.
    - `actor/no_eos_count`: responses that hit the length limit.
    - `actor/num_data` responses in `actor/num_groups` groups, `actor/num_tokens` sampled tokens.
    - `actor/generate_time`, `actor/verify_time`: mean seconds a group spent in engine and oracle.
    - `actor/correct` ... `actor/unknown`: share of responses per status; they sum to 1.
    - `actor/staleness_mean`, `_max`: policy versions between a response's oldest token and now.
    - `train/all_zero_rewards_count`, `train/all_one_rewards_count`: groups that teach nothing.
    - `grader/disagree/{preset}` with `--audit_grader`: `audit.disagreement_shares`.
    - with an oracle of steps: `step_metrics`.

    Departs from Oat, whose `actor/rewards` was taken before truncation zeroed rewards and whose
    `actor/avg_reward` hid negative ones; here both are the mean of what the learner maximises.
    """
    assert groups, "a batch has at least one group"
    # Groups arrive in the order they finish; a fixed order keeps sums equal to the last digit.
    groups = sorted(groups, key=lambda group: group.index)
    responses = [response for group in groups for response in group.responses]
    lengths = np.array([len(response.token_ids) for response in responses])
    rewards = np.array([r.verdict.reward for r in responses if _is_known(r)] or [0.0])
    staleness = version - np.array([response.oldest_version for response in responses])
    return {
        "actor/rewards": float(rewards.mean()),
        "actor/avg_reward": float(rewards.mean()),
        "actor/reward_std": float(rewards.std()),
        "actor/response_tok_len": float(lengths.mean()),
        "actor/response_tok_len_max": float(lengths.max()),
        "actor/prompt_tok_len": float(np.mean([len(group.prompt_token_ids) for group in groups])),
        "actor/generate_avg_str_len": float(np.mean([len(r.text) for r in responses])),
        "actor/formatted": float(np.mean([_has_answer(response) for response in responses])),
        "actor/no_eos_count": float(sum(response.is_truncated for response in responses)),
        "actor/num_data": float(len(responses)),
        "actor/num_groups": float(len(groups)),
        "actor/num_tokens": float(lengths.sum()),
        "actor/sampling_max_tokens": float(sampling.max_tokens),
        "actor/sampling_temperature": float(sampling.temperature),
        "actor/generate_time": float(np.mean([group.generate_s for group in groups])),
        "actor/verify_time": float(np.mean([group.grade_s for group in groups])),
        "actor/total_time": float(np.mean([group.generate_s + group.grade_s for group in groups])),
        "actor/staleness_mean": float(staleness.mean()),
        "actor/staleness_max": float(staleness.max()),
        **status_shares(responses),
        **uniform_group_counts(groups),
        **disagreement_shares(groups, "grader/disagree"),
        **step_metrics(groups),
    }


def step_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """What an oracle of steps paid, and what it cost; nothing where none was asked.

    - `actor/step_reward_mean`: a step; `actor/step_reward_sum`: a valued response, over its steps; both
      after `--step_reward_coef`, and missing where no response was valued.
    - `actor/steps_mean`: steps of a valued response.
    - `actor/oracle_tokens`: sampled by the oracle for the batch, besides `actor/num_tokens`.
    - `actor/oracle_time`: mean seconds a group spent with the oracle, those in a queue included.
    - `actor/oracle_skipped`: share of responses without values; `actor/oracle_skipped_{why}` for each
      `types.Unvalued`.
    """
    responses = [response for group in groups for response in group.responses]
    skipped = [response.unvalued for response in responses]
    valued = [r.verdict.step_rewards for r in responses if r.step_ends]
    if not valued and not any(skipped):
        return {}
    found = {
        "actor/oracle_tokens": float(sum(group.oracle_tokens for group in groups)),
        "actor/oracle_time": float(np.mean([group.oracle_s for group in groups])),
        "actor/oracle_skipped": 1 - len(valued) / len(responses),
    }
    found |= {f"actor/oracle_skipped_{why}": skipped.count(why) / len(skipped) for why in Unvalued}
    if valued:
        found["actor/step_reward_mean"] = float(np.mean(np.concatenate(valued)))
        found["actor/step_reward_sum"] = float(np.mean([sum(rewards) for rewards in valued]))
        found["actor/steps_mean"] = float(np.mean([len(rewards) for rewards in valued]))
    return found


def status_shares(responses: Sequence[Response]) -> dict[str, float]:
    """Share of responses with each status, `actor/{status}`; the shares sum to 1."""
    statuses = [response.verdict.status for response in responses]
    return {f"actor/{status}": statuses.count(status) / len(statuses) for status in Status}


def uniform_group_counts(groups: Sequence[Group]) -> dict[str, float]:
    """Count the groups whose rewards, those of steps included, are all equal, so that every advantage is zero.

    `train/all_one_rewards_count`: all correct; `train/all_zero_rewards_count`: none correct;
    `train/zero_variance_count`: both, the rare group of equal rewards for unequal statuses, and a
    group without a known verdict. Unknown verdicts have no advantage and are left out. Correctness
    is read from the status, so that another reward scale changes nothing.
    """
    known = [[r.verdict for r in group.responses if _is_known(r)] for group in groups]
    uniform = [
        verdicts for verdicts in known if len({(v.reward, v.step_rewards) for v in verdicts}) <= 1
    ]
    are_correct = [{v.status is Status.CORRECT for v in verdicts} for verdicts in uniform]
    return {
        "train/all_zero_rewards_count": float(are_correct.count({False})),
        "train/all_one_rewards_count": float(are_correct.count({True})),
        "train/zero_variance_count": float(len(uniform)),
    }


def _is_known(response: Response) -> bool:
    return response.verdict.status is not Status.UNKNOWN


def _has_answer(response: Response) -> bool:
    """Whether an answer was read: an oracle that returns bare floats names none, but judges."""
    verdict = response.verdict
    return verdict.answer is not None or verdict.status in (Status.CORRECT, Status.INCORRECT)


class Timer:
    """Wall seconds per phase: `with timer("collect"): ...` adds to `time/collect_s`.

    Phases may repeat; a phase inside another counts in both. An exception is timed as well.
    """

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        """Seconds per phase since the start, for the final summary."""
        self._step: dict[str, float] = {}
        self._step_start_s = time.perf_counter()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Time the block as one more piece of `phase`."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            elapsed_s = time.perf_counter() - start_s
            self._step[phase] = self._step.get(phase, 0.0) + elapsed_s
            self.totals[phase] = self.totals.get(phase, 0.0) + elapsed_s

    def take(self) -> dict[str, float]:
        """`time/{phase}_s` since the last call, and `time/step_s`, all seconds since then."""
        now_s = time.perf_counter()
        seconds = {f"time/{phase}_s": elapsed_s for phase, elapsed_s in self._step.items()}
        seconds["time/step_s"] = now_s - self._step_start_s
        self._step = {}
        self._step_start_s = now_s
        return seconds
