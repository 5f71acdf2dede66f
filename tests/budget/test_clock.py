"""Redis' clock is set while calls wait: what a carrier owed it still owes, no less and no more."""

from __future__ import annotations

from itertools import pairwise

import pytest

from budget import permits
from budget.hold import hold
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, Bench, VirtualBench

TRUNK = carrier_scope(CARRIER)
MINUTE = 60_000_000
GAP = 1_500_000
OWED = 3 * MINUTE  # much more than any test takes, so that no test depends on how long it takes


def write(bench: Bench, **numbers: float) -> None:
    bench.redis.hset(f"{PREFIX}s:{TRUNK}", mapping={name: int(value) for name, value in numbers.items()})


def step(bench: Bench, by_us: int) -> None:
    """As if the clock had been set ``by_us`` forward (or backward) since the last request: the other times are shifted."""
    seen = permits.redis_now_us(bench.redis) - by_us
    write(bench, seen=seen, tat=seen + OWED)


@pytest.mark.parametrize("by_us", [10 * MINUTE, GAP + 1, -MINUTE // 6, -100 * MINUTE])
def test_a_step_neither_frees_nor_stalls(bench: Bench, by_us: int) -> None:
    bench.carrier(gap_us=GAP, interval=MINUTE)
    bench.fill(bench.lane(), 2)
    step(bench, by_us)
    answer = bench.refusal()
    assert answer.limit == TRUNK
    assert bench.number(TRUNK, "tat") - bench.number(TRUNK, "seen") == OWED
    assert answer.paced
    assert answer.next_us == OWED - int((bench.settings.slot_lead_ms + bench.settings.slot_margin_ms) * 1000)


def test_the_step_counts_once(bench: Bench) -> None:
    bench.carrier(gap_us=GAP, interval=MINUTE)
    bench.fill(bench.lane(), 1)
    step(bench, -100 * MINUTE)
    bench.refusal()
    due = bench.number(TRUNK, "tat")
    bench.refusal()
    assert due <= bench.number(TRUNK, "tat") < due + 50 * MINUTE


@pytest.mark.parametrize("by_us", [10 * MINUTE, -100 * MINUTE])
def test_a_carrier_that_owed_nothing_is_free_after_a_step(bench: Bench, by_us: int) -> None:
    """Also when nobody had asked for a while, which looks like a step forward; and when its last slot lies long ahead of
    the new clock, because the clock stepped back further.
    """
    bench.carrier(gap_us=GAP, interval=MINUTE)
    bench.fill(bench.lane(), 2)
    step(bench, by_us)
    write(bench, tat=bench.number(TRUNK, "seen") - 1000)
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
    write(bench, seen=seen, tat=seen - 5000)
    grant = bench.take()
    assert bench.slot(grant) >= seen + int(bench.settings.slot_lead_ms * 1000)


@pytest.mark.parametrize("by_us", [10 * MINUTE, -100 * MINUTE])
def test_lingering_channels_count_on_as_long_as_they_had_to(bench: Bench, by_us: int) -> None:
    bench.carrier(gap_us=GAP, channels=1)
    bench.fill(bench.lane(), 1)
    step(bench, by_us)
    seen = bench.number(TRUNK, "seen")
    bench.redis.zadd(f"{PREFIX}linger:{TRUNK}", {"one:1": seen + OWED, "over:1": seen - 1})
    answer = bench.refusal()
    assert (answer.limit, answer.next_us, answer.paced) == (TRUNK, OWED, False)
    assert bench.redis.zcard(f"{PREFIX}linger:{TRUNK}") == 1


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
    until = bench.redis.zscore(f"{PREFIX}linger:{TRUNK}", f"{grant.attempt_id}:{grant.fence}")
    assert until is not None
    assert before + OWED <= until <= after + OWED
    assert before + 2 * OWED <= bench.number(TRUNK, "tat") <= after + 2 * OWED


def test_a_pop_of_a_later_clock_gets_its_time_again(bench: Bench) -> None:
    """The clock stepped back by an hour after the grant: not before the deadline, but not an hour late either."""
    bench.carrier(gap_us=GAP)
    bench.fill(bench.lane(), 1)
    grant = bench.take()
    now = permits.redis_now_us(bench.redis)
    words = bench.lease(grant.attempt_id)
    future = int(words[4]) + 60 * MINUTE
    bench.redis.set(f"{PREFIX}lease:{grant.attempt_id}", " ".join([*words[:4], str(future), *words[5:]]))
    bench.redis.zadd(f"{PREFIX}popped", {str(grant.attempt_id): future + 5_000_000})
    assert permits.overdue_pops(bench.redis, now, 10) == []
    assert permits.overdue_pops(bench.redis, now + 4_999_999, 10) == []
    assert permits.overdue_pops(bench.redis, now + 5_000_000, 10) == [(grant.attempt_id, grant.fence)]


def test_slots_keep_their_distance_in_true_time_however_the_clock_is_set(virtual: VirtualBench) -> None:
    virtual.carrier(gap_us=GAP, interval=50_000, channels=1000)
    virtual.fill(virtual.lane(), 200)
    true_us, slots = 0, []
    for by_us in (0, 10 * MINUTE, 0, 0, -10 * MINUTE, 0, 0, -GAP, -60_000, 0, 2 * GAP) * 12:
        virtual.step(60_000 + by_us)
        true_us += 60_000
        slots += [true_us + grant.slot_us for grant in virtual.grant(want=5).grants]
    assert len(slots) > 10
    assert min(later - earlier for earlier, later in pairwise(slots)) >= 50_000
