"""The data that passes between processes: problems in, graded groups out, trajectories to learners.

Plain frozen dataclasses of strings and NumPy arrays, so that Ray's shared memory carries them
without a copy and every layer can import them without torch.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np


class Status(StrEnum):
    """What became of one response; only `CORRECT` counts towards accuracy."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNPARSABLE = "unparsable"
    """No answer could be extracted from the response."""
    TRUNCATED = "truncated"
    """The response hit the length limit before it stopped."""
    TIMEOUT = "timeout"
    """Grading this one answer passed its deadline; the worker was killed."""
    ERROR = "error"
    """Grading this one answer crashed its worker."""
    UNKNOWN = "unknown"
    """The gold answer cannot be parsed: nothing is known, and nothing may be learned from it."""


class Unvalued(StrEnum):
    """Why an oracle of steps has not valued a response, which then earns its outcome alone."""

    TRUNCATED = "truncated"
    UNKNOWN = "unknown"
    """Its gold answer cannot be read: nothing may be learned from it."""
    NO_STEPS = "no_steps"
    """It has no text."""
    BUDGET = "budget"
    """The oracles' tokens of this training step were spent."""
    TIMEOUT = "timeout"
    ERROR = "error"
    """The oracle raised one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One dataset row: the text to solve and its gold answers, any of which is right."""

    source: str
    row: int
    text: str
    answers: tuple[str, ...]

    @property
    def id(self) -> str:
        """`source:row`, unique within a run."""
        return f"{self.source}:{self.row}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An oracle's judgement of one response.

    `reward` is what the learner maximises, in a graded group the result of rewards.py; accuracy is
    read from `status` alone, so that changing the reward scale never changes a reported accuracy.
    `step_rewards` holds one value per reasoning step where the oracle gives process rewards, and is
    empty otherwise; `audit` the status of the answer under each other preset, by name, where
    `--audit_grader` asks for it.
    """

    reward: float
    status: Status
    answer: str | None = None
    reason: str = ""
    step_rewards: tuple[float, ...] = ()
    audit: tuple[tuple[str, Status], ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample one group: the engine-independent part of vLLM's sampling parameters.

    `seed` (None: the engine's own stream) makes the group reproducible; `temperature` 0 is greedy;
    `has_greedy` asks for one greedy response besides, ReMax's baseline; `has_step_rewards` for the
    values of steps, by the actor's oracle.
    """

    num_samples: int
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    seed: int | None = None
    has_greedy: bool = False
    has_step_rewards: bool = False


@dataclass(frozen=True, slots=True)
class VersionSpan:
    """The next `num_tokens` tokens were sampled under policy `version`."""

    version: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled response, token-exact: ids and log-probs come from the sampler, never a tokenizer.

    `token_ids` int32 (T,) includes the end-of-sequence token when the model emitted it;
    `sampler_logprobs` float32 (T,) are nats after temperature, under the sampling policy;
    `version_spans` cover the T tokens in order; `step_ends` are the positions of the last token of each
    step that `verdict.step_rewards` is of, where somebody has told the steps apart; `unvalued` is why
    there are none, where an oracle of steps was to value them.
    """

    text: str
    token_ids: np.ndarray
    sampler_logprobs: np.ndarray
    is_truncated: bool
    version_spans: tuple[VersionSpan, ...]
    verdict: Verdict
    step_ends: tuple[int, ...] = ()
    unvalued: Unvalued | None = None

    @property
    def oldest_version(self) -> int:
        """The oldest policy version that sampled any of the tokens."""
        return min(span.version for span in self.version_spans)


@dataclass(frozen=True, slots=True)
class Group:
    """One problem with its `num_samples` graded responses: the unit of work.

    `index` is the position in the order problems were asked; `generate_s` and `grade_s` are wall
    seconds this group spent in the engine and in the oracle; `greedy` is the response that
    `Sampling.has_greedy` asked for, which is no part of the group. A problem that was searched has its `tree`
    as a record (search/records.py), and the chosen solution as its one response; `warnings` are for the user.
    An oracle of steps took `oracle_s` wall seconds of its own and sampled `oracle_tokens`.
    """

    index: int
    problem: Problem
    prompt: str
    prompt_token_ids: np.ndarray
    responses: tuple[Response, ...]
    generate_s: float
    grade_s: float
    greedy: Response | None = None
    tree: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    oracle_tokens: int = 0
    oracle_s: float = 0.0

    @property
    def rewards(self) -> np.ndarray:
        """float64 (G,): the rewards of the responses."""
        return np.array([response.verdict.reward for response in self.responses])


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What a learner needs of one response; its advantage is the learner's to find.

    `sampler_logprobs` float32 (T,) are the sampling policy's, in nats after temperature; `reward` is
    that of the whole response; `group` is equal for the responses to one problem of the batch;
    without `is_known` the reward says nothing; `is_masked` keeps the response in every denominator but
    takes its gradient out (Oat's `loss_mask = 0`). `step_rewards` are earned at the tokens
    `step_ends`, besides `reward`; `baseline_reward` is the greedy response's (ReMax).
    """

    prompt_token_ids: np.ndarray
    response_token_ids: np.ndarray
    sampler_logprobs: np.ndarray
    reward: float
    group: int
    is_known: bool = True
    is_masked: bool = False
    step_ends: tuple[int, ...] = ()
    step_rewards: tuple[float, ...] = ()
    baseline_reward: float = 0.0

    @property
    def num_tokens(self) -> int:
        """Prompt and response tokens together."""
        return len(self.prompt_token_ids) + len(self.response_token_ids)


Spans = tuple[tuple[int, int], ...]
"""Half-open ranges of a response's tokens, `[start, end)`."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to one prompt, the chosen better than the rejected.

    Of each response the loss counts the tokens in its spans, or all where these are None: a step-level
    pair whose responses share their first steps leaves those out. `weight` multiplies the pair's loss;
    `label_smoothing` is how likely the label is wrong, in `[0, 1/2)`, None: what the flag says.
    `ref_logprobs` are the reference's log-probs of the chosen and the rejected response, summed over
    the counted tokens, in nats, where they were computed before.
    `values` are what a value head should say of the chosen and the rejected response; it is read at the
    tokens `value_ends`, places in each response, or at the last that counts where these are None.
    """

    prompt_token_ids: np.ndarray
    chosen_token_ids: np.ndarray
    rejected_token_ids: np.ndarray
    chosen_spans: Spans | None = None
    rejected_spans: Spans | None = None
    weight: float = 1.0
    label_smoothing: float | None = None
    ref_logprobs: tuple[float, float] | None = None
    values: tuple[float, float] | None = None
    value_ends: tuple[int, int] | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens of both responses, each behind the prompt."""
        responses = len(self.chosen_token_ids) + len(self.rejected_token_ids)
        return 2 * len(self.prompt_token_ids) + responses
