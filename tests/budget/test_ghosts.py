"""Permits of unknown time: written, perhaps, to a switch that stands still; they will leave at any time, into any second."""

from __future__ import annotations

import pytest

from budget import permits
from budget.permits import Grant
from budget.scopes import carrier_scope
from tests.budget.bench import CARRIER, VirtualBench

SECOND = 1_000_000
TRUNK = carrier_scope(CARRIER)
#: us; five a second, no jitter.
STEP = SECOND // 5


def house(virtual: VirtualBench, *, step: int = STEP, more: tuple[str, ...] = ()) -> None:
    virtual.carrier(channels=None, interval=step, rest_us=SECOND, more=more)
    virtual.fill(virtual.lane(), 400)
    virtual.step(5 * SECOND)


def acknowledge(virtual: VirtualBench, grant: Grant) -> None:
    assert permits.mark_claimed(virtual.redis, grant.attempt_id, grant.fence)


def slots(virtual: VirtualBench, us: int) -> list[int]:
    """Slots of the permits had in so long, each acknowledged at once."""
    found = []
    for _ in range(us // 10_000):
        for grant in virtual.grant().grants:
            found.append(virtual.slot(grant))
            acknowledge(virtual, grant)
        virtual.step(10_000)
    return found


def most(stamps: list[int]) -> int:
    """In any second."""
    return max(sum(at <= other < at + SECOND for other in stamps) for at in stamps)


def test_acknowledged_in_time_it_costs_nothing(virtual: VirtualBench) -> None:
    house(virtual)
    found = slots(virtual, 5 * SECOND)
    assert most(found) == 5
    assert len(found) >= 24


def test_one_of_unknown_time_takes_a_place_of_every_window(virtual: VirtualBench) -> None:
    house(virtual)
    lost = virtual.take()
    known = virtual.slot(lost)
    found = slots(virtual, 6 * SECOND)
    after = [at for at in found if at > known + SECOND // 2]
    assert most(after) == 4
    acknowledge(virtual, lost)  # it may have left just now
    soon = slots(virtual, SECOND - 20_000)
    assert most(after + soon) == 4
    virtual.step(SECOND)
    assert most(slots(virtual, 5 * SECOND)) == 5


@pytest.mark.parametrize("cps", [2, 5, 20, 50])
def test_one_that_may_leave_at_once_finds_room(virtual: VirtualBench, cps: int) -> None:
    """Whenever it leaves, up to the acknowledgement: no second holds more than it may."""
    house(virtual, step=SECOND // cps)
    slots(virtual, SECOND)
    while not (answer := virtual.grant()).grants:
        virtual.step(1000)
    (lost,) = answer.grants
    known = virtual.slot(lost)
    found = slots(virtual, 3 * SECOND)
    acknowledge(virtual, lost)
    until = virtual.now
    found += slots(virtual, 2 * SECOND)
    for left in range(known, until, SECOND // cps // 5):
        assert most([*found, left]) <= cps, (left - known) / SECOND
    assert most(found[len(found) // 2 :]) >= cps - 1


def test_a_carrier_of_one_waits_until_it_is_settled(virtual: VirtualBench) -> None:
    house(virtual, step=SECOND)
    lost = virtual.take()
    assert slots(virtual, 20 * SECOND) == []
    acknowledge(virtual, lost)
    assert slots(virtual, SECOND - 20_000) == []
    virtual.step(SECOND)
    assert len(slots(virtual, 3 * SECOND)) >= 2


def test_who_waits_for_it_does_not_ask_again_and_again(virtual: VirtualBench) -> None:
    """It has channels enough, and one that ended lingers no more: nothing says when the next INVITE may be."""
    virtual.carrier(channels=10, interval=SECOND, rest_us=SECOND, linger_us=SECOND // 4)
    virtual.fill(virtual.lane(), 400)
    virtual.step(5 * SECOND)
    done = virtual.take()
    acknowledge(virtual, done)
    assert permits.release(virtual.redis, done.attempt_id, done.fence)
    virtual.step(5 * SECOND)
    virtual.take()
    virtual.step(5 * SECOND)
    virtual.refusal()
    answer = virtual.grant()
    assert (answer.grants, answer.limit, answer.next_us) == ((), TRUNK, None)


def test_the_account_knows_of_it_too(virtual: VirtualBench) -> None:
    house(virtual, step=1000, more=("account:acme",))
    virtual.scope("account:acme", interval=STEP, rest_us=SECOND)
    virtual.step(5 * SECOND)
    virtual.take()
    virtual.step(2 * SECOND)
    assert most(slots(virtual, 6 * SECOND)) == 4


def test_what_was_never_written_is_no_such_thing(virtual: VirtualBench) -> None:
    house(virtual)
    for give_back in (permits.requeue, permits.refuse):
        virtual.step(5 * SECOND)
        grant = virtual.take()
        virtual.step(3 * SECOND)
        virtual.refusal()  # noticed
        assert give_back(virtual.redis, grant.attempt_id, grant.fence)
    for lease in permits.leases(virtual.redis, [CARRIER]):
        permits.requeue(virtual.redis, lease.attempt_id, lease.fence)
    virtual.step(3 * SECOND)
    assert most(slots(virtual, 5 * SECOND)) == 5


def test_the_sweeps_word_settles_nothing(virtual: VirtualBench) -> None:
    """Postgres knows of the claim; whether the INVITE has left, only the switch does."""
    house(virtual)
    lost = virtual.take()
    virtual.step(3 * SECOND)
    assert permits.mark_claimed(virtual.redis, lost.attempt_id, lost.fence, acknowledged=False)
    assert most(slots(virtual, 6 * SECOND)) == 4
    assert permits.release(virtual.redis, lost.attempt_id, lost.fence)
    virtual.step(3 * SECOND)
    assert most(slots(virtual, 5 * SECOND)) == 5
