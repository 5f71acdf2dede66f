"""Event and CDR of one attempt: both are kept, the event's word counts, a disagreement is written down and counted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from calls.evidence import Evidence, Source, State
from store import calls, witnesses
from store.trace import trace
from tests.store.conftest import World, at

Story = list[Evidence]


def cdr_of(world: World, seen: Evidence, **changes: Any) -> Evidence:
    """The record of the same channel, with changes."""
    assert seen.end is not None
    known = {name: getattr(seen.end, name) for name in seen.end.__dataclass_fields__ if name not in ("cause", "at")}
    cause = changes.pop("cause", seen.end.cause)
    key = f"cdr:{seen.attempt_id}"
    return world.ended(seen.attempt_id, cause, 20, key=key, source=Source.CDR, **{**known, **changes})


def told(world: World, call_id: UUID) -> dict[str, Any]:
    """What the enterprise sees of call and attempt."""
    (attempt,) = world.attempt_list(call_id)
    call = world.call(call_id)
    return {
        "call": (call.status, call.end_reason, call.sip_code, call.hangup_by, call.answered_at, call.ended_at),
        "attempt": (attempt.cause, attempt.sip_code, attempt.evidence, attempt.ringing_at, attempt.outcome),
    }


def contradictions(world: World, call_id: UUID) -> list[dict[str, Any]]:
    sql = "SELECT data FROM call_events WHERE call_id = %s AND type = 'attempt.contradiction'"
    return [row[0] for row in world.rows(sql, call_id)]


def play(world: World, order: Sequence[int], record: dict[str, Any]) -> UUID:
    """Ringing, hangup event and CDR of one attempt in that order, each in a transaction of its own."""
    made = world.dialing(max_attempts=1)
    event = world.busy(made.attempt_id, 20, ringing_at=at(5))
    story = [world.seen(made.attempt_id, State.RINGING, 5), event, cdr_of(world, event, **record)]
    for number in order:
        world.apply(story[number], seconds=21)
    return made.call.id


@pytest.mark.parametrize("order", [*itertools.permutations(range(3)), (1, 2, 1, 2, 0), (2, 2, 1, 1)])
def test_in_any_order_the_row_is_the_same(world: World, order: Sequence[int]) -> None:
    for record in ({}, {"cause": "CALL_REJECTED", "sip_code": 603, "sip_phrase": "Decline"}):
        assert told(world, play(world, order, record)) == {
            "call": ("busy", "busy", 486, "callee", None, at(20)),
            "attempt": ("USER_BUSY", 486, "event", at(5), "busy"),
        }


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (2, 1, 2, 1)])
def test_a_disagreement_is_written_down_once_with_both_sides(world: World, order: Sequence[int]) -> None:
    before = witnesses.totals(world.db)
    assert contradictions(world, play(world, order, {})) == []
    assert witnesses.totals(world.db) == before
    call_id = play(world, order, {"sip_code": 600, "cause": "NORMAL_CLEARING", "answered_at": at(6)})
    assert contradictions(world, call_id) == [
        {
            "differ": ["cause", "sip_code", "answered"],
            "event": {"cause": "USER_BUSY", "sip_code": 486, "answered": False},
            "cdr": {"cause": "NORMAL_CLEARING", "sip_code": 600, "answered": True},
        }
    ]
    found = witnesses.totals(world.db)
    assert (found.contradictions, found.latest_call) == (before.contradictions + 1, call_id)
    types = [(event.source, event.type) for event in calls.list_events(world.db, world.tenant.id, call_id)]
    assert {("event", "attempt.ended"), ("cdr", "attempt.ended")} <= set(types)


def test_the_trace_shows_it(world: World) -> None:
    agreed, disagreed = play(world, (1, 2), {}), play(world, (1, 2), {"sip_code": 600})
    assert "contradiction" not in "\n".join(map(str, trace(world.db, str(agreed))))
    lines = trace(world.db, str(disagreed))
    (line,) = [line for line in lines if line.what == "attempt.contradiction"]
    assert "differ=sip_code" in line.detail
    assert "cdr=(cause=USER_BUSY answered=False sip_code=600)" in line.detail
    assert lines[-1].what == "is busy"
    assert lines[-1].detail.endswith("contradictions=1")


def test_a_record_after_a_conclusion_corrects_it_and_contradicts_nobody(world: World) -> None:
    made = world.dialing(max_attempts=1)
    world.apply(world.ended(made.attempt_id, "carrier_silence", 30, source=Source.WATCHDOG), seconds=30)
    event = world.answered_end(made.attempt_id, 20, 6)
    world.apply(cdr_of(world, event), seconds=31)
    assert told(world, made.call.id)["call"][:2] == ("completed", "hangup")
    assert told(world, made.call.id)["attempt"][2] == "cdr"
    assert contradictions(world, made.call.id) == []


def test_strangers_are_counted_by_switch(world: World) -> None:
    before = witnesses.totals(world.db).strangers
    name = f"fs-{uuid4().hex}"
    for _ in range(2):
        witnesses.stranger(world.db, name, at(1))
    witnesses.stranger(world.db, "", at(2))
    witnesses.stranger(world.db, "\x00\ud800" + "x" * 99, at(2))
    assert witnesses.totals(world.db).strangers == before + 4
    assert world.rows("SELECT count, last_at FROM cdr_strangers WHERE switch = %s", name) == [(2, at(1))]
