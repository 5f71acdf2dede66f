"""A call's window at the claim and in the backlog; what cannot be read; rows of the version before. On real Postgres."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from calls.evidence import State
from calls.retry import RetryRules
from store import attempts, calls
from store.attempts import Refused
from store.laning import Ask, refill
from store.reschedule import reschedule
from tests.store.conftest import World
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
    the_queued,
    waiting,
)


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
