"""Wrong training made visible: one-line warnings from a step's metrics, and the gate at step 0."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from understand_r1_zero.args import AlarmArgs
from understand_r1_zero.reward_hacking import RewardHistory
from understand_r1_zero.types import Group, Response

LOGPROB_GAP_WARNING = 0.02
"""Mean nats a token between sampler and learner from which a step is worth a warning."""
GRADER_FAILURE_WARNING = 0.05
"""Share of responses whose grading timed out or crashed."""
UNKNOWN_WARNING = 0.05
"""Share of responses to problems without a readable gold answer; each row has its own line anyhow."""
STALE_DROPPED_WARNING = 0.25
"""Groups thrown away as too stale, over the groups trained on."""
ORACLE_FAILED_WARNING = 0.05
"""Share of responses that the oracle of steps raised an error for, or was too slow."""


class Alarms:
    """Warnings of each step, each kind repeated at most every `repeat_every` steps."""

    def __init__(self, args: AlarmArgs, repeat_every: int = 10) -> None:
        self._args = args
        self._repeat_every = repeat_every
        self._last_steps: dict[str, int] = {}
        self._history = RewardHistory()

    def check(self, step: int, metrics: Mapping[str, float]) -> list[str]:
        """The lines to print after `step`."""
        lines = []
        found = alarms(metrics, self._args)
        if hacked := self._history.add(metrics):
            found["reward_hacking"] = hacked
        for kind, line in found.items():
            last_step = self._last_steps.get(kind)
            if last_step is None or step - last_step >= self._repeat_every:
                self._last_steps[kind] = step
                lines.append(line)
        return lines


def alarms(metrics: Mapping[str, float], args: AlarmArgs) -> dict[str, str]:
    """What is wrong with a step, by kind: one line each, with the flag that helps.

    Reads the keys of `metrics.actor_metrics` and the learner's; a missing key raises no alarm.
    """
    found = {
        "zero_variance": _zero_variance(metrics),
        "truncated": _truncated(metrics, args.warn_truncated),
        "unparsable": _unparsable(metrics, args.warn_unparsable),
        "grader": _grader_failures(metrics),
        "unknown": _unknown(metrics),
        "logprob_gap": _logprob_gap(metrics, args.max_logprob_gap),
        "stale": _stale(metrics),
        "oracle": _oracle_failures(metrics),
    }
    return {kind: line for kind, line in found.items() if line}


def _zero_variance(metrics: Mapping[str, float]) -> str:
    num_groups = metrics.get("actor/num_groups", 0)
    if not num_groups or metrics.get("train/zero_variance_count", 0) < num_groups:
        return ""
    if metrics.get("actor/unknown", 0) == 1:  # which has a line of its own
        return ""
    if metrics.get("train/all_one_rewards_count", 0) == num_groups:
        return (
            "every response was correct, so this step teaches nothing; "
            "give harder problems (--prompt_data)"
        )
    if metrics.get("train/all_zero_rewards_count", 0) == num_groups:
        return (
            "no response was correct, so this step teaches nothing; see samples/, and try "
            "easier --prompt_data, more --num_samples or another --prompt_template"
        )
    return (
        "no group has two different rewards, so this step teaches nothing; raise --num_samples "
        "or --temperature, and let --correct_reward differ from --incorrect_reward"
    )


def _truncated(metrics: Mapping[str, float], limit: float) -> str:
    share = metrics.get("actor/no_eos_count", 0) / max(metrics.get("actor/num_data", 0), 1)
    if share <= limit:
        return ""
    max_tokens = metrics.get("actor/sampling_max_tokens", 0)
    return (
        f"{share:.0%} of responses were cut at {max_tokens:.0f} tokens; "
        f"raise --generate_max_length (threshold: --warn_truncated {limit:g})"
    )


def _unparsable(metrics: Mapping[str, float], limit: float) -> str:
    share = metrics.get("actor/unparsable", 0)
    if share <= limit:
        return ""
    return (
        f"{share:.0%} of responses have no answer that can be read; see samples/, and try another "
        f"--prompt_template (threshold: --warn_unparsable {limit:g})"
    )


def _grader_failures(metrics: Mapping[str, float]) -> str:
    timeouts, errors = metrics.get("actor/timeout", 0), metrics.get("actor/error", 0)
    if timeouts + errors <= GRADER_FAILURE_WARNING:
        return ""
    return (
        f"grading timed out for {timeouts:.0%} and crashed for {errors:.0%} of responses; "
        "raise --grader_timeout_s"
    )


def _unknown(metrics: Mapping[str, float]) -> str:
    share = metrics.get("actor/unknown", 0)
    if share <= UNKNOWN_WARNING:
        return ""
    return (
        f"{share:.0%} of responses answer a problem whose gold answer cannot be read, and teach "
        "nothing; see unknown_golds.jsonl, and check --output_key"
    )


def _logprob_gap(metrics: Mapping[str, float], limit: float) -> str:
    gap = metrics.get("train/logprob_gap_mean", 0)
    if gap <= max(LOGPROB_GAP_WARNING, 2 * limit):
        return ""
    if metrics.get("actor/staleness_mean", 0) > 0:
        remedy = "lower --max_staleness, and keep --tis_c above 0"
    else:
        remedy = "train and sample in float32 (no --bf16 or --fp16), and keep --tis_c above 0"
    return f"sampler and learner differ by {gap:.3f} nats a token; {remedy}"


def _stale(metrics: Mapping[str, float]) -> str:
    dropped = metrics.get("actor/stale_dropped_count", 0)
    if dropped <= STALE_DROPPED_WARNING * metrics.get("actor/num_groups", 0):
        return ""
    return (
        f"{dropped:.0f} groups were too stale and thrown away in this step; "
        "raise --max_staleness, or --num_actors"
    )


def _oracle_failures(metrics: Mapping[str, float]) -> str:
    late, wrong = (metrics.get(f"actor/oracle_skipped_{why}", 0) for why in ("timeout", "error"))
    if late + wrong <= ORACLE_FAILED_WARNING:
        return ""
    return (
        f"the oracle of steps was too slow for {late:.0%} and failed for {wrong:.0%} of responses, which "
        "earned their outcome alone; raise --oracle_timeout_s, or see to the oracle"
    )


@dataclass(frozen=True, slots=True)
class TokenGap:
    """One response token on which sampler and learner disagree; log-probs in nats.

    `position` counts from the response's first token.
    """

    text: str
    position: int
    sampler_logprob: float
    learner_logprob: float

    @property
    def gap(self) -> float:
        """`|sampler - learner|` in nats."""
        return abs(self.sampler_logprob - self.learner_logprob)


def worst_tokens(
    responses: Sequence[Response],
    learner_logprobs: Sequence[np.ndarray],
    decode: Callable[[int], str],
    num_tokens: int = 5,
) -> list[TokenGap]:
    """The response tokens with the largest log-prob gaps, largest first; NaN counts as largest.

    `learner_logprobs` holds one float32 (T,) per response; `decode` turns a token id into text.
    """
    sampler = np.concatenate([response.sampler_logprobs for response in responses])
    learner = np.concatenate(list(learner_logprobs))
    token_ids = np.concatenate([response.token_ids for response in responses])
    positions = np.concatenate([np.arange(len(response.token_ids)) for response in responses])
    assert sampler.shape == learner.shape == token_ids.shape, "one log-prob a token"
    order = np.argsort(-np.nan_to_num(np.abs(sampler - learner), nan=np.inf), kind="stable")
    return [
        TokenGap(decode(int(token_ids[i])), int(positions[i]), float(sampler[i]), float(learner[i]))
        for i in order[:num_tokens]
    ]


def check_logprob_gap(gap: float, worst: Sequence[TokenGap], limit: float) -> None:
    """The gate at step 0: the learner must see the log-probs that the sampler saw.

    `gap` is the mean over response tokens of `|sampler - learner|` in nats, before any update;
    `limit` is --max_logprob_gap, and 0 turns the gate off.

    Raises:
        RuntimeError: the gap is above the limit or NaN; the message shows the worst tokens.
    """
    if limit <= 0 or gap <= limit:
        return
    table = "\n".join(
        f"  {token.text!r:<16} position {token.position:>5}   sampler {token.sampler_logprob:>9.4f}"
        f"   learner {token.learner_logprob:>9.4f}   gap {token.gap:.4f}"
        for token in worst
    )
    raise RuntimeError(
        f"sampler and learner disagree by {gap:.2e} nats a token on one policy version "
        f"(--max_logprob_gap {limit:g}); the worst tokens:\n{table}\n"
        "check that both load the same weights (--pretrain), in the same precision (--bf16 and --fp16 "
        "need --max_logprob_gap of about 0.05), and apply the same --temperature, --top_p and --top_k"
    )


class FirstUpdate(Protocol):
    """What the learners know of their last update."""

    def old_logprobs(self) -> Sequence[np.ndarray]:
        """float32 (T,) a trajectory, before the update."""
        ...

    def first_step_metrics(self) -> Mapping[str, float]:
        """Metrics of its first optimizer step."""
        ...


def check_first_steps(
    args: AlarmArgs, groups: Sequence[Group], learners: FirstUpdate, decode: Callable[[int], str]
) -> None:
    """The gates of the first steps: sampler and learner see one policy, and updates are on-policy.

    Before the first update this proves that both loaded the same model; before the second, that a
    published policy is what actors sample from.

    Raises RuntimeError as `check_logprob_gap` and `check_first_update` do.
    """
    responses = [response for group in groups for response in group.responses]
    sampler = np.concatenate([response.sampler_logprobs for response in responses])
    old_logprobs = learners.old_logprobs()
    gap = float(np.abs(sampler - np.concatenate(old_logprobs)).mean())
    if args.max_logprob_gap > 0 and not gap <= args.max_logprob_gap:
        worst = worst_tokens(responses, old_logprobs, decode)
        check_logprob_gap(gap, worst, args.max_logprob_gap)
    check_first_update(learners.first_step_metrics(), args.max_logprob_gap)


def check_first_update(metrics: Mapping[str, float], limit: float) -> None:
    """Step 0, first optimizer step: current and old policy are one, and so is the reference.

    `train/ratio_mean` must be 1, `train/pg_clipfrac` and `train/kl3` 0, each within `limit`
    (--max_logprob_gap, 0: off); a missing key is not checked.

    Raises:
        RuntimeError: naming every value that is off.
    """
    if limit <= 0:
        return
    expected = {"train/ratio_mean": 1.0, "train/pg_clipfrac": 0.0, "train/kl3": 0.0}
    wrong = [
        f"{key} is {metrics[key]:.3e}, expected {value:g}"
        for key, value in expected.items()
        if key in metrics and not abs(metrics[key] - value) <= limit
    ]
    if wrong:
        raise RuntimeError(
            f"the first update is not on-policy (--max_logprob_gap {limit:g}): "
            + "; ".join(wrong)
            + "; check that dropout is off and that --pretrain is also the reference model"
        )
