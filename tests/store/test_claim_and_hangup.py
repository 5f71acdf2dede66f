"""A hangup beside a claim is never lost, whichever comes first."""

from __future__ import annotations

import threading
from functools import partial

import psycopg

from calls.evidence import State
from store import calls, commands
from store.attempts import Claimed, Refused
from store.calls import Hangup
from tests.store.conftest import World, at
from tests.store.threads import results, together, wait_for, waits_for_lock


def test_hangup_before_the_claim_wins(world: World) -> None:
    """The claim waits for the hangup's lock and then sees what it did."""
    accepted = world.accept()
    with psycopg.connect(world.url) as hangup:
        hangup.execute("SELECT 1 FROM calls WHERE id = %s FOR NO KEY UPDATE", [accepted.call.id])
        found: list[object] = []
        claiming = threading.Thread(target=lambda: found.append(world.claim(accepted.attempt_id)))
        claiming.start()
        wait_for(lambda: waits_for_lock(world.url))
        hangup.execute("UPDATE calls SET cancel_requested = true WHERE id = %s", [accepted.call.id])
    claiming.join(30)
    assert found == [Refused("canceled")]


def test_hangup_after_the_claim_becomes_a_command(world: World) -> None:
    """The hangup waits for the claim's lock and then asks the controller."""
    accepted = world.accept()
    with psycopg.connect(world.url) as claiming:
        claiming.execute("SELECT 1 FROM calls WHERE id = %s FOR NO KEY UPDATE", [accepted.call.id])
        found: list[Hangup] = []
        hangup = threading.Thread(
            target=lambda: found.append(calls.request_hangup(world.db, world.tenant.id, accepted.call.id, "customer", at(1)))
        )
        hangup.start()
        wait_for(lambda: waits_for_lock(world.url))
        claiming.execute(
            "UPDATE attempts SET state = 'dialing', switch = 'fs1', fence = 1, epoch = 0, claimed_at = now() WHERE id = %s",
            [accepted.attempt_id],
        )
    hangup.join(30)
    assert [item.kind for item in found] == ["requested"]
    (command,) = commands.open_for_attempt(world.db, accepted.attempt_id)
    assert (command.id, command.switch, command.verb) == (found[0].command_id, "fs1", "hangup")


def test_a_hangup_whose_end_is_heard_before_the_switchs_word_was_one(world: World) -> None:
    accepted = world.dialing()
    world.apply(world.seen(accepted.attempt_id, State.IN_PROGRESS, 5))
    asked = [
        calls.request_hangup(world.db, world.tenant.id, accepted.call.id, "customer", at(6), action=name) for name in "ab"
    ]
    world.apply(world.answered_end(accepted.attempt_id, 7, 5))

    def results() -> list[str | None]:
        return [one.result for one in commands.list_actions(world.db, world.tenant.id, accepted.call.id)]

    assert results() == ["ended", "ended"]
    first, _ = (one.command_id for one in asked)
    assert first is not None
    assert commands.finish(world.db, first, "killed", at(8))
    assert results() == ["killed", "ended"]
    assert not commands.finish(world.db, first, "ended", at(9)), "and nothing else comes after that"
    assert results() == ["killed", "ended"]


def test_hangup_racing_a_claim_is_never_lost(world: World) -> None:
    seen = set()
    for _ in range(25):
        accepted = world.accept()

        def hang(call_id: object = accepted.call.id) -> object:
            return calls.request_hangup(world.db, world.tenant.id, call_id, "customer", at(1))  # type: ignore[arg-type]

        claimed, hangup = results(together(partial(world.claim, accepted.attempt_id), hang))
        assert isinstance(hangup, Hangup)
        call = world.call(accepted.call.id)
        assert call.cancel_requested
        if isinstance(claimed, Claimed):
            assert hangup.kind == "requested"
            assert [command.id for command in commands.open_for_attempt(world.db, accepted.attempt_id)] == [
                hangup.command_id
            ]
        else:
            assert claimed == Refused("canceled")
            assert hangup.kind == "canceled"
            assert (call.status, call.end_reason, call.hangup_by) == ("canceled", "canceled", "customer")
        seen.add(hangup.kind)
    assert seen <= {"requested", "canceled"}


def test_a_repeated_hangup_changes_nothing(world: World) -> None:
    live = world.dialing()

    def hang(accepted: calls.Accepted, seconds: float) -> Hangup:
        return calls.request_hangup(world.db, world.tenant.id, accepted.call.id, "customer", at(seconds))

    first = hang(live, 2)
    assert first.kind == "requested"
    assert {item.command_id for item in results(together(*[lambda: hang(live, 3)] * 6))} == {first.command_id}
    waiting = world.accept()
    assert hang(waiting, 1).kind == "canceled"
    again = hang(waiting, 2)
    assert (again.kind, again.attempt_id) == ("already_ended", waiting.attempt_id)
    assert world.told(waiting.call.id) == [(1, "call.queued"), (2, "call.canceled")]


def test_no_retry_follows_a_hangup(world: World) -> None:
    live = world.dialing()
    calls.request_hangup(world.db, world.tenant.id, live.call.id, "customer", at(2))
    (applied,) = world.apply(world.busy(live.attempt_id, 3))
    assert applied.retry is None
    call = world.call(live.call.id)
    assert (call.status, call.cancel_requested) == ("canceled", True)
    assert commands.open_for_attempt(world.db, live.attempt_id) == []


def test_a_hangup_wakes_the_controller(world: World) -> None:
    live = world.dialing()
    with psycopg.connect(world.url, autocommit=True) as listener:
        listener.execute("LISTEN call_commands")
        calls.request_hangup(world.db, world.tenant.id, live.call.id, "customer", at(2))
        (notice,) = list(listener.notifies(timeout=20, stop_after=1))
    assert notice.payload == f"fs1 {live.attempt_id}"
