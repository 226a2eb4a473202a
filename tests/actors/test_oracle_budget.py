"""Tokens of oracles: who is let in, who waits, and what is spent."""

import asyncio

import pytest

from actors.oracle_budget import OracleBudget, allowance_tokens


def spend(allowance, costs):
    """Value responses of these costs together; returns whether each was let in, and the most at once."""

    async def run():
        budget, num_open, most = OracleBudget(allowance), 0, 0

        async def value(cost):
            nonlocal num_open, most
            if not await budget.admit():
                return False
            num_open += 1
            most = max(most, num_open)
            await asyncio.sleep(0.001)
            num_open -= 1
            await budget.settle(cost)
            return True

        first = await asyncio.gather(*map(value, costs))
        await budget.renew()
        return first, most, await asyncio.gather(*map(value, costs))

    return asyncio.run(run())


def test_without_a_limit_all_go_at_once():
    assert spend(0, [10] * 9) == ([True] * 9, 9, [True] * 9)


def test_with_one_they_go_until_it_is_spent_and_again_once_it_is_renewed():
    first, most, again = spend(100, [10] * 30)
    assert sum(first) == 10 and first[:10] == [True] * 10
    # The first goes alone, since nobody knows what one costs; then more and more.
    assert 1 < most < 9 and sum(again) == 10


@pytest.mark.parametrize("allowance", [1, 35, 60, 101])
def test_no_more_than_one_goes_over_what_is_left(allowance):
    for costs in ([20] * 12, [5, 40] * 6, [40, 5] * 6):
        first, _, _ = spend(allowance, costs)
        spent = sum(cost for cost, was_in in zip(costs, first, strict=True) if was_in)
        assert any(first) and spent < allowance + 2 * max(costs)


def test_free_values_are_never_held_back():
    first, most, _ = spend(10, [0] * 20)
    assert all(first) and most > 1


@pytest.mark.parametrize(
    ("per_step", "num_actors", "every", "share"),
    [(0, 4, 1, 0), (1000, 4, 1, 250), (1000, 3, 2, 666), (1, 8, 1, 1)],
)
def test_each_actor_has_its_share_between_publications(per_step, num_actors, every, share):
    assert allowance_tokens(per_step, num_actors, every) == share
