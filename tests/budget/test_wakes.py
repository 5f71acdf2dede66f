"""Nobody waits for what is there: wait sets of lanes, waiting pumps, and the turns of several pumps of one carrier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import pytest

from budget import permits, scopes
from budget.health import set_health
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, HOUR, TENANT, VirtualBench, tenant_of, wakes

TRUNK = carrier_scope(CARRIER)
OTHER = UUID(int=99)
MS = 1000
SECOND = 1_000_000
TENANT_SCOPE = f"tenant:{TENANT}"


@pytest.mark.parametrize("give_back", ["release", "requeue", "refuse"])
@pytest.mark.parametrize("scope", [TENANT_SCOPE, f"campaign:{TENANT.hex}:spring", "agents:team"])
def test_room_on_the_lanes_side_brings_the_lane_back_at_every_carrier(
    virtual: VirtualBench, scope: str, give_back: str
) -> None:
    virtual.carrier()
    virtual.carrier(OTHER)
    virtual.fill(virtual.lane(more=".c-spring.a-team", carriers=(CARRIER, OTHER)), 9)
    virtual.scope(scope, channels=1)
    grant = virtual.take()
    assert virtual.refusal().limit == virtual.refusal(OTHER).limit == scope
    with wakes(virtual) as heard:
        assert getattr(permits, give_back)(virtual.redis, grant.attempt_id, grant.fence)
    assert {f"{CARRIER} * 0", f"{OTHER} * 0"} <= set(heard)
    assert virtual.take(OTHER)


def test_who_waits_costs_the_next_ones_nothing(virtual: VirtualBench) -> None:
    """A tenant at its limit leaves the order; the others are served, and its own other class waits by itself."""
    virtual.carrier()
    virtual.fill(virtual.lane(), 5)
    virtual.fill(virtual.lane(priority="bulk"), 5)
    virtual.fill(virtual.lane(OTHER), 2)
    virtual.scope(TENANT_SCOPE, channels=1)
    got = Counter(tenant_of(virtual.take()) for _ in range(3))
    assert got == {TENANT: 1, OTHER: 2}
    assert virtual.refusal().limit == TENANT_SCOPE
    assert virtual.redis.hlen(f"{PREFIX}blocked:{CARRIER}") == 2
    assert virtual.refusal().limit == "empty"


def test_a_rate_brings_its_lanes_back_by_time_alone(virtual: VirtualBench) -> None:
    virtual.carrier()
    virtual.fill(virtual.lane(), 5)
    virtual.scope(TENANT_SCOPE, interval=SECOND)
    virtual.take()
    wait = virtual.refusal().next_us
    assert wait is not None
    again = virtual.refusal()
    assert (again.limit, again.next_us) == ("empty", wait)
    virtual.step(wait - 1)
    virtual.refusal()
    virtual.step(1)
    assert virtual.take()
    assert scopes.sweep(virtual.redis) == 0


def test_more_waiting_tenants_than_one_request_looks_at_are_come_back_for(virtual: VirtualBench) -> None:
    virtual.carrier(channels=9000)
    for n in range(200):
        tenant = UUID(int=5000 + n)
        virtual.scope(f"tenant:{tenant}", channels=0)
        virtual.fill(virtual.lane(tenant), 1)
    last = UUID(int=9999)
    virtual.fill(virtual.lane(last), 1)
    answer = virtual.refusal()
    assert answer.next_us is not None
    assert answer.next_us <= 5 * MS
    assert tenant_of(virtual.take()) == last


def test_the_sweep_finds_what_a_lost_wake_left(virtual: VirtualBench) -> None:
    virtual.carrier()
    virtual.fill(virtual.lane(), 2)
    virtual.scope(TENANT_SCOPE, channels=0)
    virtual.refusal()
    assert scopes.sweep(virtual.redis) == 0, "it is full"
    virtual.redis.hset(f"{PREFIX}s:{TENANT_SCOPE}", "max", 1)
    assert virtual.refusal().limit == "empty"
    assert scopes.sweep(virtual.redis) == 1
    assert virtual.take()


# Pumps


def test_one_place_wakes_one_pump(virtual: VirtualBench) -> None:
    virtual.carrier(channels=2)
    virtual.fill(virtual.lane(), 9)
    one, two = virtual.take(switch="fs1"), virtual.take(switch="fs2")
    for switch in ("fs1", "fs2", "fs3"):
        assert virtual.refusal(switch=switch).limit == TRUNK
    with wakes(virtual) as heard:
        virtual.release(one)
    assert len(heard) == 1
    with wakes(virtual) as more:
        virtual.release(two)
    assert len({*heard, *more}) == 2
    assert {word.split(" ")[1] for word in heard + more} < {"fs1", "fs2", "fs3"}


def test_a_lingering_place_is_told_with_its_delay_and_each_pump_comes_for_another_one(virtual: VirtualBench) -> None:
    virtual.carrier(channels=2, linger_us=SECOND)
    virtual.fill(virtual.lane(), 9)
    one, two = virtual.take(), virtual.take()
    virtual.refusal(switch="fs1")
    with wakes(virtual) as heard:
        virtual.release(one)
    assert heard == [f"{CARRIER} fs1 {SECOND}"]
    virtual.step(MS)
    virtual.release(two)
    assert [virtual.refusal(switch=switch).next_us for switch in ("fs1", "fs2", "fs3")] == [SECOND - MS, SECOND, None]


@pytest.mark.parametrize("why", ["empty", "paused", "stopped", "another limit", "its turn"])
def test_a_woken_pump_that_does_not_take_the_place_wakes_the_next(virtual: VirtualBench, why: str) -> None:
    virtual.carrier(interval=HOUR if why == "its turn" else 1)
    virtual.carrier(OTHER)
    mine = virtual.fill(virtual.lane(route="mine"), 5 if why != "empty" else 1)
    virtual.fill(virtual.lane(route="other", carriers=(OTHER,)), 5)
    virtual.scope("global", channels=1)
    grant = virtual.take()
    assert grant.attempt_id == mine[0]
    virtual.refusal()
    with wakes(virtual) as heard:
        virtual.release(grant)
    assert heard == [f"{CARRIER} fs1 0"]
    virtual.redis.sadd(f"{PREFIX}pw:global", f"{OTHER} fs2")  # refused just before the place was free
    if why == "paused":
        virtual.carrier(paused=True)
    elif why == "stopped":
        set_health(virtual.redis, CARRIER, "stopped", "faults")
    elif why == "another limit":
        virtual.scope("switch:fs1", channels=0)
    with wakes(virtual) as heard:
        virtual.refusal()
    assert f"{OTHER} fs2 0" in heard


def turns(virtual: VirtualBench, pumps: Sequence[str], us: int) -> tuple[Counter[str], Counter[str], list[int]]:
    """Pumps that come when they are told: how often each was served, how often it came, the slots."""
    due = dict.fromkeys(pumps, virtual.now)
    got, came, slots, end = Counter[str](), Counter[str](), [], virtual.now + us
    while virtual.now < end:
        for pump in pumps:
            if due[pump] <= virtual.now:
                answer = virtual.grant(switch=pump)
                came[pump] += 1
                got[pump] += len(answer.grants)
                slots += [virtual.slot(grant) for grant in answer.grants]
                due[pump] = virtual.now + (SECOND if answer.next_us is None else answer.next_us)
        virtual.step(MS)
    return got, came, slots


def test_several_pumps_take_turns_and_none_asks_in_vain(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000)
    virtual.fill(virtual.lane(), 900)
    got, came, slots = turns(virtual, ["fs1", "fs2", "fs3", "fs4"], 8 * SECOND)
    assert sum(got.values()) >= 0.98 * 400
    assert min(got.values()) >= 0.9 * 100
    assert sum(came.values()) <= 1.1 * sum(got.values())
    assert slots == sorted(slots)


def test_a_pump_that_disappears_costs_one_slot(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000)
    virtual.fill(virtual.lane(), 900)
    turns(virtual, ["fs1", "fs2", "fs3"], SECOND)
    got, _, slots = turns(virtual, ["fs1", "fs2"], 2 * SECOND)
    assert sum(got.values()) >= 100 - 3
    gaps = sorted(later - earlier for earlier, later in pairwise(slots))
    assert gaps[-2] <= 25 * MS


def test_a_pump_that_comes_too_early_keeps_its_turn(virtual: VirtualBench) -> None:
    virtual.carrier(interval=200 * MS, channels=9000)
    virtual.fill(virtual.lane(), 9)
    virtual.take(switch="fs1")
    first = virtual.refusal(switch="fs2").next_us
    second = virtual.refusal(switch="fs3").next_us
    assert first is not None
    assert second is not None
    virtual.step(10 * MS)
    assert virtual.refusal(switch="fs2").next_us == first - 10 * MS
    assert virtual.refusal(switch="fs3").next_us == second - 10 * MS
    assert second - first == 200 * MS


def test_turns_do_not_keep_the_names_of_pumps_that_are_gone(virtual: VirtualBench) -> None:
    virtual.carrier(interval=20 * MS, channels=9000)
    virtual.fill(virtual.lane(), 200)
    for n in range(100):
        virtual.grant(switch=f"fs{n}")
        virtual.step(20 * MS)
    raw = virtual.redis.hget(f"{PREFIX}s:{TRUNK}", "turns")
    assert isinstance(raw, bytes)
    assert raw.count(b"=") <= 20
