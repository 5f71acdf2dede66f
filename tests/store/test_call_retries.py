"""A call's own rules at the end of an attempt, and its caps per day at the claim. On real Postgres."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import psycopg

from calls.retry import RetryRules
from store import attempts
from store.attempts import Claimed, Refused
from store.reschedule import AGAIN
from tests.store.conftest import T0, TIMERS, World
from tests.store.ruled import (
    DAY,
    LAST,
    NOON,
    OFFICE,
    claim,
    dialed,
    ended,
    ends,
    events,
    new_number,
    rules,
    the_queued,
    waiting,
)
from tests.store.threads import results, together, wait_for, waits_for_lock


def test_a_retry_waits_for_the_window_and_the_attempt_says_until_when(world: World) -> None:
    accepted = waiting(world, window=OFFICE, dial_until=LAST, retry=rules(busy_gaps_s=[60, 3600]))
    dialed(world, accepted.attempt_id, LAST)
    applied = ended(world, accepted.attempt_id, LAST + timedelta(seconds=20))
    assert applied.retry is not None
    morning = NOON.replace(hour=9) + DAY
    assert applied.retry.due_at == morning
    assert the_queued(world, accepted) == (morning, LAST + DAY, False)
    (told,) = events(world, accepted, "call.retry_scheduled")
    assert told["held_by"] == "window"
    dialed(world, applied.retry.attempt_id, morning)
    second = ended(world, applied.retry.attempt_id, morning + timedelta(seconds=20))
    assert second.retry is not None
    assert second.retry.due_at == morning + timedelta(seconds=3620)


def test_the_rules_kept_with_the_call_go_before_the_platforms(world: World) -> None:
    accepted = waiting(world, retry=rules(busy_gaps_s=[70, 80], carrier_gaps_s=[9]))
    dialed(world, accepted.attempt_id)
    moment = NOON + timedelta(seconds=20)
    platform = RetryRules(busy_gaps_s=(1,), carrier_gaps_s=(1,))
    first = ends(world, world.busy(accepted.attempt_id, (moment - T0).total_seconds()), moment, platform)
    assert first.retry is not None
    assert first.retry.due_at == moment + timedelta(seconds=70)
    dialed(world, first.retry.attempt_id, first.retry.due_at)
    moment = first.retry.due_at + timedelta(seconds=3)
    # A fault is the first of its kind; the busy end before it counts for the busy gaps alone.
    fault = world.ended(first.retry.attempt_id, "NORMAL_TEMPORARY_FAILURE", (moment - T0).total_seconds(), sip_code=503,
                        disposition="recv_refuse")  # fmt: skip
    second = ends(world, fault, moment, platform)
    assert second.retry is not None
    assert second.retry.due_at == moment + timedelta(seconds=9)


def test_ends_are_counted_once_however_often_a_batch_tells_of_them(world: World) -> None:
    accepted = waiting(world, retry=rules(busy_gaps_s=[60, 300, 900, 1800]), max_attempts=10)
    ids, moment = [accepted.attempt_id], NOON
    for _ in range(2):
        dialed(world, ids[-1], moment)
        retry = ended(world, ids[-1], moment + timedelta(seconds=5)).retry
        assert retry is not None
        ids.append(retry.attempt_id)
        moment = retry.due_at
    dialed(world, ids[2], moment)
    moment += timedelta(seconds=5)
    seconds = (moment - T0).total_seconds()
    batch = [world.busy(id_, seconds) for id_ in (ids[2], ids[0], ids[1], ids[2])]
    applied = attempts.apply_evidence(world.db, batch, rules=RetryRules(), timers=TIMERS, now=moment)
    (third,) = [one.retry for one in applied if one.retry is not None]
    assert third.due_at == moment + timedelta(seconds=900)


def test_an_unknown_outcome_is_dialed_again_only_where_the_call_says_so(world: World) -> None:
    for on_unknown in (False, True):
        accepted = waiting(world, retry=rules(on_unknown=on_unknown, no_answer_gaps_s=[10], crash_linger_s=200))
        dialed(world, accepted.attempt_id)
        moment = NOON + timedelta(seconds=90)
        applied = ended(world, accepted.attempt_id, moment, "lost")
        assert (applied.retry is not None) is on_unknown
        call = world.call(accepted.call.id)
        if applied.retry is None:
            assert (call.status, call.end_reason) == ("failed", "lost")
        else:
            assert applied.retry.due_at == moment + timedelta(seconds=230)
            assert call.attempt_count == 2


def test_whoever_refused_is_called_once_more_on_another_day_where_the_call_says_so(world: World) -> None:
    refused: dict[str, Any] = {
        "cause": "CALL_REJECTED",
        "sip_code": 603,
        "sip_phrase": "Decline",
        "disposition": "recv_refuse",
    }
    never = waiting(world)
    dialed(world, never.attempt_id)
    assert ended(world, never.attempt_id, NOON, **refused).retry is None
    once = waiting(world, retry=rules(on_declined=True))
    dialed(world, once.attempt_id)
    first = ended(world, once.attempt_id, NOON, **refused)
    assert first.retry is not None
    assert first.retry.due_at == NOON + DAY
    dialed(world, first.retry.attempt_id, NOON + DAY)
    assert ended(world, first.retry.attempt_id, NOON + DAY, **refused).retry is None
    assert world.call(once.call.id).end_reason == "declined"


# --- caps per day


def test_a_calls_own_dials_per_day(world: World) -> None:
    accepted = waiting(world, retry=rules(per_day=2, busy_gaps_s=[60]))
    dialed(world, accepted.attempt_id)
    first = ended(world, accepted.attempt_id, NOON + timedelta(seconds=5))
    assert first.retry is not None
    dialed(world, first.retry.attempt_id, first.retry.due_at)
    second = ended(world, first.retry.attempt_id, first.retry.due_at + timedelta(seconds=5))
    assert second.retry is not None
    midnight = NOON.replace(hour=0) + DAY
    assert second.retry.due_at == midnight
    # As if somebody had made it due today all the same: the claim counts for itself.
    world.execute("UPDATE attempts SET due_at = %s WHERE id = %s", NOON, second.retry.attempt_id)
    assert claim(world, second.retry.attempt_id, NOON.replace(hour=23)) == Refused("per_day")
    assert the_queued(world, accepted) == (midnight, None, False)
    assert events(world, accepted, "attempt.rescheduled") == [{"reason": "per_day", "due_at": midnight.isoformat()}]
    dialed(world, second.retry.attempt_id, midnight)


def test_what_reached_nobody_is_no_dial_of_the_day(world: World) -> None:
    accepted = waiting(world, retry=rules(per_day=1))
    dialed(world, accepted.attempt_id)
    moment = NOON + timedelta(seconds=5)
    full = ended(world, accepted.attempt_id, moment, "NORMAL_CIRCUIT_CONGESTION", sip_code=503, disposition="recv_refuse",
                 sip_phrase="Maximum calls in progress")  # fmt: skip
    assert full.retry is not None
    assert full.retry.due_at == moment + timedelta(seconds=2)
    assert world.call(accepted.call.id).attempt_count == 1
    dialed(world, full.retry.attempt_id, full.retry.due_at)


def test_a_numbers_dials_per_day_over_all_calls_of_the_tenant(world: World) -> None:
    number = new_number()
    first = waiting(world, to_number=number)  # has no cap itself, and is counted
    capped = [waiting(world, to_number=number, retry=rules(number_per_day=2, time_zone="Asia/Tokyo")) for _ in range(2)]
    other = waiting(world, retry=rules(number_per_day=2))
    dialed(world, first.attempt_id)
    dialed(world, capped[0].attempt_id)
    assert claim(world, capped[1].attempt_id, NOON) == Refused("number_per_day")
    dialed(world, other.attempt_id)
    tokyo = NOON.replace(hour=15)  # midnight there
    assert the_queued(world, capped[1]) == (tokyo, None, False)
    dialed(world, capped[1].attempt_id, tokyo)


def test_a_retry_reckons_with_the_other_calls_to_the_number(world: World) -> None:
    number = new_number()
    first, second = (waiting(world, to_number=number, retry=rules(number_per_day=2)) for _ in range(2))
    dialed(world, first.attempt_id)
    dialed(world, second.attempt_id)
    applied = ended(world, first.attempt_id, NOON + timedelta(seconds=5))
    assert applied.retry is not None
    assert applied.retry.due_at == NOON.replace(hour=0) + DAY
    (told,) = events(world, first, "call.retry_scheduled")
    assert told["held_by"] == "number_per_day"


def test_a_calls_own_dials_are_counted_once_for_its_number(world: World) -> None:
    accepted = waiting(world, retry=rules(number_per_day=2, busy_gaps_s=[60]))
    dialed(world, accepted.attempt_id)
    first = ended(world, accepted.attempt_id, NOON + timedelta(seconds=5))
    assert first.retry is not None
    assert first.retry.due_at == NOON + timedelta(seconds=65)
    dialed(world, first.retry.attempt_id, first.retry.due_at)
    second = ended(world, first.retry.attempt_id, first.retry.due_at + timedelta(seconds=5))
    assert second.retry is not None
    assert second.retry.due_at == NOON.replace(hour=0) + DAY


def test_what_is_refused_for_no_reason_found_again_comes_back_later_and_says_so(world: World) -> None:
    accepted = waiting(world, retry=rules(number_per_day=2, busy_gaps_s=[60]))
    dialed(world, accepted.attempt_id)
    first = ended(world, accepted.attempt_id, NOON + timedelta(seconds=5))
    assert first.retry is not None
    due_at = first.retry.due_at
    with psycopg.connect(world.url, autocommit=True) as conn:
        # A claim that counts what nobody else does: the call's own dials, twice.
        row = conn.execute("SELECT pg_get_functiondef('number_rang'::regproc)").fetchone()
        assert row is not None
        own = "c.id <> (SELECT call_id FROM attempts WHERE id = beside)"
        assert row[0].count(own) == 1
        conn.execute(row[0].replace(own, "true").encode())
        try:
            assert claim(world, first.retry.attempt_id, due_at) == Refused("number_per_day")
        finally:
            conn.execute(row[0].encode())
    later = due_at + AGAIN
    assert the_queued(world, accepted) == (later, None, False)
    assert world.call(accepted.call.id).due_at == later
    (told,) = events(world, accepted, "attempt.rescheduled")
    assert (told["reason"], told["due_at"]) == ("number_per_day", later.isoformat())
    assert "nothing against it was found" in told["note"]
    dialed(world, first.retry.attempt_id, later)


def test_a_claim_waits_for_another_of_the_same_number(world: World) -> None:
    """It has the number's turn before it counts, and so sees what the one before it did."""
    number = new_number()
    ours, other = (waiting(world, to_number=number, retry=rules(number_per_day=1)) for _ in range(2))
    with psycopg.connect(world.url) as claiming:
        claiming.execute(
            "SELECT number_rang(%s, %s, now() - interval '1 year', %s, '{}')", [world.tenant.id, number, other.attempt_id]
        )
        claiming.execute(
            "UPDATE attempts SET state = 'dialing', switch = 'fs1', fence = 1, epoch = 0, claimed_at = %s WHERE id = %s",
            [NOON, other.attempt_id],
        )
        found: list[object] = []
        second = threading.Thread(target=lambda: found.append(claim(world, ours.attempt_id, NOON)))
        second.start()
        wait_for(lambda: found or waits_for_lock(world.url))
        assert found == []
    second.join(30)
    assert found == [Refused("number_per_day")]


def test_racing_claims_of_many_calls_to_one_number_do_not_pass_its_cap(world: World) -> None:
    for _ in range(5):
        number = new_number()
        racing = [waiting(world, to_number=number, retry=rules(number_per_day=2)) for _ in range(6)]
        found = results(together(*[lambda a=a: claim(world, a.attempt_id, NOON) for a in racing]))
        assert sum(isinstance(one, Claimed) for one in found) == 2, found
        assert sum(one == Refused("number_per_day") for one in found) == 4, found
