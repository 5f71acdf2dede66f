"""A call's own rules where they bite: at the claim, at the end of an attempt, and in the backlog, on real Postgres."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from calls.evidence import Evidence, State
from calls.retry import RetryRules
from calls.windows import Window
from store import attempts, calls
from store.attempts import Claimed, Refused
from store.calls import Accepted
from store.laning import Ask, refill
from store.reschedule import reschedule
from tests.store.conftest import T0, TIMERS, World
from tests.store.threads import results, together, wait_for, waits_for_lock

#: Noon of a Wednesday, and the calls' numbers below are each a test's own.
NOON = T0.replace(minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
OFFICE = Window.read({"time_zone": "UTC", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:30"})
#: The last moment from which 25 s to ring and 30 s to answer end inside of it.
LAST = NOON.replace(hour=17, minute=29, second=5)
_numbers: Iterator[int] = iter(range(15_112_000_000, 15_113_000_000))


def new_number() -> str:
    return f"+49{next(_numbers)}"


def rules(**changes: Any) -> RetryRules:
    return RetryRules().with_(changes)


def waiting(world: World, **changes: Any) -> Accepted:
    """A call due at noon, for a week, to a number of its own."""
    given = {"to_number": new_number(), "due_at": NOON, "expires_at": NOON + 7 * DAY, "retry": rules(), **changes}
    return world.accept(**given)


def claim(world: World, attempt_id: UUID, moment: datetime, **changes: Any) -> Claimed | Refused:
    return world.claim(attempt_id, now=moment, clock=moment, **changes)


def dialed(world: World, attempt_id: UUID, moment: datetime = NOON) -> None:
    found = claim(world, attempt_id, moment)
    assert isinstance(found, Claimed), found


def ends(world: World, evidence: Evidence, moment: datetime, platform: RetryRules | None = None) -> attempts.Applied:
    (applied,) = attempts.apply_evidence(world.db, [evidence], rules=platform or RetryRules(), timers=TIMERS, now=moment)
    return applied


def ended(world: World, attempt_id: UUID, moment: datetime, cause: str = "USER_BUSY", **known: Any) -> attempts.Applied:
    if cause == "USER_BUSY":
        known |= {"sip_code": 486, "sip_phrase": "Busy Here", "disposition": "recv_refuse"}
    seconds = (moment - T0).total_seconds()
    return ends(world, world.ended(attempt_id, cause, seconds, **known), moment)


def the_queued(world: World, accepted: Accepted) -> Any:
    """due_at, dial_until, in a lane, of the call's queued attempt."""
    ((due_at, until, laned),) = world.rows(
        "SELECT due_at, dial_until, pushed_epoch IS NOT NULL FROM attempts WHERE call_id = %s AND state = 'queued'",
        accepted.call.id,
    )
    return due_at, until, laned


def events(world: World, accepted: Accepted, kind: str) -> list[Any]:
    return [row[0] for row in world.rows(
        "SELECT data FROM call_events WHERE call_id = %s AND type = %s ORDER BY id", accepted.call.id, kind
    )]  # fmt: skip


# --- the window


def test_a_claim_is_refused_where_the_ring_would_not_end_inside(world: World) -> None:
    late = waiting(world, window=OFFICE, dial_until=LAST)
    attempts.mark_pushed(world.db, [late.attempt_id], 0, NOON)
    assert claim(world, late.attempt_id, LAST + timedelta(microseconds=1)) == Refused("window")
    morning = NOON.replace(hour=9) + DAY
    # Back in the backlog, for the next morning, once, and everybody is told why.
    assert the_queued(world, late) == (morning, LAST + DAY, False)
    assert world.call(late.call.id).due_at == morning
    assert events(world, late, "attempt.rescheduled") == [{"reason": "window", "due_at": morning.isoformat()}]
    assert claim(world, late.attempt_id, morning - timedelta(microseconds=1)) == Refused("not_due")
    dialed(world, late.attempt_id, morning)
    at_last = waiting(world, window=OFFICE, dial_until=LAST)
    dialed(world, at_last.attempt_id, LAST)


@pytest.mark.parametrize("until", [None, NOON + 5 * DAY])
def test_the_rule_itself_is_asked_whatever_was_worked_out_before(world: World, until: datetime | None) -> None:
    """A version that knows nothing of windows wrote the attempt, or the zone's rules have changed since."""
    accepted = waiting(world, window=OFFICE, dial_until=until)
    evening = NOON.replace(hour=20)
    assert claim(world, accepted.attempt_id, evening) == Refused("window")
    ((state, switch, claimed_at),) = world.rows(
        "SELECT state, switch, claimed_at FROM attempts WHERE id = %s", accepted.attempt_id
    )
    assert (state, switch, claimed_at) == ("queued", None, None)
    assert world.call(accepted.call.id).status == "queued"
    assert world.told(accepted.call.id) == [(1, "call.queued")]
    assert the_queued(world, accepted) == (NOON.replace(hour=9) + DAY, LAST + DAY, False)


def test_the_statement_itself_refuses_what_is_past_its_time(world: World) -> None:
    """Also where nothing else speaks against it; and then it is put right."""
    accepted = waiting(world, dial_until=NOON)
    dialed(world, waiting(world, dial_until=NOON).attempt_id)
    assert claim(world, accepted.attempt_id, NOON + timedelta(microseconds=1)) == Refused("window")
    assert the_queued(world, accepted) == (NOON, None, False)
    assert events(world, accepted, "attempt.rescheduled") == []
    dialed(world, accepted.attempt_id, NOON + timedelta(seconds=1))


def test_a_carrier_that_takes_longer_to_ring_is_reckoned_with(world: World) -> None:
    """Its PDD is known at the claim alone. What it cannot ring out is not offered to it again and again."""
    accepted = waiting(world, window=OFFICE, dial_until=LAST)
    assert claim(world, accepted.attempt_id, LAST, pdd_s=35) == Refused("window")
    assert the_queued(world, accepted) == (NOON.replace(hour=9) + DAY, LAST + DAY - timedelta(seconds=10), False)


def test_what_no_window_serves_before_it_expires_ends_at_once_and_says_so(world: World) -> None:
    friday = NOON + 2 * DAY
    accepted = waiting(world, window=OFFICE, due_at=friday, expires_at=friday + 2 * DAY, dial_until=None)
    assert claim(world, accepted.attempt_id, friday.replace(hour=18)) == Refused("window")
    call = world.call(accepted.call.id)
    assert (call.status, call.end_reason) == ("expired", "expired")
    assert world.told(call.id)[-1] == (2, "call.expired")
    (attempt,) = world.attempt_list(call.id)
    assert attempt.note == "window leaves no moment for a dial before expires_at"


@pytest.mark.parametrize(
    ("column", "stored", "says"),
    [
        ("dial_window", {"time_zone": "Mars/Base", "days": ["wed"], "from": "00:00", "to": "24:00"}, "time_zone"),
        ("dial_window", {"days": ["wed"], "from": "00:00", "to": "24:00"}, "time_zone"),
        ("dial_window", {}, "window"),
        ("dial_window", {"time_zone": "UTC", "days": [], "from": "00:00", "to": "24:00"}, "days"),
        ("dial_window", {"time_zone": "UTC", "days": ["wed"], "from": "00:00", "to": "24:00", "but": "x"}, "window"),
        ("retry", {"per_day": "many"}, "per_day"),
        ("retry", {"busy_gaps_s": []}, "busy_gaps_s"),
    ],
)
def test_what_cannot_be_read_is_never_dialed(world: World, column: str, stored: object, says: str) -> None:
    accepted, live = waiting(world), waiting(world)
    dialed(world, live.attempt_id)
    world.execute(f"UPDATE calls SET {column} = %s WHERE id = ANY(%s)", json.dumps(stored), [accepted.call.id, live.call.id])
    assert claim(world, accepted.attempt_id, NOON) == Refused("unreadable")
    assert ended(world, live.attempt_id, NOON + timedelta(seconds=9)).retry is None
    for one in (accepted, live):
        call = world.call(one.call.id)
        assert (call.status, call.end_reason) == ("blocked", "blocked")
        assert world.told(call.id)[-1][1] == "call.blocked"
    (attempt,) = world.attempt_list(accepted.call.id)
    assert attempt.note is not None
    assert says in attempt.note
    (attempt,) = world.attempt_list(live.call.id)
    assert attempt.decided is not None
    assert says in attempt.decided


def test_postgres_keeps_no_window_that_is_no_object(world: World) -> None:
    accepted = waiting(world)
    for column in ("dial_window", "retry"):
        with pytest.raises(psycopg.errors.CheckViolation):
            world.execute(f"UPDATE calls SET {column} = 'null' WHERE id = %s", accepted.call.id)


def test_what_waited_past_its_window_is_moved_in_the_backlog_and_keeps_its_order(world: World) -> None:
    old = [waiting(world, window=OFFICE, dial_until=LAST) for _ in range(3)]
    free = waiting(world)
    lane, evening = old[0].lane, NOON.replace(hour=20)
    ours = {one.attempt_id for one in (*old, free)}

    def found(clock: datetime) -> list[tuple[UUID, bool]]:
        return [(r.attempt_id, r.closed) for r in refill(world.db, [Ask(lane, 1000)], clock=clock) if r.attempt_id in ours]

    assert found(evening) == [*((one.attempt_id, True) for one in old), (free.attempt_id, False)]
    closed = [one.attempt_id for one in old]
    assert reschedule(world.db, closed, pdd_s=25, now=evening, clock=evening) == 0
    assert found(evening) == [(free.attempt_id, False)]
    morning = NOON.replace(hour=9) + DAY
    assert [row for row in found(morning) if row[0] in closed] == [(one, False) for one in closed]


def test_rescheduling_touches_nothing_that_is_out_or_over(world: World) -> None:
    live, over = waiting(world, window=OFFICE), waiting(world, window=OFFICE)
    dialed(world, live.attempt_id)
    calls.request_hangup(world.db, world.tenant.id, over.call.id, "customer", NOON)
    before = [world.attempt_list(one.call.id) for one in (live, over)]
    evening = NOON.replace(hour=20)
    assert reschedule(world.db, [live.attempt_id, over.attempt_id, uuid4()], pdd_s=25, now=evening, clock=evening) == 0
    assert [world.attempt_list(one.call.id) for one in (live, over)] == before


# --- the end of an attempt


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


# --- beside the version before


def test_rows_of_the_version_before_go_by_the_platforms_rules(world: World) -> None:
    """What its processes write while ours run: no rules, no window, and retries that do not say until when."""
    call_id, attempt_id = uuid4(), uuid4()
    lane = waiting(world).lane
    world.execute(
        "INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, priority, route, lane, status, status_at,"
        " max_attempts, ring_timeout_s, max_duration_s, due_at, expires_at, metadata, agent_variables, client_reference,"
        " webhook_url, sequence, created_at) VALUES (%s, %s, %s, %s, '+493012345678', 'normal', 'all', %s, 'queued', %s,"
        " 3, 30, 600, %s, %s, '{}', '{}', NULL, NULL, 1, %s)",
        call_id, world.tenant.id, world.agent_id, new_number(), lane, NOON, NOON, NOON + DAY, NOON,
    )  # fmt: skip
    world.execute(
        "INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)"
        " SELECT id, call_id, number, lane, due_at, created_at FROM jsonb_populate_recordset(NULL::attempts, %s)",
        json.dumps([{"id": str(attempt_id), "call_id": str(call_id), "number": 1, "lane": lane, "due_at": NOON.isoformat(),
                     "created_at": NOON.isoformat()}]),
    )  # fmt: skip
    dialed(world, attempt_id)
    world.apply(world.seen(attempt_id, State.RINGING, 2))
    moment = NOON + timedelta(seconds=40)
    applied = ends(world, world.busy(attempt_id, 40), moment, RetryRules(busy_gaps_s=(33,)))
    assert applied.retry is not None
    assert applied.retry.due_at == moment + timedelta(seconds=33)
    assert (world.call(call_id).retry, world.call(call_id).dial_window) == (None, None)
