"""The watchdog on real Postgres: ask first, decide only when nobody answers, and let better evidence win."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from calls.evidence import State
from jobs.watchdog import PROBES, sweep
from settings import Settings
from store import attempts, commands
from store.change import apply_in
from store.claim import _claim
from store.pool import Conn
from tests.store.conftest import RULES, TIMERS, World, at, settings_for
from tests.store.threads import results, together, wait_for, waits_for_lock


def options(world: World) -> Settings:
    return settings_for(world.url, probe_grace_s=3)


def silence(world: World, start_s: float) -> float:
    """Every look that the watchdog needs until it decides; returns the time of the last, in seconds after T0."""
    seconds = start_s
    for _ in range(PROBES + 1):
        sweep(world.db, options(world), at(seconds))
        seconds += 4
    return seconds


def test_nothing_is_asked_before_the_deadline(world: World) -> None:
    call = world.dialing()
    sweep(world.db, options(world), at(20))
    assert commands.open_for_attempt(world.db, call.attempt_id) == []
    assert world.call(call.call.id).status == "dialing"


def test_the_switch_is_asked_before_anything_is_concluded(world: World) -> None:
    call = world.dialing()
    sweep(world.db, options(world), at(27))
    (asked,) = commands.open_for_attempt(world.db, call.attempt_id)
    assert (asked.verb, asked.requested_by, asked.switch) == ("probe", "watchdog", "fs1")
    assert asked.args == {"state": "dialing", "deadline_at": at(1 + 25).isoformat()}
    assert world.call(call.call.id).status == "dialing"
    sweep(world.db, options(world), at(28))
    assert len(commands.open_for_attempt(world.db, call.attempt_id)) == 1


def test_a_silent_dial_ends_as_unknown_and_is_not_redialed(world: World) -> None:
    call = world.dialing()
    silence(world, 27)
    ended = world.call(call.call.id)
    assert (ended.status, ended.end_reason) == ("failed", "carrier_silence")
    (attempt,) = world.attempt_list(call.call.id)
    assert attempt.evidence == "watchdog"


def test_a_silent_ring_is_an_uncertain_no_answer(world: World) -> None:
    call = world.dialing(max_attempts=1)
    world.apply(world.seen(call.attempt_id, State.RINGING, 3))
    silence(world, 10 + 30 + 5 + 1)
    ended = world.call(call.call.id)
    assert (ended.status, ended.end_reason) == ("no_answer", "no_answer")
    assert world.attempt_list(call.call.id)[0].uncertain


def test_a_silent_talk_is_completed_with_its_end_unseen(world: World) -> None:
    call = world.dialing()
    world.apply(world.seen(call.attempt_id, State.IN_PROGRESS, 5))
    silence(world, 10 + 600 + 30 + 1)
    ended = world.call(call.call.id)
    assert (ended.status, ended.end_reason) == ("completed", "end_not_seen")


def test_a_late_hangup_event_corrects_the_watchdog(world: World) -> None:
    call = world.dialing(max_attempts=1)
    until = silence(world, 27)
    assert world.call(call.call.id).end_reason == "carrier_silence"
    world.apply(world.busy(call.attempt_id, 26, ringing_at=at(2)), seconds=until)
    ended = world.call(call.call.id)
    assert (ended.status, ended.end_reason) == ("busy", "busy")
    assert world.attempt_list(call.call.id)[0].evidence == "event"


def test_a_call_that_waits_too_long_expires(world: World) -> None:
    call = world.accept(expires_at=at(50))
    sweep(world.db, options(world), at(49))
    assert world.call(call.call.id).status == "queued"
    sweep(world.db, options(world), at(51))
    ended = world.call(call.call.id)
    assert (ended.status, ended.end_reason) == ("expired", "expired")
    assert world.told(call.call.id)[-1][1] == "call.expired"


def test_two_watchdogs_decide_once(world: World) -> None:
    call = world.dialing()
    for seconds in (27, 31, 35, 39):
        sweep(world.db, options(world), at(seconds))
        sweep(world.db, options(world), at(seconds))
    assert world.logged(call.call.id).count("attempt.ended") == 1
    assert [kind for _, kind in world.told(call.call.id)].count("call.failed") == 1


def between(world: World, call_id: UUID, seconds: float, happens: Callable[[Conn], object]) -> int:
    """A sweep that has read its rows, and waits for a call's lock while ``happens`` is done to the call and committed."""

    def meanwhile() -> int:
        with world.db.connection() as conn:
            conn.execute("SELECT 1 FROM calls WHERE id = %s FOR NO KEY UPDATE", [call_id])
            ready.append(1)
            wait_for(lambda: waits_for_lock(world.url))
            happens(conn)
        return 0

    def look() -> int:
        wait_for(lambda: ready)
        return sweep(world.db, options(world), at(seconds))

    ready: list[int] = []
    return sum(results(together(meanwhile, look)))


def test_a_call_claimed_at_the_last_moment_does_not_expire_under_the_phone_that_rings(world: World) -> None:
    call = world.accept(expires_at=at(50))
    params = {
        "attempt_id": call.attempt_id, "fence": 1, "epoch": 0, "switch": "fs1", "carrier_id": world.carrier_id,
        "now": at(49), "pdd_s": 25, "duty": None, "clock": at(49), "lab": False,
    }  # fmt: skip
    between(world, call.call.id, 51, lambda conn: _claim(conn, params))
    assert world.call(call.call.id).status == "dialing"
    (attempt,) = world.attempt_list(call.call.id)
    assert (attempt.state, attempt.fence) == ("dialing", 1)
    assert world.logged(call.call.id) == ["call.queued", "attempt.claimed"]
    assert [kind for _, kind in world.told(call.call.id)] == ["call.queued", "call.dialing"]


def test_an_answer_at_the_last_moment_is_not_ended_as_silence(world: World) -> None:
    call = world.dialing()
    world.apply(world.seen(call.attempt_id, State.RINGING, 3))
    for seconds in (46, 50):
        sweep(world.db, options(world), at(seconds))
    assert world.attempt_list(call.call.id)[0].probes == PROBES
    answer = world.seen(call.attempt_id, State.IN_PROGRESS, 53)
    assert (
        between(world, call.call.id, 54, lambda conn: apply_in(conn, [answer], rules=RULES, timers=TIMERS, now=at(53))) == 0
    )
    assert world.call(call.call.id).status == "in_progress"
    assert "attempt.ended" not in world.logged(call.call.id)
    assert [kind for _, kind in world.told(call.call.id)][-1] == "call.answered"
    # Its own silence, much later, is judged by itself.
    silence(world, 53 + 600 + 30 + 1)
    assert world.call(call.call.id).end_reason == "end_not_seen"


def test_what_a_controller_postponed_at_the_last_moment_goes_on(world: World) -> None:
    call = world.dialing()
    world.apply(world.seen(call.attempt_id, State.RINGING, 3))
    for seconds in (46, 50):
        sweep(world.db, options(world), at(seconds))
    (row,) = (item for item in attempts.list_overdue(world.db, at(54), 500) if item.attempt_id == call.attempt_id)
    assert row.probes == PROBES
    # Read before, written after: as between() does it, for a change that takes no lock of the call.
    original = attempts.list_overdue

    def then_postponed(*args: Any) -> list[attempts.Overdue]:
        rows = original(*args)
        assert attempts.postpone(world.db, call.attempt_id, at(54), TIMERS, state="ringing")
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempts, "list_overdue", then_postponed)
        sweep(world.db, options(world), at(54))
    assert world.call(call.call.id).status == "ringing"
    assert world.attempt_list(call.call.id)[0].deadline_at == at(54 + 30 + 5)


def test_a_dial_that_began_to_ring_is_not_asked_about_as_a_dial(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    call = world.dialing()
    original = attempts.list_overdue

    def then_it_rings(*args: Any) -> list[attempts.Overdue]:
        rows = original(*args)
        assert call.attempt_id in {row.attempt_id for row in rows}
        world.apply(world.seen(call.attempt_id, State.RINGING, 27), seconds=27)
        return rows

    monkeypatch.setattr(attempts, "list_overdue", then_it_rings)
    sweep(world.db, options(world), at(27))
    assert commands.open_for_attempt(world.db, call.attempt_id) == []
    (attempt,) = world.attempt_list(call.call.id)
    assert (attempt.probes, attempt.deadline_at) == (0, at(27 + 30 + 5))


def test_answered_with_alive_it_is_never_taken_for_silent(world: World) -> None:
    call = world.dialing()
    for seconds in range(27, 27 + 4 * 3 * (PROBES + 1), 4):
        sweep(world.db, options(world), at(seconds))
        (asked,) = commands.open_for_attempt(world.db, call.attempt_id)
        commands.finish(world.db, asked.id, "alive", at(seconds + 1))
    assert world.call(call.call.id).status == "dialing"
    # From then on nobody answers.
    silence(world, seconds + 4)
    assert world.call(call.call.id).end_reason == "carrier_silence"
