"""Routes of several carriers: the better tier first, spilling, weights within a tier, and nobody deferred for ever."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest

from budget import health
from budget.lanes import Serving
from budget.scopes import carrier_scope, forget_scopes
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, TENANT, VirtualBench, wakes

MS = 1000
SECOND = 1_000_000
SPILL = 2 * SECOND
WORSE = UUID(int=98)
SISTER = UUID(int=97)


def house(virtual: VirtualBench, *, better: int = 20 * MS, worse: int = 20 * MS, calls: int = 1) -> str:
    """A better and a worse carrier, both asking, and a lane that both may serve."""
    virtual.carrier(CARRIER, interval=better, channels=9000)
    virtual.carrier(WORSE, interval=worse, channels=9000)
    for one in (CARRIER, WORSE):
        virtual.refusal(one)
    lane = virtual.lane(carriers=(Serving(CARRIER, 1), Serving(WORSE, 2)), spill_us=SPILL)
    virtual.fill(lane, calls)
    return lane


def test_the_better_tier_is_first(virtual: VirtualBench) -> None:
    house(virtual, calls=3)
    for _ in range(3):
        answer = virtual.refusal(WORSE)
        assert (answer.limit, answer.paced) == ("order", False)
        assert answer.next_us is not None
        assert virtual.take(CARRIER)
        virtual.step(20 * MS)


def test_what_would_wait_longer_than_the_spill_time_spills(virtual: VirtualBench) -> None:
    """100 calls at 20 ms are begun within 2 s; what is more the worse tier takes."""
    house(virtual, calls=105)
    for _ in range(5):
        assert virtual.take(WORSE)
        virtual.step(20 * MS)
    assert virtual.refusal(WORSE).limit == "order"


def test_the_better_tiers_other_tenants_count_in_its_wait(virtual: VirtualBench) -> None:
    house(virtual, calls=60)
    assert virtual.refusal(WORSE).limit == "order"
    virtual.fill(virtual.lane(UUID(int=70), route="other"), 500)
    assert virtual.take(WORSE)


@pytest.mark.parametrize("how", ["stopped", "paused", "full", "unasked", "forgotten"])
def test_a_better_tier_that_cannot_leaves_it_at_once(virtual: VirtualBench, how: str) -> None:
    house(virtual, calls=3)
    if how == "stopped":
        health.set_health(virtual.redis, CARRIER, "stopped", "no answer")
    elif how == "paused":
        virtual.carrier(CARRIER, paused=True)
    elif how == "full":
        virtual.carrier(CARRIER, channels=0)
    elif how == "forgotten":
        forget_scopes(virtual.redis, [carrier_scope(CARRIER)])
    else:
        virtual.step(int(1.7 * SECOND))
    assert virtual.take(WORSE)


def test_a_better_tier_without_a_rate_is_first_too(virtual: VirtualBench) -> None:
    house(virtual)
    virtual.carrier(CARRIER, interval=None)
    assert virtual.refusal(WORSE).limit == "order"


def test_nobody_is_deferred_for_ever(virtual: VirtualBench) -> None:
    """A carrier that could and does not: the worse one begins after the spill time, and then waits no more."""
    house(virtual, calls=30)
    begin = virtual.now
    taken: list[int] = []
    while len(taken) < 30 and virtual.now < begin + 5 * SECOND:
        virtual.fill(virtual.lane(UUID(int=71), "urgent", route="other"), 1)
        assert virtual.take(CARRIER).lane.startswith("dial.urgent")
        taken += [virtual.now - begin for _ in virtual.grant(WORSE).grants]
        virtual.step(20 * MS)
    assert len(taken) == 30
    assert SPILL <= taken[0] <= SPILL + 40 * MS
    assert taken[-1] <= taken[0] + 30 * 20 * MS


def test_a_quiet_lane_tries_the_better_tier_anew(virtual: VirtualBench) -> None:
    """However long ago it held a call before."""
    lane = house(virtual)
    virtual.take(CARRIER)
    for _ in range(10):
        virtual.step(SECOND)
        virtual.refusal(CARRIER), virtual.refusal(WORSE)
    virtual.fill(lane, 1)
    assert virtual.refusal(WORSE).limit == "order"
    assert virtual.take(CARRIER)


def test_who_is_left_to_a_better_carrier_does_not_stand_before_those_who_are_not(virtual: VirtualBench) -> None:
    """More tenants than one request looks at, all left to the better tier; the last one has only this carrier."""
    virtual.carrier(CARRIER, channels=9000)
    virtual.carrier(WORSE, channels=9000)
    virtual.refusal(CARRIER), virtual.refusal(WORSE)
    for n in range(300):
        virtual.fill(
            virtual.lane(UUID(int=1000 + n), carriers=(Serving(CARRIER, 1), Serving(WORSE, 2)), spill_us=60 * SECOND), 1
        )
    only = UUID(int=9999)
    lane = virtual.lane(only, carriers=(WORSE,))
    virtual.fill(lane, 20)
    begin, got = virtual.now, 0
    while got < 20 and virtual.now < begin + 2 * SECOND:
        answer = virtual.grant(WORSE)
        assert {grant.lane for grant in answer.grants} <= {lane}
        got += len(answer.grants)
        virtual.step(max(1, answer.next_us or 1000))
        virtual.redis.hset(f"{PREFIX}s:{carrier_scope(CARRIER)}", "asked", virtual.now)  # there, and busy
    assert got == 20
    assert virtual.now - begin <= SECOND


def test_many_who_are_left_to_a_better_carrier_cost_little(virtual: VirtualBench) -> None:
    """Redis does nothing else meanwhile: a request looks at some of them, and asks again not at once."""
    virtual.carrier(CARRIER, channels=9000)
    virtual.carrier(WORSE, channels=9000)
    virtual.refusal(CARRIER), virtual.refusal(WORSE)
    both = (Serving(CARRIER, 1), Serving(WORSE, 2))
    for n in range(200):
        virtual.fill(virtual.lane(UUID(int=1000 + n), carriers=both, spill_us=60 * SECOND), 1)
    virtual.redis.config_resetstat()
    answer = virtual.refusal(WORSE)
    assert answer.next_us is not None
    assert answer.next_us >= 10_000
    stats = virtual.redis.info("commandstats")
    assert sum(one["calls"] for one in stats.values()) < 1000


def test_a_better_tier_whose_account_is_full_is_not_waited_for(virtual: VirtualBench) -> None:
    virtual.carrier(CARRIER, channels=9000, more=("account:one",))
    virtual.carrier(WORSE, channels=9000)
    virtual.scope("account:one", channels=1)
    lane = virtual.lane(carriers=(Serving(CARRIER, 1), Serving(WORSE, 2)), spill_us=60 * SECOND)
    virtual.fill(lane, 3)
    assert len(virtual.grant(CARRIER).grants) == 1
    virtual.refusal(CARRIER)
    assert len(virtual.grant(WORSE).grants) == 1


def test_calls_are_shared_by_weight_within_a_tier(virtual: VirtualBench) -> None:
    """Fewer calls than both could take: each gets its part."""
    for one in (CARRIER, SISTER):
        virtual.carrier(one, interval=1000)
        virtual.refusal(one)
    lane = virtual.lane(carriers=(Serving(CARRIER, 1, 1), Serving(SISTER, 1, 3)))
    got: Counter[UUID] = Counter()
    for _ in range(80):
        virtual.fill(lane, 1)
        for one in (CARRIER, SISTER, CARRIER):
            got[one] += len(virtual.grant(one).grants)
        virtual.step(50 * MS)
    assert got[CARRIER] + got[SISTER] == 80
    assert abs(got[SISTER] - 60) <= 3


def test_saturated_sisters_both_run_at_their_full_rate(virtual: VirtualBench) -> None:
    """Equal weights do not hold the faster one down while there is more than both can take."""
    rates = {CARRIER: 20 * MS, SISTER: 50 * MS}
    for one, interval in rates.items():
        virtual.carrier(one, interval=interval, channels=9000)
        virtual.refusal(one)
    virtual.fill(virtual.lane(carriers=(CARRIER, SISTER)), 400)
    got: Counter[UUID] = Counter()
    due = dict.fromkeys(rates, virtual.now)
    end = virtual.now + 4 * SECOND
    while virtual.now < end:
        for one in rates:
            if due[one] <= virtual.now:
                answer = virtual.grant(one)
                got[one] += len(answer.grants)
                due[one] = virtual.now + (answer.next_us or 0)
        virtual.step(1000)
    assert got[CARRIER] >= 0.95 * 200
    assert got[SISTER] >= 0.95 * 80


def test_a_sister_that_was_away_has_no_claim_on_what_it_missed(virtual: VirtualBench) -> None:
    virtual.carrier(CARRIER, interval=1000)
    virtual.carrier(SISTER, interval=1000)
    lane = virtual.lane(carriers=(CARRIER, SISTER))
    virtual.fill(lane, 100)
    for _ in range(50):
        virtual.take(CARRIER)
        virtual.step(10 * MS)
    got: Counter[UUID] = Counter()
    for _ in range(20):
        for one in (SISTER, CARRIER):
            got[one] += len(virtual.grant(one).grants)
        virtual.step(20 * MS)
    assert got[SISTER] - got[CARRIER] <= 4


def test_the_worse_tier_wakes_the_better_once_for_each_call(virtual: VirtualBench) -> None:
    house(virtual, calls=2)
    for _ in range(2):
        with wakes(virtual) as heard:
            for _ in range(3):
                virtual.refusal(WORSE)
                virtual.step(10 * MS)
        assert heard == [f"{CARRIER} * 0"]
        virtual.step(1)
        assert virtual.take(CARRIER).lane.split(".")[2] == TENANT.hex
        virtual.step(1)
