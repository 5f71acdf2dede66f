"""One claim wins, what forbids a dial forbids it, and what was not sent is given back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from calls.evidence import State
from store import attempts, calls, carriers, commands, epoch, outcomes, tenants
from store.attempts import Claimed, Refused
from store.queue import clock
from tests.store.conftest import World, at
from tests.store.threads import results, together, wait_for, waits_for_lock


def test_claimed_has_all_that_the_dial_needs(world: World) -> None:
    accepted = world.accept()
    claimed = world.claim(accepted.attempt_id, fence=7)
    assert isinstance(claimed, Claimed)
    assert (claimed.call_id, claimed.to_number, claimed.agent_kind) == (accepted.call.id, "+4915112345678", "websocket")
    assert (claimed.tenant_name, claimed.fence, claimed.pdd_s) == (world.tenant.name, 7, 25)
    (attempt,) = world.attempt_list(accepted.call.id)
    assert (attempt.state, attempt.fence, attempt.epoch, attempt.switch) == ("dialing", 7, 0, "fs1")
    assert attempt.gateway == claimed.gateway
    assert attempt.deadline_at == claimed.deadline_at == at(26)
    assert world.call(accepted.call.id).status == "dialing"
    assert world.told(accepted.call.id) == [(1, "call.queued"), (2, "call.dialing")]
    assert world.logged(accepted.call.id) == ["call.queued", "attempt.claimed"]


def test_a_carriers_own_pdd_is_used(world: World) -> None:
    name = next(carrier.name for carrier in carriers.list_limits(world.db) if carrier.id == world.carrier_id)
    carriers.put_carrier(world.db, name=name, max_channels=1, cps=1, pdd_s=35)
    claimed = world.claim(world.accept().attempt_id)
    assert isinstance(claimed, Claimed)
    assert (claimed.pdd_s, claimed.deadline_at) == (35, at(36))


def test_of_racing_claims_one_wins(world: World) -> None:
    for _ in range(10):
        accepted = world.accept()
        found = results(together(*[lambda n=n, a=accepted: world.claim(a.attempt_id, fence=n) for n in range(8)]))
        winners = [item for item in found if isinstance(item, Claimed)]
        assert len(winners) == 1
        assert {item.reason for item in found if isinstance(item, Refused)} == {"not_queued"}
        (attempt,) = world.attempt_list(accepted.call.id)
        assert attempt.fence == winners[0].fence
        assert world.told(accepted.call.id) == [(1, "call.queued"), (2, "call.dialing")]


def claim_all(world: World, *wanted: attempts.Wanted) -> dict[UUID, str]:
    """What became of each: ``claimed``, or why not."""
    found = attempts.claim_all(world.db, wanted, switch="fs1", pdd_s=25, clock=at(1))
    assert len(found) == len(wanted)
    return {
        one.attempt_id: result.reason if isinstance(result, Refused) else type(result).__name__.lower()
        for one, result in zip(wanted, found, strict=True)
    }


def test_many_are_claimed_in_one_transaction(world: World) -> None:
    ids = [world.accept().attempt_id for _ in range(5)]
    found = claim_all(world, *(attempts.Wanted(one, n, 0, world.carrier_id) for n, one in enumerate(reversed(ids))))
    assert set(found.values()) == {"claimed"}
    assert len({_written_by(world, one) for one in ids}) == 1
    for n, attempt_id in enumerate(reversed(ids)):
        (state,) = attempts.states(world.db, [attempt_id]).values()
        assert (state.state, state.fence) == ("dialing", n)


def test_what_is_refused_among_many_is_refused_alone(world: World) -> None:
    good = [world.accept().attempt_id for _ in range(3)]
    late, old = world.accept(due_at=at(50)).attempt_id, world.accept().attempt_id
    asked = [attempts.Wanted(one, 7, 0, world.carrier_id) for one in (good[0], late, good[1], old, good[2])]
    asked[3] = asked[3]._replace(epoch=9)
    assert claim_all(world, *asked) == {**dict.fromkeys(good, "claimed"), late: "not_due", old: "epoch"}


def test_a_call_whose_own_rules_forbid_it_takes_no_other_along(world: World) -> None:
    good = [world.accept().attempt_id for _ in range(2)]
    unreadable = world.accept()
    forbidden = unreadable.attempt_id
    world.execute("UPDATE calls SET dial_window = '{}' WHERE id = %s", unreadable.call.id)
    asked = [attempts.Wanted(one, 7, 0, world.carrier_id) for one in (good[0], forbidden, good[1])]
    assert claim_all(world, *asked) == {**dict.fromkeys(good, "claimed"), forbidden: "unreadable"}


def test_an_error_is_told_to_the_one_whose_it_is(world: World) -> None:
    good = [world.accept().attempt_id for _ in range(2)]
    bad = world.accept().attempt_id
    asked = [attempts.Wanted(one, 7, 0, world.carrier_id) for one in (good[0], bad, good[1])]
    asked[1] = asked[1]._replace(fence=1 << 70)  # more than the column holds
    assert claim_all(world, *asked) == {**dict.fromkeys(good, "claimed"), bad: "numericvalueoutofrange"}
    (state,) = attempts.states(world.db, [bad]).values()
    assert state.state == "queued"


def test_what_is_claimed_together_is_timed_by_the_databases_clock(world: World) -> None:
    before = clock(world.db)
    ids = [world.accept(due_at=before, expires_at=before + timedelta(hours=1)).attempt_id for _ in range(2)]
    wanted = [attempts.Wanted(one, 7, 0, world.carrier_id) for one in ids]
    found = attempts.claim_all(world.db, wanted, switch="fs1", pdd_s=25)
    for claim in found:
        assert isinstance(claim, Claimed)
        assert before <= claim.claimed_at <= clock(world.db)
        assert claim.deadline_at - claim.claimed_at == timedelta(seconds=25)


def _written_by(world: World, attempt: UUID) -> str:
    with world.db.connection() as conn:
        row = conn.execute("SELECT xmin::text FROM attempts WHERE id = %s", [attempt]).fetchone()
    assert row
    return str(row[0])


def test_what_forbids_a_claim(world: World) -> None:
    def refused(attempt_id: object, **changes: object) -> str:
        found = world.claim(attempt_id, **changes)  # type: ignore[arg-type]
        assert isinstance(found, Refused), found
        return found.reason

    attempt_id = world.accept().attempt_id
    assert refused(uuid4()) == "gone"
    assert refused(world.accept(due_at=at(50)).attempt_id) == "not_due"
    assert refused(attempt_id, now=at(3600)) == "expired"
    assert refused(attempt_id, epoch=1) == "epoch"
    other = carriers.put_carrier(world.db, name=f"bare-{uuid4().hex[:8]}", max_channels=1, cps=1)
    assert refused(attempt_id, carrier_id=other.id) == "no_endpoint"
    carriers.set_paused(world.db, world.carrier_id, True)
    assert refused(attempt_id) == "paused"
    carriers.set_paused(world.db, world.carrier_id, False)
    tenants.set_paused(world.db, world.tenant.id, True)
    assert refused(attempt_id) == "paused"
    tenants.set_paused(world.db, world.tenant.id, False)
    canceled = world.accept()
    calls.request_hangup(world.db, world.tenant.id, canceled.call.id, "customer", at(0.5))
    assert refused(canceled.attempt_id) == "canceled"
    # None of it touched the attempt.
    assert isinstance(world.claim(attempt_id), Claimed)
    assert refused(attempt_id) == "not_queued"


def test_what_is_refused_for_now_comes_back_into_a_lane_and_nothing_else_does(world: World) -> None:
    def laned() -> UUID:
        attempt_id = world.accept().attempt_id
        attempts.mark_pushed(world.db, [attempt_id], 0, at(0.5))
        return attempt_id

    def unlaned(attempt_id: UUID, **changes: Any) -> bool:
        assert isinstance(world.claim(attempt_id, **changes), Refused)
        ((away,),) = world.rows("SELECT pushed_epoch IS NULL FROM attempts WHERE id = %s", attempt_id)
        return bool(away)

    bare = carriers.put_carrier(world.db, name=f"bare-{uuid4().hex[:8]}", max_channels=1, cps=1)
    assert unlaned(laned(), clock=at(-1))  # not due
    assert unlaned(laned(), epoch=1)
    assert unlaned(laned(), carrier_id=bare.id)
    paused = laned()
    carriers.set_paused(world.db, world.carrier_id, True)
    assert unlaned(paused)
    carriers.set_paused(world.db, world.carrier_id, False)
    paused = laned()
    tenants.set_paused(world.db, world.tenant.id, True)
    assert unlaned(paused)
    tenants.set_paused(world.db, world.tenant.id, False)
    # What will never be dialed, or is being dialed, stays away.
    expired, dialing, canceled = laned(), laned(), laned()
    assert not unlaned(expired, clock=at(3600))
    world.execute(
        "UPDATE calls SET cancel_requested = true WHERE id = (SELECT call_id FROM attempts WHERE id = %s)", canceled
    )
    assert not unlaned(canceled)
    assert isinstance(world.claim(dialing), Claimed)
    assert not unlaned(dialing, fence=2)
    assert world.rows("SELECT pushed_epoch FROM attempts WHERE id = %s", dialing) == [(0,)]


def test_due_and_expired_are_judged_by_the_databases_clock(world: World) -> None:
    """A controller's clock may be wrong by minutes: nothing is dialed early, late or after its time because of it."""
    now = datetime.now(UTC)
    behind, ahead = now - timedelta(seconds=300), now + timedelta(seconds=300)
    later = world.accept(due_at=now + timedelta(seconds=100), expires_at=now + timedelta(hours=1))
    assert world.claim(later.attempt_id, now=ahead, clock=None) == Refused("not_due")
    over = world.accept(expires_at=now - timedelta(seconds=1))
    assert world.claim(over.attempt_id, now=behind, clock=None) == Refused("expired")
    due = world.accept(due_at=now - timedelta(seconds=1), expires_at=now + timedelta(seconds=100))
    claim = world.claim(due.attempt_id, now=behind, clock=None)
    assert isinstance(claim, Claimed)
    assert claim.deadline_at == claim.claimed_at + timedelta(seconds=25)
    ((age_s,),) = world.rows(
        "SELECT extract(epoch FROM now() - claimed_at)::float8 FROM attempts WHERE id = %s", due.attempt_id
    )
    assert 0 <= age_s < 60


def test_disabled_endpoints_are_not_used_and_enabled_ones_share(world: World) -> None:
    names = {f"share-{uuid4().hex[:8]}-{n}" for n in range(3)}
    for name in names:
        carriers.put_endpoint(world.db, carrier_id=world.carrier_id, gateway=name, address="127.0.0.1:5070")
    first = next(e for e in carriers.list_endpoints(world.db) if e.carrier_id == world.carrier_id and e.gateway not in names)
    carriers.put_endpoint(world.db, carrier_id=world.carrier_id, gateway=first.gateway, address=first.address, enabled=False)
    used = set()
    for _ in range(40):
        claimed = world.claim(world.accept().attempt_id)
        assert isinstance(claimed, Claimed)
        used.add(claimed.gateway)
    assert used == names


def test_a_gateway_this_switch_cannot_reach_comes_last(world: World) -> None:
    made = carriers.put_carrier(world.db, name=f"two-ways-{uuid4().hex[:8]}", max_channels=100, cps=10)
    for name in (up := f"up-{made.id.hex[-8:]}", down := f"down-{made.id.hex[-8:]}"):
        carriers.put_endpoint(world.db, carrier_id=made.id, gateway=name, address="127.0.0.1:5070")

    def used() -> set[str]:
        claims = [world.claim(world.accept().attempt_id, carrier_id=made.id) for _ in range(20)]
        return {claim.gateway for claim in claims if isinstance(claim, Claimed)}

    now = datetime.now(UTC)
    outcomes.gateway_seen(world.db, switch="another", gateway=up, up=False, ping_ms=None, now=now)
    assert used() == {up, down}
    outcomes.gateway_seen(world.db, switch="fs1", gateway=down, up=False, ping_ms=None, now=now)
    assert used() == {up}
    outcomes.gateway_seen(world.db, switch="fs1", gateway=up, up=False, ping_ms=None, now=now)
    assert used() == {up, down}  # the originate has the last word
    outcomes.gateway_seen(world.db, switch="fs1", gateway=down, up=True, ping_ms=1.0, now=now)
    assert used() == {down}


def test_unclaim_gives_back_what_was_not_sent(world: World) -> None:
    accepted = world.dialing()
    assert not attempts.unclaim(world.db, accepted.attempt_id, 99, at(2))
    assert attempts.unclaim(world.db, accepted.attempt_id, 1, at(2))
    assert not attempts.unclaim(world.db, accepted.attempt_id, 1, at(2))
    assert world.call(accepted.call.id).status == "queued"
    again = world.claim(accepted.attempt_id, fence=2, now=at(3))
    assert isinstance(again, Claimed)
    # The enterprise hears of the dial once, whatever happened between permit and wire.
    assert world.told(accepted.call.id) == [(1, "call.queued"), (2, "call.dialing")]
    assert world.logged(accepted.call.id) == ["call.queued", "attempt.claimed", "attempt.unclaimed", "attempt.claimed"]


def test_unclaim_refuses_once_the_switch_has_spoken(world: World) -> None:
    accepted = world.dialing()
    world.apply(world.seen(accepted.attempt_id, State.DIALING, 1.2))
    assert not attempts.unclaim(world.db, accepted.attempt_id, 1, at(2))
    assert world.attempt_list(accepted.call.id)[0].state == "dialing"


def test_unclaim_after_a_hangup_cancels(world: World) -> None:
    accepted = world.dialing()
    calls.request_hangup(world.db, world.tenant.id, accepted.call.id, "customer", at(1.5))
    assert attempts.unclaim(world.db, accepted.attempt_id, 1, at(2))
    call = world.call(accepted.call.id)
    assert (call.status, call.hangup_by) == ("canceled", "customer")
    assert commands.open_for_attempt(world.db, accepted.attempt_id) == []


def test_a_new_epoch_waits_for_claims_under_way(world: World) -> None:
    now = epoch.get(world.db)
    accepted = world.accept()
    with psycopg.connect(world.url) as claiming:
        # What claim() does first, in a transaction that is not over yet.
        claiming.execute("SELECT epoch FROM budget_epoch WHERE epoch = %s FOR SHARE", [now.epoch])
        bumped: list[int] = []
        leader = threading.Thread(target=lambda: bumped.append(epoch.bump(world.db, now.epoch, "run-2")))
        leader.start()
        wait_for(lambda: waits_for_lock(world.url))
        assert bumped == []
    leader.join(30)
    assert bumped == [now.epoch + 1]
    assert world.claim(accepted.attempt_id, epoch=now.epoch) == Refused("epoch")
    assert isinstance(world.claim(accepted.attempt_id, epoch=now.epoch + 1), Claimed)
    world.execute("UPDATE budget_epoch SET epoch = 0")


def test_a_claim_waits_for_a_new_epoch_under_way(world: World) -> None:
    accepted = world.accept()
    with psycopg.connect(world.url) as leader:
        leader.execute("UPDATE budget_epoch SET epoch = epoch + 1")
        found: list[object] = []
        claiming = threading.Thread(target=lambda: found.append(world.claim(accepted.attempt_id, epoch=0)))
        claiming.start()
        wait_for(lambda: found or waits_for_lock(world.url))
        assert found == []
    claiming.join(30)
    assert found == [Refused("epoch")]
    world.execute("UPDATE budget_epoch SET epoch = 0")


def test_epoch_moves_once(world: World) -> None:
    before = epoch.get(world.db)
    found = together(*[lambda: epoch.bump(world.db, before.epoch, "run")] * 4)
    assert [item for item in found if not isinstance(item, Exception)] == [before.epoch + 1]
    assert all(isinstance(item, epoch.EpochMoved) for item in found if isinstance(item, Exception))
    assert epoch.get(world.db).opened_at is None
    assert epoch.mark_open(world.db, before.epoch + 1, at(5))
    assert not epoch.mark_open(world.db, before.epoch, at(6))
    assert epoch.get(world.db) == epoch.Epoch(before.epoch + 1, at(5), "run", scripts=2)
    with pytest.raises(epoch.EpochMoved):
        epoch.bump(world.db, before.epoch, "run")
    world.execute("UPDATE budget_epoch SET epoch = 0")
