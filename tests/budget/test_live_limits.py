"""Limits changed while calls are under way: what acts at once, what rests first, what comes back."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID

import pytest

from budget import lanes, permits, scopes
from budget.hold import hold
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, TENANT, Bench, VirtualBench, in_use

TRUNK = carrier_scope(CARRIER)
OTHER = UUID(int=99)
SECOND = 1_000_000
#: The carrier's side and ours, which stop the pump; the lane's side, which stops the lane.
OF_THE_PUMP = ["account:acme", "ip:192.0.2.1", "switch:fs1", "global"]
OF_THE_LANE = [f"tenant:{TENANT}", f"campaign:{TENANT.hex}:spring", f"caller:{TENANT.hex}:blue", "agents:team"]
NAMED = ".c-spring.n-blue.a-team"


def house(bench: Bench, *, carriers: tuple[UUID, ...] = (CARRIER,), calls: int = 9) -> list[UUID]:
    """Carriers that share an account and an address, and a lane that counts in every kind of scope there is."""
    for one in carriers:
        bench.carrier(one, more=("account:acme", "ip:192.0.2.1"))
    return bench.fill(bench.lane(more=NAMED, carriers=carriers), calls)


def test_a_changed_count_acts_on_the_next_call(virtual: VirtualBench) -> None:
    virtual.carrier(channels=1)
    virtual.fill(virtual.lane(), 9)
    virtual.take()
    virtual.refusal()
    virtual.carrier(channels=3)
    virtual.take(), virtual.take()
    virtual.refusal()
    virtual.carrier(channels=1)
    virtual.refusal()


@pytest.mark.parametrize("scope", ["account:acme", f"tenant:{TENANT}", "global"])
def test_a_raised_count_brings_back_what_waited(virtual: VirtualBench, scope: str) -> None:
    house(virtual)
    virtual.scope(scope, channels=0)
    assert virtual.refusal().limit == scope
    virtual.scope(scope, channels=1)
    assert virtual.take()


def spread(virtual: VirtualBench, us: int) -> list[int]:
    """Slots that are granted meanwhile to a pump that comes every 10 ms, and three urgent calls ahead of time."""
    slots, end = [], virtual.now + us
    while virtual.now < end:
        for grant in virtual.grant(want=4).grants:
            slots.append(virtual.slot(grant))
            assert permits.mark_claimed(virtual.redis, grant.attempt_id, grant.fence)
        virtual.step(10_000)
    return slots


@pytest.mark.parametrize("scope", [TRUNK, "account:acme", "global", f"tenant:{TENANT}", f"campaign:{TENANT.hex}:spring"])
@pytest.mark.parametrize("before", [20_000, 0, None])
def test_a_lowered_rate_rests_until_what_left_before_has_left_the_window(
    virtual: VirtualBench, scope: str, before: int | None
) -> None:
    """Also where there was none, or it was nothing for a moment."""
    step, window = 400_000, SECOND

    def rate(interval: int | None) -> None:
        if scope == TRUNK:
            virtual.carrier(interval=interval, rest_us=window, more=("account:acme",))
        else:
            virtual.carrier(interval=10_000, more=("account:acme",))
            virtual.scope(scope, interval=interval, rest_us=window)

    rate(20_000)
    virtual.fill(virtual.lane(priority="urgent", more=NAMED), 200)
    virtual.step(3 * window)
    old = spread(virtual, 200_000)
    if before != 20_000:
        rate(before)
        old += spread(virtual, 20_000)
    rate(step)
    new = spread(virtual, 4 * SECOND)
    assert len(old) > 5
    assert len(new) >= 3
    assert min(new) >= max(old) + window
    assert min(later - earlier for earlier, later in pairwise(new)) >= step


def test_a_slot_that_was_granted_before_a_lowered_rate_is_not_given_back(virtual: VirtualBench) -> None:
    virtual.carrier(interval=5 * SECOND, rest_us=SECOND)
    virtual.fill(virtual.lane(), 2)
    grant = virtual.take()
    virtual.carrier(interval=60 * SECOND, rest_us=SECOND)
    tat = virtual.number(TRUNK, "tat")
    assert permits.refuse(virtual.redis, grant.attempt_id, grant.fence)
    assert virtual.number(TRUNK, "tat") == tat


def test_a_raised_rate_does_not_rest(virtual: VirtualBench) -> None:
    virtual.carrier(interval=SECOND, rest_us=10 * SECOND)
    virtual.fill(virtual.lane(), 9)
    grant = virtual.take()
    first = virtual.slot(grant)
    assert permits.mark_claimed(virtual.redis, grant.attempt_id, grant.fence)
    virtual.carrier(interval=SECOND // 2, rest_us=10 * SECOND)
    virtual.step(SECOND)
    assert virtual.slot(virtual.take()) == first + SECOND


def test_a_new_carrier_serves_at_once(virtual: VirtualBench) -> None:
    virtual.carrier(interval=SECOND, rest_us=10 * SECOND)
    virtual.fill(virtual.lane(), 1)
    assert virtual.take().slot_us == int(virtual.settings.slot_lead_ms * 1000)


def test_the_same_numbers_change_nothing(virtual: VirtualBench) -> None:
    limits = scopes.ScopeLimits("account:acme", 3, SECOND, rest_us=SECOND)
    assert scopes.set_scopes(virtual.redis, [limits]) == 1
    assert scopes.set_scopes(virtual.redis, [limits]) == 0


@pytest.mark.parametrize("scope", [*OF_THE_PUMP, *OF_THE_LANE])
def test_a_forgotten_scope_limits_nothing_and_what_waited_comes_back(virtual: VirtualBench, scope: str) -> None:
    house(virtual)
    virtual.scope(scope, channels=0)
    virtual.refusal()
    scopes.forget_scopes(virtual.redis, [scope])
    grant = virtual.take()
    virtual.scope(scope, channels=1)
    assert virtual.refusal().limit == scope, "who was granted meanwhile counts"
    virtual.release(grant)
    assert virtual.take()


def test_a_forgotten_carrier_serves_nobody_and_keeps_its_pacing(virtual: VirtualBench) -> None:
    virtual.carrier(interval=5 * SECOND)
    virtual.fill(virtual.lane(), 2)
    first = virtual.slot(virtual.take())
    scopes.forget_scopes(virtual.redis, [TRUNK])
    assert virtual.refusal().limit == "not_ready"
    assert virtual.redis.ttl(f"{PREFIX}s:{TRUNK}") > 0
    virtual.carrier(interval=5 * SECOND)
    assert virtual.redis.ttl(f"{PREFIX}s:{TRUNK}") == -1
    assert virtual.refusal().limit == TRUNK
    virtual.step(5 * SECOND)
    assert virtual.slot(virtual.take()) == first + 5 * SECOND


def test_forgetting_the_global_scope_forgets_nobody_who_waits_for_time(virtual: VirtualBench) -> None:
    house(virtual)
    virtual.scope("global", channels=5)
    virtual.scope(f"tenant:{TENANT}", interval=SECOND)
    virtual.take()
    wait = virtual.refusal().next_us
    assert wait is not None
    scopes.forget_scopes(virtual.redis, ["global"])
    virtual.step(wait)
    assert virtual.take()


@pytest.mark.parametrize("scope", ["switch:fs1", "global", f"tenant:{TENANT}", f"campaign:{TENANT.hex}:spring"])
def test_our_own_rates_do_not_stop_when_the_clock_steps_back(virtual: VirtualBench, scope: str) -> None:
    virtual.carrier(gap_us=1_500_000, interval=1)
    virtual.fill(virtual.lane(more=NAMED), 9)
    virtual.scope(scope, interval=SECOND)
    virtual.take()
    virtual.refusal()
    virtual.step(-3600 * SECOND)
    for _ in range(4):
        virtual.grant()
        scopes.sweep(virtual.redis)
        virtual.step(SECOND)
    assert in_use(virtual.redis, ["global"])["global"] >= 3


def test_a_lane_of_a_stopped_scope_keeps_its_work(virtual: VirtualBench) -> None:
    house(virtual, calls=3)
    virtual.scope("agents:team", channels=0)
    virtual.refusal()
    name = f"dial.normal.{TENANT.hex}.all{NAMED}"
    assert lanes.lengths(virtual.redis, [name]) == {name: 3}


def test_a_carrier_that_joins_an_account_brings_its_calls_along(virtual: VirtualBench) -> None:
    virtual.scope("account:late", channels=5)
    virtual.carrier(channels=100, linger_us=SECOND)
    virtual.fill(virtual.lane(), 20)
    grants = [virtual.take() for _ in range(4)]
    assert permits.release(virtual.redis, grants[0].attempt_id, grants[0].fence)
    virtual.carrier(channels=100, linger_us=SECOND, more=("account:late",))
    assert in_use(virtual.redis, ["account:late"]) == {"account:late": 3}
    assert len(virtual.grant(want=9).grants) == 1  # three up, one that still counts, one more: five
    virtual.step(2 * SECOND)
    assert len(virtual.grant(want=9).grants) == 1
    for grant in grants[1:]:
        assert permits.release(virtual.redis, grant.attempt_id, grant.fence, linger_us=0)
    assert in_use(virtual.redis, ["account:late"]) == {"account:late": 2}


def test_a_rest_is_as_long_as_each_scopes_own_window(virtual: VirtualBench) -> None:
    """An INVITE of unknown time: the account counts it over ten seconds, whatever the trunk's window is."""
    virtual.carrier(interval=1000, more=("account:slow",))
    long = scopes.ScopeLimits("account:slow", None, 1000, gap_us=3600 * SECOND, rest_us=10 * SECOND)
    scopes.set_scopes(virtual.redis, [long])
    virtual.step(20 * SECOND)
    virtual.fill(virtual.lane(), 3)
    hold(virtual.redis, CARRIER, SECOND)
    virtual.step(9 * SECOND)
    virtual.refusal()
    virtual.step(SECOND + 1)
    virtual.take()
