"""What a response is worth to the learner: one function of its status, its length and the flags.

Nothing that is reported as accuracy reads a reward: that is the status's alone.
"""

from understand_r1_zero.args import RewardArgs
from understand_r1_zero.types import Status


def response_reward(
    status: Status,
    num_tokens: int,
    max_tokens: int,
    args: RewardArgs,
    own_reward: float | None = None,
) -> float:
    """The reward of a response of `num_tokens` tokens where training allows `max_tokens`.

    `R = B + w P(num_tokens)` with P the `length_penalty`, w `--overlong_penalty`, and B by status

        unknown                       R = 0, without a penalty: it is never trained on
        truncated                     --non_stop_fixed_reward: no oracle sees the response
        any other, a user's oracle    `own_reward`
        correct                       --correct_reward + --format_reward
        incorrect, timeout, error     --incorrect_reward + --format_reward
        unparsable                    --incorrect_reward

    so that `--format_reward` is for each response that stopped by itself and in which an answer
    stands where its template asks for it, right or wrong.
    """
    if status is Status.UNKNOWN:
        return 0.0
    penalty = length_penalty(num_tokens, max_tokens, args.overlong_buffer_tokens)
    return _base(status, args, own_reward) + args.overlong_penalty * penalty


def length_penalty(num_tokens: int, max_tokens: int, buffer_tokens: int) -> float:
    """DAPO's soft overlong punishment, between 0 and -1.

    With T = `num_tokens`, L = `max_tokens` and b = `buffer_tokens`:

        P(T) = 0                  T <= L - b
        P(T) = (L - b - T) / b    L - b < T <= L
        P(T) = -1                 L < T

    and 0 everywhere for b = 0. A response that was truncated in training has T = L and P = -1.

    Source: DAPO, arXiv:2503.14476, eq. 13, where L is L_max and b is L_cache.
    """
    if buffer_tokens == 0:
        return 0.0
    num_over = max(num_tokens - (max_tokens - buffer_tokens), 0)
    return max(-num_over / buffer_tokens, -1.0)


def _base(status: Status, args: RewardArgs, own_reward: float | None) -> float:
    if status is Status.TRUNCATED:
        return args.non_stop_fixed_reward
    if own_reward is not None:
        return own_reward
    if status is Status.UNPARSABLE:
        return args.incorrect_reward
    outcome = args.correct_reward if status is Status.CORRECT else args.incorrect_reward
    return outcome + args.format_reward
