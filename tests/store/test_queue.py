"""What the feeder, the watchdog and reconcile are told."""

from __future__ import annotations

from uuid import UUID

from calls.evidence import State
from store import attempts, tenants
from tests.store.conftest import World, at


def mine(world: World, items: list[attempts.LaneItem]) -> list[UUID]:
    return [item.attempt_id for item in items if world.tenant.id.hex in item.lane]


def test_due_attempts_are_pushed_once_per_epoch(world: World) -> None:
    late, soon = world.accept(due_at=at(20)), world.accept(due_at=at(10))
    never = world.accept(due_at=at(1000))

    def unpushed(epoch: int, seconds: float, limit: int = 500) -> list[UUID]:
        return mine(world, attempts.list_unpushed(world.db, epoch, at(seconds), limit))

    assert unpushed(0, 5) == []
    assert unpushed(0, 30) == [soon.attempt_id, late.attempt_id]
    assert unpushed(0, 2000) == [soon.attempt_id, late.attempt_id, never.attempt_id]
    assert attempts.mark_pushed(world.db, [soon.attempt_id], 0, at(30)) == 1
    assert unpushed(0, 30) == [late.attempt_id]
    assert unpushed(1, 30) == [soon.attempt_id, late.attempt_id]
    attempts.mark_pushed(world.db, [soon.attempt_id, late.attempt_id], 1, at(40))
    assert unpushed(1, 50) == []
    pushed = mine(world, attempts.list_pushed(world.db, 1, at(41), 500))
    assert sorted(pushed) == sorted([soon.attempt_id, late.attempt_id])
    assert mine(world, attempts.list_pushed(world.db, 1, at(40), 500)) == []


def test_neither_claimed_nor_paused_nor_expired_attempts_are_pushed(world: World) -> None:
    claimed, expired, waiting = world.accept(), world.accept(expires_at=at(5)), world.accept()
    world.claim(claimed.attempt_id)
    assert mine(world, attempts.list_unpushed(world.db, 0, at(10), 500)) == [waiting.attempt_id]
    assert attempts.mark_pushed(world.db, [claimed.attempt_id], 0, at(1)) == 0
    tenants.set_paused(world.db, world.tenant.id, True)
    assert mine(world, attempts.list_unpushed(world.db, 0, at(10), 500)) == []
    assert expired.attempt_id in attempts.list_expired(world.db, at(10), 500)


def test_a_given_back_attempt_is_pushed_again(world: World) -> None:
    accepted = world.accept()
    attempts.mark_pushed(world.db, [accepted.attempt_id], 0, at(1))
    world.claim(accepted.attempt_id)
    attempts.unclaim(world.db, accepted.attempt_id, 1, at(2))
    assert mine(world, attempts.list_unpushed(world.db, 0, at(10), 500)) == [accepted.attempt_id]


def test_states_and_live_attempts(world: World) -> None:
    queued, dialing, ringing, ended = world.accept(), world.dialing(), world.dialing(), world.dialing()
    world.apply(world.seen(ringing.attempt_id, State.RINGING, 2), world.answered_end(ended.attempt_id, 9, 5))
    ids = [item.attempt_id for item in (queued, dialing, ringing, ended)]
    found = attempts.states(world.db, [*ids, world.tenant.id])
    assert {id_: state.state for id_, state in found.items()} == dict(
        zip(ids, ["queued", "dialing", "ringing", "ended"], strict=True)
    )
    assert found[dialing.attempt_id] == ("dialing", 1, 0)
    assert found[queued.attempt_id] == ("queued", None, None)
    live = [item for item in attempts.list_live(world.db, "fs1") if item.tenant_id == world.tenant.id]
    assert [(item.attempt_id, item.state, item.fence) for item in live] == [
        (dialing.attempt_id, "dialing", 1),
        (ringing.attempt_id, "ringing", 1),
    ]
    assert live[0].carrier_id == world.carrier_id
    assert {item.attempt_id for item in live} <= {item.attempt_id for item in attempts.list_live(world.db, None)}
    assert attempts.list_live(world.db, "other") == []


def test_silence_is_found_at_its_deadline_and_asked_about_once(world: World) -> None:
    accepted = world.dialing()  # claimed at 1 s, 25 s to the first 18x

    def overdue(seconds: float) -> list[attempts.Overdue]:
        found = attempts.list_overdue(world.db, at(seconds), 500)
        return [item for item in found if item.attempt_id == accepted.attempt_id]

    assert overdue(25.9) == []
    (silent,) = overdue(26)
    assert (silent.state, silent.probes, silent.switch, silent.fence) == ("dialing", 0, "fs1", 1)
    assert attempts.mark_probe(world.db, accepted.attempt_id, at(29))
    assert not attempts.mark_probe(world.db, accepted.attempt_id, at(29))
    assert overdue(28) == []
    assert [item.probes for item in overdue(29)] == [1]
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 27), seconds=30)
    assert overdue(64) == []
    assert [(item.state, item.probes) for item in overdue(65)] == [("ringing", 0)]
    world.apply(world.busy(accepted.attempt_id, 66), seconds=66)
    assert overdue(10_000) == []
    assert not attempts.mark_probe(world.db, accepted.attempt_id, at(70))
