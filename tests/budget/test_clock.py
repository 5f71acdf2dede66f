"""Redis' clock is set while calls wait: what a carrier owed it still owes, no less and no more."""

from __future__ import annotations

import pytest

from budget import permits
from budget.hold import hold
from budget.permits import Grant
from tests.budget.bench import CARRIER, Bench

MINUTE = 60_000_000
GAP = 1_500_000
OWED = 3 * MINUTE  # much more than any test takes, so that no test depends on how long it takes


def step(bench: Bench, by_us: int) -> None:
    """As if the clock had been set ``by_us`` forward (or backward) since the last request: the other times are shifted."""
    seen = permits.redis_now_us(bench.redis) - by_us
    bench.redis.set(f"tl1:seen:{CARRIER}", seen)
    bench.redis.set(f"tl1:tat:{CARRIER}", seen + OWED)


@pytest.mark.parametrize("by_us", [10 * MINUTE, GAP + 1, -MINUTE // 6, -100 * MINUTE])
def test_a_step_neither_frees_nor_stalls(bench: Bench, by_us: int) -> None:
    bench.carrier(gap_us=GAP, interval=MINUTE)
    bench.fill(bench.lane(), 2)
    step(bench, by_us)
    answer = bench.refusal()
    assert answer.limit == "cps"
    assert bench.number(f"tat:{CARRIER}") - bench.number(f"seen:{CARRIER}") == OWED
    assert answer.retry_us == OWED - bench.settings.slot_horizon_ms * 1000


def test_the_step_counts_once(bench: Bench) -> None:
    bench.carrier(gap_us=GAP, interval=MINUTE)
    bench.fill(bench.lane(), 1)
    step(bench, -100 * MINUTE)
    bench.refusal()
    due = bench.number(f"tat:{CARRIER}")
    bench.refusal()
    assert due <= bench.number(f"tat:{CARRIER}") < due + 50 * MINUTE


@pytest.mark.parametrize("by_us", [10 * MINUTE, -100 * MINUTE])
def test_a_carrier_that_owed_nothing_is_free_after_a_step(bench: Bench, by_us: int) -> None:
    """Also when nobody had asked for a while, which looks like a step forward; and when its last slot lies long ahead of
    the new clock, because the clock stepped back further.
    """
    bench.carrier(gap_us=GAP, interval=MINUTE)
    bench.fill(bench.lane(), 2)
    step(bench, by_us)
    bench.redis.set(f"tl1:tat:{CARRIER}", bench.number(f"seen:{CARRIER}") - 1000)
    assert bench.take().slot_us == int(bench.settings.slot_lead_ms * 1000)


def test_pumps_that_ask_seldom_are_no_step(bench: Bench) -> None:
    """The gap is the carrier's own: with a longer one what passed has passed, and the debt is paid."""
    bench.carrier(interval=MINUTE, gap_us=20 * MINUTE)
    bench.fill(bench.lane(), 1)
    step(bench, 10 * MINUTE)
    assert bench.take()


def test_time_that_passes_is_no_step(bench: Bench) -> None:
    bench.carrier(gap_us=GAP, interval=1000)
    bench.fill(bench.lane(), 1)
    seen = permits.redis_now_us(bench.redis)
    bench.redis.set(f"tl1:seen:{CARRIER}", seen)
    bench.redis.set(f"tl1:tat:{CARRIER}", seen - 5000)
    grant = bench.take()
    assert bench.slot(grant) >= seen + int(bench.settings.slot_lead_ms * 1000)


@pytest.mark.parametrize("by_us", [10 * MINUTE, -100 * MINUTE])
def test_lingering_channels_count_on_as_long_as_they_had_to(bench: Bench, by_us: int) -> None:
    bench.carrier(gap_us=GAP, channels=1)
    bench.fill(bench.lane(), 1)
    step(bench, by_us)
    seen = bench.number(f"seen:{CARRIER}")
    bench.redis.zadd(f"tl1:linger:{CARRIER}", {"one:1": seen + OWED, "over:1": seen - 1})
    answer = bench.refusal()
    assert (answer.limit, answer.retry_us) == ("channels", OWED)
    assert bench.redis.zcard(f"tl1:linger:{CARRIER}") == 1


@pytest.mark.parametrize("by_us", [10 * MINUTE, -100 * MINUTE])
def test_a_release_or_a_hold_after_a_step_is_not_shifted_by_it(bench: Bench, by_us: int) -> None:
    """Both see the step themselves, so that the next request shifts nothing that was written by the new clock."""
    bench.carrier(gap_us=GAP, channels=1)
    bench.fill(bench.lane(), 2)
    grant = bench.take()
    step(bench, by_us)
    before = permits.redis_now_us(bench.redis)
    assert permits.release(bench.redis, grant.attempt_id, grant.fence, linger_us=OWED)
    hold(bench.redis, CARRIER, 2 * OWED)
    bench.refusal()
    after = permits.redis_now_us(bench.redis)
    until = bench.redis.zscore(f"tl1:linger:{CARRIER}", f"{grant.attempt_id}:{grant.fence}")
    assert until is not None
    assert before + OWED <= until <= after + OWED
    assert before + 2 * OWED <= bench.number(f"tat:{CARRIER}") <= after + 2 * OWED


def test_a_pop_of_a_later_clock_gets_its_time_again(bench: Bench) -> None:
    """The clock stepped back by an hour after the grant: not before the deadline, but not an hour late either."""
    bench.carrier(
        gap_us=GAP,
    )
    bench.fill(bench.lane(), 1)
    grant = bench.take()
    now, granted = permits.redis_now_us(bench.redis), bench.field(grant.attempt_id, "at")
    future = granted + 60 * MINUTE
    bench.redis.hset(f"tl1:lease:{grant.attempt_id}", "at", future)
    bench.redis.zadd("tl1:popped", {str(grant.attempt_id): future + 5_000_000})
    assert permits.overdue_pops(bench.redis, now, 10) == []
    assert permits.overdue_pops(bench.redis, now + 4_999_999, 10) == []
    assert permits.overdue_pops(bench.redis, now + 5_000_000, 10) == [(grant.attempt_id, grant.fence)]


def test_no_slot_is_earlier_than_what_was_owed_at_the_last_look(bench: Bench) -> None:
    """However the clock is set in between: what passed between two looks is at most what this test saw pass."""
    bench.carrier(gap_us=GAP, interval=50_000, channels=1000)
    bench.fill(bench.lane(), 60)
    bench.take()
    granted = 0
    for by_us in (0, 10 * MINUTE, -10 * MINUTE, 0, 2_000_000, -1) * 5:
        owed = max(0, bench.number(f"tat:{CARRIER}") - bench.number(f"seen:{CARRIER}"))
        before = permits.redis_now_us(bench.redis)
        bench.redis.set(f"tl1:seen:{CARRIER}", before - by_us)
        bench.redis.set(f"tl1:tat:{CARRIER}", before - by_us + owed)
        answer = bench.grant()
        if isinstance(answer, Grant):
            granted += 1
            assert answer.slot_us >= owed - (permits.redis_now_us(bench.redis) - before)
    assert granted > 0
