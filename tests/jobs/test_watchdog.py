"""The watchdog on real Postgres: ask first, decide only when nobody answers, and let better evidence win."""

from __future__ import annotations

from calls.evidence import State
from jobs.watchdog import PROBES, sweep
from settings import Settings
from store import commands
from tests.store.conftest import World, at, settings_for


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
