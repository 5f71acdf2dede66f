"""One mark cancels all that a tenant has queued: at once for the claim and whoever looks, and nothing that comes later."""

from __future__ import annotations

from uuid import uuid4

import pytest

from calls.evidence import State
from store import attempts, calls, tenants
from store.attempts import Claimed, Refused
from tests.store.conftest import World, at, listed


def cancel(world: World, seconds: float) -> None:
    assert tenants.cancel_queued(world.db, world.tenant.id, at(seconds)) is not None


def test_what_was_queued_is_not_dialed_and_says_so(world: World) -> None:
    before = [world.accept() for _ in range(3)]
    assert not any(world.call(one.call.id).cancel_requested for one in before)
    mark = tenants.cancel_queued(world.db, world.tenant.id, at(10))
    assert mark == at(10)
    for one in before:
        assert world.claim(one.attempt_id, now=at(20)) == Refused("canceled")
        call = world.call(one.call.id)
        assert (call.status, call.cancel_requested) == ("queued", True)
    assert all(call.cancel_requested for call in listed(world.db, world.tenant.id, 10))
    assert all(call.cancel_requested for call in listed(world.db, world.tenant.id, 10, status="queued"))
    # Final: nobody lanes them again. Ending one of them in the usual way is possible still.
    assert calls.request_hangup(world.db, world.tenant.id, before[0].call.id, "customer", at(21)).kind == "canceled"
    call = world.call(before[0].call.id)
    assert (call.status, call.cancel_requested) == ("canceled", True)


def test_what_comes_after_it_is_dialed(world: World) -> None:
    before = world.accept()
    cancel(world, 10)
    after = calls.accept_call(world.db, world.new(), idempotency=None, now=at(11))
    assert isinstance(world.claim(after.attempt_id, now=at(12)), Claimed)
    assert world.claim(before.attempt_id, now=at(12)) == Refused("canceled")
    assert not world.call(after.call.id).cancel_requested


def test_hosts_need_not_agree_on_the_time(world: World) -> None:
    ahead = calls.accept_call(world.db, world.new(), idempotency=None, now=at(300))
    cancel(world, 10)
    assert world.claim(ahead.attempt_id, now=at(301)) == Refused("canceled")
    behind = calls.accept_call(world.db, world.new(), idempotency=None, now=at(-300))
    assert world.call(behind.call.id) == behind.call
    assert isinstance(world.claim(behind.attempt_id, now=at(20)), Claimed)


def test_a_later_mark_never_takes_an_earlier_ones_place(world: World) -> None:
    assert tenants.cancel_queued(world.db, world.tenant.id, at(50)) == at(50)
    assert tenants.cancel_queued(world.db, world.tenant.id, at(40)) == at(50)
    assert tenants.cancel_queued(world.db, uuid4(), at(50)) is None


def test_another_tenants_calls_go_on(world: World) -> None:
    other = tenants.create(world.db, name=f"other-{uuid4().hex[:8]}")
    mine = world.accept()
    assert tenants.cancel_queued(world.db, other.id, at(10)) == at(10)
    assert isinstance(world.claim(mine.attempt_id, now=at(20)), Claimed)


def test_a_call_under_way_goes_on_and_is_not_dialed_again(world: World) -> None:
    dialing = world.dialing()
    cancel(world, 10)
    world.apply(world.seen(dialing.attempt_id, State.RINGING, 12))
    assert world.call(dialing.call.id).status == "ringing"
    (applied,) = world.apply(world.busy(dialing.attempt_id, 15))
    assert applied.retry is None
    call = world.call(dialing.call.id)
    assert (call.status, call.end_reason) == ("canceled", "canceled")


def test_a_claim_given_back_is_canceled_too(world: World) -> None:
    dialing = world.dialing()
    cancel(world, 10)
    assert attempts.unclaim(world.db, dialing.attempt_id, 1, at(11))
    assert world.claim(dialing.attempt_id, fence=2, now=at(12)) == Refused("canceled")


@pytest.mark.parametrize("answered", [True, False])
def test_what_had_ended_by_itself_was_not_canceled(world: World, answered: bool) -> None:
    dialing = world.dialing()
    end = world.answered_end(dialing.attempt_id, 30, 12) if answered else world.ended(
        dialing.attempt_id, "UNALLOCATED_NUMBER", 12, q850_cause=1, sip_code=404, disposition="recv_refuse"
    )  # fmt: skip
    world.apply(end)
    ended = world.call(dialing.call.id)
    assert ended.ended
    cancel(world, 60)
    assert world.call(dialing.call.id) == ended
