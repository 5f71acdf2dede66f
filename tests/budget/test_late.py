"""INVITEs that were acknowledged late: sent at some moment between their slot and the acknowledgement."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budget import permits
from budget.hold import leave_out
from budget.permits import Grant
from budget.scopes import carrier_scope, interval_us
from lab.counting import max_in_window
from tests.budget.bench import CARRIER, VirtualBench

SECOND = 1_000_000
TRUNK = carrier_scope(CARRIER)
JITTER = 20_000  # us
REST = SECOND + JITTER
ACCOUNT = "account:acme"


def house(virtual: VirtualBench, cps: int = 10, *, more: tuple[str, ...] = ()) -> None:
    virtual.carrier(interval=interval_us(cps, 1000, JITTER / 1000), rest_us=REST, more=more)
    virtual.fill(virtual.lane(), 200)
    virtual.step(5 * SECOND)


def due_in(virtual: VirtualBench) -> int:
    """us from now to the carrier's next slot; 0: there is one."""
    return max(0, int(virtual.number(TRUNK, "tat")) - virtual.now)


@pytest.mark.parametrize("after_us", [JITTER, 300_000])
def test_it_costs_one_slot(virtual: VirtualBench, after_us: int) -> None:
    house(virtual)
    grant = virtual.take()
    virtual.step(virtual.slot(grant) + after_us - virtual.now)
    free = due_in(virtual)
    leave_out(virtual.redis, CARRIER)
    assert due_in(virtual) == free + interval_us(10, 1000, JITTER / 1000)


def test_what_carriers_share_leaves_one_out_too(virtual: VirtualBench) -> None:
    virtual.scope(ACCOUNT, interval=REST, rest_us=REST)
    house(virtual, more=(ACCOUNT,))
    grant = virtual.take()
    virtual.step(virtual.slot(grant) + 2 * JITTER - virtual.now)
    due = virtual.number(ACCOUNT, "tat")
    leave_out(virtual.redis, CARRIER)
    assert virtual.number(ACCOUNT, "tat") == due + REST


#: Of one dial: is it late, how late its acknowledgement (share of 0.9 s), where in between the INVITE left.
Fate = tuple[bool, float, float]
SHARES = st.floats(0, 1)
FATES = st.lists(st.tuples(st.booleans(), SHARES, SHARES), min_size=8, max_size=60)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)  # Redis is emptied in the test
@given(
    cps=st.integers(1, 30), fates=st.lists(st.tuples(st.booleans(), SHARES, SHARES), min_size=8, max_size=60), leave=SHARES
)
def test_no_window_holds_more_than_the_limit(redis_url: str, cps: int, fates: list[Fate], leave: float) -> None:
    """Each dial takes the next slot there is; late ones are told of when they are acknowledged."""
    assert _most(redis_url, cps, fates, leave) <= cps


def test_untold_a_window_would_hold_more(redis_url: str) -> None:
    """One that leaves a little later than it may finds a second full, before it is of unknown time."""
    fates = [(at == 10, 0.02, 1.0) for at in range(40)]
    assert _most(redis_url, 10, fates, 0.0, told=False) == 11
    assert _most(redis_url, 10, fates, 0.0) == 10


def _most(redis_url: str, cps: int, fates: list[Fate], leave: float, *, told: bool = True) -> int:
    virtual = VirtualBench(redis_url)
    virtual.redis.flushall()
    virtual = VirtualBench(redis_url)
    try:
        house(virtual, cps)
        return max_in_window((us * 1000 for us in sorted(_sent(virtual, fates, leave, told=told))), 1.0)[0]
    finally:
        virtual.redis.close()


def _sent(virtual: VirtualBench, fates: list[Fate], leave: float, *, told: bool) -> list[int]:
    sent: list[int] = []
    owed: list[tuple[int, Grant]] = []
    for is_late, by, where in fates:
        while not (answer := virtual.grant()).grants:
            _tell(virtual, owed, virtual.now + (answer.next_us or 10_000), told=told)
        (grant,) = answer.grants
        slot = virtual.slot(grant)
        if is_late:
            acknowledged = slot + JITTER + int(by * 900_000)
            sent.append(slot + int(where * (acknowledged - slot)))
            owed.append((acknowledged, grant))
        else:
            sent.append(slot + int(leave * JITTER))
            permits.mark_claimed(virtual.redis, grant.attempt_id, grant.fence)
        _tell(virtual, owed, max(virtual.now, slot - int(virtual.settings.slot_lead_ms * 1000)), told=told)
    return sent


def _tell(virtual: VirtualBench, owed: list[tuple[int, Grant]], until: int, *, told: bool) -> None:
    """Time goes on to ``until``; on the way what is acknowledged is told."""
    for at, grant in sorted((one for one in owed if one[0] <= until), key=lambda one: one[0]):
        virtual.step(max(0, at - virtual.now))
        if told:
            leave_out(virtual.redis, CARRIER)
        permits.mark_claimed(virtual.redis, grant.attempt_id, grant.fence)
        owed.remove((at, grant))
    virtual.step(max(0, until - virtual.now))
