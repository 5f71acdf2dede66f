"""Every kind of scope: refused by its name, shared by several carriers, left when a call ends."""

from __future__ import annotations

from bisect import bisect_left
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budget import permits
from budget.scopes import carrier_scope, interval_us
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


@pytest.mark.parametrize("scope", OF_THE_PUMP + OF_THE_LANE)
def test_a_count_refuses_by_name_until_a_call_has_ended(virtual: VirtualBench, scope: str) -> None:
    house(virtual)
    virtual.scope(scope, channels=2)
    first, _ = virtual.take(), virtual.take()
    answer = virtual.refusal()
    assert (answer.limit, answer.next_us, answer.paced) == (scope, None, False)
    assert in_use(virtual.redis, [scope]) == {scope: 2}
    virtual.release(first)
    virtual.take()
    assert virtual.refusal().limit == scope


@pytest.mark.parametrize("scope", OF_THE_PUMP + OF_THE_LANE)
def test_a_rate_refuses_by_name_until_its_time_has_come(virtual: VirtualBench, scope: str) -> None:
    house(virtual)
    virtual.scope(scope, interval=SECOND)
    first = virtual.slot(virtual.take())
    answer = virtual.refusal()
    assert answer.limit == scope
    assert answer.paced == (scope in OF_THE_PUMP)
    assert answer.next_us is not None
    virtual.step(answer.next_us)
    assert virtual.slot(virtual.take()) == first + SECOND


@pytest.mark.parametrize("scope", [TRUNK, *OF_THE_PUMP, *OF_THE_LANE])
def test_a_pause_refuses_by_name_until_it_is_over(virtual: VirtualBench, scope: str) -> None:
    ids = house(virtual)
    if scope == TRUNK:
        virtual.carrier(paused=True)
    else:
        virtual.scope(scope, paused=True)
    answer = virtual.refusal()
    assert (answer.limit, answer.next_us) == ("paused" if scope == TRUNK else scope, None)
    if scope == TRUNK:
        virtual.carrier()
    else:
        virtual.scope(scope)
    assert virtual.take().attempt_id == ids[0]


@pytest.mark.parametrize("scope", [TRUNK, *OF_THE_PUMP, *OF_THE_LANE])
def test_a_rate_of_nothing_is_a_pause(virtual: VirtualBench, scope: str) -> None:
    house(virtual)
    if scope == TRUNK:
        virtual.carrier(interval=0)
    else:
        virtual.scope(scope, interval=0)
    assert virtual.refusal().limit == ("paused" if scope == TRUNK else scope)


@pytest.mark.parametrize("scope", ["account:acme", "ip:192.0.2.1", "switch:fs1", "global", *OF_THE_LANE])
def test_what_carriers_share_they_share(virtual: VirtualBench, scope: str) -> None:
    house(virtual, carriers=(CARRIER, OTHER))
    virtual.scope(scope, channels=2, interval=SECOND)
    first = virtual.take(CARRIER)
    assert virtual.refusal(OTHER).limit == scope, "its rate"
    virtual.step(SECOND)
    second = virtual.take(OTHER)
    assert virtual.slot(second) >= virtual.slot(first) + SECOND
    virtual.step(SECOND)
    assert virtual.refusal(CARRIER).limit == virtual.refusal(OTHER).limit == scope, "its count"
    virtual.release(second)
    assert virtual.take(CARRIER)


def test_a_switch_limits_its_own_calls_alone(virtual: VirtualBench) -> None:
    house(virtual)
    virtual.scope("switch:fs1", channels=1)
    virtual.take(switch="fs1")
    assert virtual.refusal(switch="fs1").limit == "switch:fs1"
    virtual.take(switch="fs2")
    virtual.take(switch="fs2")


def test_a_call_counts_in_all_of_its_scopes_and_leaves_all(virtual: VirtualBench) -> None:
    house(virtual)
    everywhere = [TRUNK, *OF_THE_PUMP, *OF_THE_LANE]
    grants = virtual.grant(want=3).grants
    assert in_use(virtual.redis, everywhere) == dict.fromkeys(everywhere, 3)
    assert permits.requeue(virtual.redis, grants[0].attempt_id, grants[0].fence)
    assert permits.refuse(virtual.redis, grants[1].attempt_id, grants[1].fence)
    virtual.release(grants[2])
    assert in_use(virtual.redis, everywhere) == dict.fromkeys(everywhere, 0)


def test_an_ended_call_lingers_with_the_carrier_its_account_and_its_address_alone(virtual: VirtualBench) -> None:
    virtual.carrier(linger_us=SECOND, channels=5, more=("account:acme", "ip:192.0.2.1"))
    virtual.fill(virtual.lane(), 9)
    for scope in ("account:acme", "ip:192.0.2.1", "global", f"tenant:{TENANT}"):
        virtual.scope(scope, channels=1)
    grant = virtual.take()
    virtual.release(grant)
    answer = virtual.refusal()
    assert (answer.limit, answer.next_us) == ("account:acme", SECOND)
    virtual.step(SECOND - 1)
    assert virtual.refusal().limit == "account:acme"
    virtual.step(1)
    assert virtual.take()


@pytest.mark.parametrize("limit", [1, None])
def test_what_lingered_is_not_kept_for_ever(virtual: VirtualBench, limit: int | None) -> None:
    virtual.carrier(linger_us=SECOND, channels=limit, more=("account:acme",))
    virtual.fill(virtual.lane(), 40)
    for _ in range(40):
        virtual.release(virtual.take())
        virtual.step(SECOND)
    assert virtual.redis.zcard(f"{PREFIX}linger:{TRUNK}") == virtual.redis.zcard(f"{PREFIX}linger:account:acme") == 1


def test_adopted_calls_count_everywhere(virtual: VirtualBench) -> None:
    house(virtual)
    lane = f"dial.normal.{TENANT.hex}.all{NAMED}"
    lease = permits.Lease(UUID(int=5), 5, CARRIER, "fs1")
    assert permits.adopt(virtual.redis, virtual.settings, lease, lane)
    everywhere = [TRUNK, *OF_THE_PUMP, *OF_THE_LANE]
    assert in_use(virtual.redis, everywhere) == dict.fromkeys(everywhere, 1)
    permits.linger(virtual.redis, CARRIER, UUID(int=6), 6, SECOND)
    virtual.scope("account:acme", channels=2)
    assert virtual.refusal().limit == "account:acme"
    virtual.step(SECOND)
    virtual.take()
    assert permits.release(virtual.redis, lease.attempt_id, lease.fence, linger_us=0)
    assert in_use(virtual.redis, everywhere) == dict.fromkeys(everywhere, 1)


def test_a_refused_channel_burns_no_slot(virtual: VirtualBench) -> None:
    virtual.carrier(interval=SECOND)
    virtual.fill(virtual.lane(), 2)
    virtual.scope(f"tenant:{TENANT}", channels=1)
    first = virtual.take()
    virtual.step(SECOND)
    assert virtual.refusal().limit == f"tenant:{TENANT}"
    assert virtual.refusal().limit == "empty", "who waits is not in order"
    virtual.release(first)
    assert virtual.take().slot_us == int(virtual.settings.slot_lead_ms * 1000)


# The interval


@given(
    cps=st.integers(1, 120),
    window_ms=st.sampled_from([1000, 5000]),
    jitter_ms=st.integers(0, 250),
    cost=st.sampled_from([1, 2]),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_pacing_never_exceeds_the_window_whatever_the_jitter(
    cps: int, window_ms: int, jitter_ms: int, cost: int, data: st.DataObject
) -> None:
    """N * W arrivals at most in any window W, each slot delayed by anything up to J."""
    step = interval_us(cps, window_ms, jitter_ms, cost)
    allowed = cps * window_ms // 1000
    count = allowed // cost + 3
    late = data.draw(st.lists(st.integers(0, jitter_ms * 1000), min_size=count, max_size=count))
    arrivals = sorted(i * step + late[i] for i in range(count))
    for i, start in enumerate(arrivals):
        inside = bisect_left(arrivals, start + window_ms * 1000) - i
        assert inside * cost <= max(allowed, cost)


def test_fractions_of_a_call_are_no_call() -> None:
    assert interval_us(2.5, 1000, 0, 1) == 500_000
    assert interval_us(0.5, 1000, 20, 1) == 2_020_000
    assert interval_us(0, 1000, 20, 1) == 0
