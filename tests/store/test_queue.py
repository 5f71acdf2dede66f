"""What the feeder, the watchdog and reconcile are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from calls.evidence import State
from store import attempts, carriers, commands
from tests.store.conftest import TIMERS, World, at


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
    pages = list(attempts.live_pages(world.db, "fs1", size=1))
    assert [item for page in pages for item in page] == attempts.list_live(world.db, "fs1")
    assert {len(page) for page in pages[:-1]} == {1}


def test_silence_is_found_at_its_deadline_and_asked_about_once(world: World) -> None:
    accepted = world.dialing()  # claimed at 1 s, 25 s to the first 18x

    def overdue(seconds: float) -> list[attempts.Overdue]:
        found = attempts.list_overdue(world.db, at(seconds), 500)
        return [item for item in found if item.attempt_id == accepted.attempt_id]

    assert overdue(25.9) == []
    (silent,) = overdue(26)
    assert (silent.state, silent.probes, silent.switch, silent.fence) == ("dialing", 0, "fs1", 1)
    assert commands.ask(world.db, silent, at(26), at(29)) is not None
    assert commands.ask(world.db, silent, at(26), at(29)) is None
    assert overdue(28) == []
    (asked,) = overdue(29)
    assert asked.probes == 1
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 27), seconds=30)
    assert overdue(64) == []
    assert [(item.state, item.probes) for item in overdue(65)] == [("ringing", 0)]
    world.apply(world.busy(accepted.attempt_id, 66), seconds=66)
    assert overdue(10_000) == []
    assert commands.ask(world.db, asked, at(70), at(73)) is None
    assert world.rows("SELECT count(*) FROM call_commands WHERE attempt_id = %s", accepted.attempt_id) == [(1,)]


def test_a_question_says_what_is_believed_and_is_not_asked_of_what_has_moved_on(world: World) -> None:
    accepted = world.dialing()

    def only() -> attempts.Overdue:
        (row,) = (item for item in attempts.list_overdue(world.db, at(500), 500) if item.attempt_id == accepted.attempt_id)
        return row

    first = only()
    asked = commands.ask(world.db, first, at(26), at(29))
    (command,) = commands.open_for_attempt(world.db, accepted.attempt_id)
    assert (command.id, command.verb, command.requested_by, command.switch) == (asked, "probe", "watchdog", "fs1")
    assert command.args == {"state": "dialing", "deadline_at": first.deadline_at.isoformat()}
    world.apply(world.seen(accepted.attempt_id, State.RINGING, 27), seconds=27)
    assert commands.ask(world.db, first, at(28), at(31)) is None
    assert only().probes == 0
    assert only().deadline_at == at(27 + 30 + 5)
    # Nobody has answered the first question; the next one says what is believed by then.
    second = only()
    assert commands.ask(world.db, second, at(62), at(65)) == asked
    (command,) = commands.open_for_attempt(world.db, accepted.attempt_id)
    assert command.args == {"state": "ringing", "deadline_at": second.deadline_at.isoformat()}


def test_an_answer_that_it_lives_takes_the_question_back(world: World) -> None:
    accepted = world.dialing()

    def probes() -> int:
        return world.attempt_list(accepted.call.id)[0].probes

    for result, left in (("absent", 1), ("killed", 2), ("alive", 0)):
        (row,) = (item for item in attempts.list_overdue(world.db, at(500), 500) if item.attempt_id == accepted.attempt_id)
        asked = commands.ask(world.db, row, at(500), at(500))
        assert asked is not None
        assert commands.finish(world.db, asked, result, at(500))
        assert probes() == left
        assert not commands.finish(world.db, asked, "alive", at(500))
        assert probes() == left


def test_postponed_by_what_the_state_may_last(world: World) -> None:
    """The same time again as the state was given when it began; the dial's is its carrier's own."""
    name = next(carrier.name for carrier in carriers.list_limits(world.db) if carrier.id == world.carrier_id)
    carriers.put_carrier(world.db, name=name, max_channels=1, cps=1, pdd_s=35)
    accepted = world.dialing()
    a = accepted.attempt_id

    def deadline() -> datetime | None:
        return world.attempt_list(accepted.call.id)[0].deadline_at

    assert deadline() == at(1 + 35)
    for state, entered in ((State.DIALING, 1), (State.EARLY, 40), (State.RINGING, 80), (State.IN_PROGRESS, 120)):
        if state is not State.DIALING:
            world.apply(world.seen(a, state, entered), seconds=entered)
        world.execute("UPDATE attempts SET probes = 2, deadline_at = deadline_at + interval '1 s' WHERE id = %s", a)
        before = deadline()
        assert before is not None
        assert not attempts.postpone(world.db, a, at(900), TIMERS, state="queued")
        assert not attempts.postpone(world.db, a, at(900), TIMERS, state="ended")
        # Never nearer than it was.
        assert attempts.postpone(world.db, a, at(entered), TIMERS, state=state)
        assert deadline() == before
        lasts = {State.DIALING: 35, State.IN_PROGRESS: 600 + 30}.get(state, 30 + 5)
        assert attempts.postpone(world.db, a, at(900 * entered), TIMERS)
        assert deadline() == at(900 * entered + lasts)
        assert world.attempt_list(accepted.call.id)[0].probes == 0
    world.apply(world.answered_end(a, 200, 120))
    assert not attempts.postpone(world.db, a, at(900), TIMERS)
    assert not attempts.postpone(world.db, world.accept().attempt_id, at(900), TIMERS)
    assert not attempts.postpone(world.db, world.tenant.id, at(900), TIMERS)


def test_grace_moves_every_deadline_that_would_pass_and_no_other(world: World) -> None:
    silent, talking, waiting = world.dialing(), world.dialing(), world.accept()
    world.apply(world.seen(talking.attempt_id, State.IN_PROGRESS, 5))
    world.execute("UPDATE attempts SET probes = 2 WHERE id = %s", silent.attempt_id)
    assert attempts.grant_grace(world.db, at(40)) >= 1
    rows = {row.id: row for call in (silent, talking, waiting) for row in world.attempt_list(call.call.id)}
    assert (rows[silent.attempt_id].deadline_at, rows[silent.attempt_id].probes) == (at(40), 0)
    assert rows[talking.attempt_id].deadline_at == at(10 + 600 + 30)
    assert rows[waiting.attempt_id].deadline_at is None


def test_a_clock_that_is_ahead_finds_nothing_before_its_time(world: World) -> None:
    now = datetime.now(UTC)
    soon, ahead = now + timedelta(seconds=100), now + timedelta(seconds=300)
    over, live = world.accept(expires_at=soon), world.dialing()
    world.execute("UPDATE attempts SET deadline_at = %s WHERE id = %s", soon, live.attempt_id)
    assert over.attempt_id not in attempts.list_expired(world.db, ahead, 500)
    assert live.attempt_id not in [item.attempt_id for item in attempts.list_overdue(world.db, ahead, 500)]
