import time
from dataclasses import replace

import numpy as np
import pytest

from understand_r1_zero.metrics import (
    Timer,
    actor_metrics,
    status_shares,
    step_metrics,
    uniform_group_counts,
)
from understand_r1_zero.types import (
    Group,
    Problem,
    Response,
    Sampling,
    Status,
    Unvalued,
    Verdict,
    VersionSpan,
)

SAMPLING = Sampling(num_samples=2, temperature=0.7, top_p=1.0, top_k=-1, max_tokens=5)


def response(
    status: Status, num_tokens: int = 3, versions: tuple[int, ...] = (4,), answer: str | None = None
) -> Response:
    reward = float(status is Status.CORRECT)
    return Response(
        text="x" * num_tokens * 2,
        token_ids=np.arange(num_tokens, dtype=np.int32),
        sampler_logprobs=np.zeros(num_tokens, dtype=np.float32),
        is_truncated=status is Status.TRUNCATED,
        version_spans=tuple(VersionSpan(version, 1) for version in versions),
        verdict=Verdict(reward=reward, status=status, answer=answer),
    )


def group(index: int, *responses: Response) -> Group:
    return Group(
        index=index,
        problem=Problem("sums", index, f"problem {index}", ("1",)),
        prompt="Q",
        prompt_token_ids=np.arange(7, dtype=np.int32),
        responses=responses,
        generate_s=0.5 + index,
        grade_s=0.1,
    )


def test_actor_metrics_of_a_batch_by_hand():
    groups = [
        group(0, response(Status.CORRECT, 3, answer="1"), response(Status.TRUNCATED, 5)),
        group(1, response(Status.UNPARSABLE, 2, (2, 4)), response(Status.UNPARSABLE, 2)),
    ]
    metrics = actor_metrics(groups, SAMPLING, version=5)
    assert metrics["actor/rewards"] == metrics["actor/avg_reward"] == 0.25
    assert metrics["actor/response_tok_len"] == 3.0
    assert metrics["actor/response_tok_len_max"] == 5.0
    assert metrics["actor/num_tokens"] == 12.0
    assert metrics["actor/prompt_tok_len"] == 7.0
    assert metrics["actor/generate_avg_str_len"] == 6.0
    assert metrics["actor/no_eos_count"] == 1.0
    assert metrics["actor/formatted"] == 0.25
    assert metrics["actor/num_data"] == 4.0
    assert metrics["actor/num_groups"] == 2.0
    assert metrics["actor/sampling_max_tokens"] == 5.0
    assert metrics["actor/sampling_temperature"] == 0.7
    assert metrics["actor/generate_time"] == 1.0
    assert metrics["actor/unparsable"] == 0.5
    # Oldest versions 4, 4, 2, 4 under version 5.
    assert metrics["actor/staleness_mean"] == 1.5
    assert metrics["actor/staleness_max"] == 3.0
    assert metrics["train/all_zero_rewards_count"] == 1.0
    assert metrics["train/zero_variance_count"] == 1.0


def test_actor_metrics_do_not_depend_on_the_order_groups_arrive_in():
    rng = np.random.default_rng(0)
    groups = []
    for index in range(40):
        rewarded = response(Status.INCORRECT, int(rng.integers(1, 9)))
        verdict = replace(rewarded.verdict, reward=float(rng.normal()))
        groups.append(group(index, replace(rewarded, verdict=verdict)))
    assert actor_metrics(groups, SAMPLING, 4) == actor_metrics(groups[::-1], SAMPLING, 4)


def test_status_shares_cover_every_status_and_sum_to_one():
    shares = status_shares([response(status) for status in Status])
    assert shares.keys() == {f"actor/{status}" for status in Status}
    assert sum(shares.values()) == pytest.approx(1.0)


def test_bare_float_oracle_counts_as_formatted():
    metrics = actor_metrics([group(0, response(Status.INCORRECT, answer=None))], SAMPLING, 4)
    assert metrics["actor/formatted"] == 1.0


def test_uniform_groups_are_told_apart_by_status_not_by_reward_scale():
    def with_reward(status: Status, reward: float) -> Response:
        return replace(response(status), verdict=Verdict(reward=reward, status=status))

    right, wrong = with_reward(Status.CORRECT, 0.0), with_reward(Status.INCORRECT, -1.0)
    same_reward = with_reward(Status.INCORRECT, 0.0)
    groups = [group(0, right, right), group(1, wrong, wrong), group(2, right, wrong)]
    groups.append(group(3, right, same_reward))
    assert uniform_group_counts(groups) == {
        "train/all_zero_rewards_count": 1.0,
        "train/all_one_rewards_count": 1.0,
        "train/zero_variance_count": 3.0,
    }


def test_unknown_verdicts_are_in_no_reward_and_leave_the_others_uniform():
    unknown = response(Status.UNKNOWN)
    groups = [
        group(0, response(Status.CORRECT), unknown),
        group(1, response(Status.INCORRECT), unknown),
        group(2, unknown, unknown),
    ]
    assert uniform_group_counts(groups) == {
        "train/all_zero_rewards_count": 1.0,
        "train/all_one_rewards_count": 1.0,
        "train/zero_variance_count": 3.0,
    }
    metrics = actor_metrics(groups, SAMPLING, 4)
    assert metrics["actor/rewards"] == metrics["actor/reward_std"] == 0.5
    assert metrics["actor/correct"] == pytest.approx(1 / 6)
    assert actor_metrics(groups[2:], SAMPLING, 4)["actor/rewards"] == 0.0


def test_a_length_penalty_gives_a_group_of_correct_responses_variance():
    verdicts = [Verdict(reward, Status.CORRECT) for reward in (1.0, 0.9)]
    responses = [replace(response(Status.CORRECT), verdict=verdict) for verdict in verdicts]
    assert set(uniform_group_counts([group(0, *responses)]).values()) == {0.0}


def test_disagreement_is_reported_only_where_verdicts_were_audited():
    plain = group(0, response(Status.CORRECT))
    assert not any(key.startswith("grader/") for key in actor_metrics([plain], SAMPLING, 4))
    audited = Verdict(1.0, Status.CORRECT, "1", audit=(("fast", Status.INCORRECT),))
    other = replace(response(Status.CORRECT), verdict=audited)
    metrics = actor_metrics([plain, group(1, other)], SAMPLING, 4)
    assert metrics["grader/disagree/fast"] == 1.0


def test_timer_adds_pieces_of_a_phase_and_starts_anew_each_step():
    timer = Timer()
    for _ in range(2):
        with timer("collect"):
            time.sleep(0.01)
    with timer("update"):
        pass
    first = timer.take()
    assert first["time/collect_s"] >= 0.02
    assert first["time/step_s"] >= first["time/collect_s"] + first["time/update_s"]
    second = timer.take()
    assert second.keys() == {"time/step_s"} and second["time/step_s"] < first["time/step_s"]
    assert timer.totals["collect"] == first["time/collect_s"]


def test_timer_counts_a_phase_that_raises():
    timer = Timer()
    with pytest.raises(KeyError), timer("save"):
        raise KeyError
    assert "time/save_s" in timer.take()


def stepped(*rewards: float) -> Response:
    plain = response(Status.INCORRECT, num_tokens=len(rewards))
    verdict = replace(plain.verdict, step_rewards=rewards)
    return replace(plain, verdict=verdict, step_ends=tuple(range(len(rewards))))


def test_rewards_of_steps_by_hand():
    skipped = replace(response(Status.CORRECT), unvalued=Unvalued.BUDGET)
    late = replace(response(Status.CORRECT), unvalued=Unvalued.TIMEOUT)
    groups = [
        replace(group(0, stepped(1.0, 0.5, 0.0), skipped), oracle_tokens=30, oracle_s=2.0),
        replace(group(1, stepped(0.5), late), oracle_tokens=12, oracle_s=1.0),
    ]
    found = step_metrics(groups)
    assert found["actor/step_reward_mean"] == 0.5
    assert found["actor/step_reward_sum"] == 1.0
    assert found["actor/steps_mean"] == 2.0
    assert (found["actor/oracle_tokens"], found["actor/oracle_time"]) == (42.0, 1.5)
    assert found["actor/oracle_skipped"] == 0.5
    assert found["actor/oracle_skipped_budget"] == found["actor/oracle_skipped_timeout"] == 0.25
    assert found["actor/oracle_skipped_error"] == 0.0
    assert found.items() <= actor_metrics(groups, SAMPLING, version=5).items()
    assert step_metrics([group(0, response(Status.CORRECT))]) == {}
    assert "actor/step_reward_mean" not in step_metrics([group(0, skipped)])


def test_a_group_whose_steps_differ_teaches_something():
    same = [group(0, stepped(0.5, 1.0), stepped(0.5, 1.0))]
    assert uniform_group_counts(same)["train/all_zero_rewards_count"] == 1
    assert uniform_group_counts([group(0, stepped(0.5, 1.0), stepped(1.0, 0.5))]) == {
        "train/all_zero_rewards_count": 0.0,
        "train/all_one_rewards_count": 0.0,
        "train/zero_variance_count": 0.0,
    }
