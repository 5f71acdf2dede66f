"""A conclusion from a row that was read a moment ago counts only while the row is still the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from calls.evidence import Evidence, Source, State
from store import attempts
from store.attempts import Applied
from tests.store.conftest import RULES, TIMERS, World, at
from tests.store.test_evidence import shape


def test_a_conclusion_counts_only_while_the_row_is_as_it_was(world: World) -> None:
    accepted, other = world.dialing(), world.dialing()
    a = accepted.attempt_id
    world.apply(world.seen(a, State.RINGING, 2))
    (row,) = world.attempt_list(accepted.call.id)
    assert row.deadline_at is not None
    before = shape(world, accepted.call.id), world.told(accepted.call.id), world.logged(accepted.call.id)
    end = world.ended(a, "ring_silence", 60, source=Source.WATCHDOG, key="w")

    def conclude(*batch: Evidence, **changes: Any) -> list[Applied]:
        condition = attempts.Condition(**{"state": "ringing", "deadline_at": row.deadline_at, "probes": 0, **changes})
        return attempts.apply_evidence(
            world.db, batch, rules=RULES, timers=TIMERS, now=at(60), only_if={end.attempt_id: condition}
        )

    for changes in ({"state": "dialing"}, {"deadline_at": row.deadline_at + timedelta(microseconds=1)}, {"probes": 1}):
        # What stands beside it in the batch is an observation and counts.
        seen = world.seen(other.attempt_id, State.DIALING, 2)
        first, second = conclude(end, seen, **changes)
        assert {first.attempt_id: first.state, second.attempt_id: second.state} == {
            a: "ringing",
            other.attempt_id: "dialing",
        }
        assert not first.ended_now
        assert not second.ended_now
        after = shape(world, accepted.call.id), world.told(accepted.call.id), world.logged(accepted.call.id)
        assert after == before
    assert world.logged(other.call.id).count("attempt.dialing") == 3
    # Without a trace: the very same evidence is new when it is right.
    (applied,) = conclude(end)
    assert (applied.state, applied.ended_now) == ("ended", True)
    assert world.logged(accepted.call.id).count("attempt.ended") == 1
    (applied,) = conclude(end)
    assert (applied.state, applied.ended_now) == ("ended", False)
    (nobody,) = attempts.apply_evidence(
        world.db,
        [replace(end, attempt_id=(stranger := uuid4()))],
        rules=RULES,
        timers=TIMERS,
        now=at(60),
        only_if={stranger: attempts.Condition("queued")},
    )
    assert nobody.state is None


def test_a_conclusion_is_not_repeated_over_a_lost_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What speaks against it may have waited for Postgres as well, and comes after it."""
    accepted, tries = world.dialing(), []
    original = world.db.connection

    def losing(**how: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return original(**how)

    monkeypatch.setattr(world.db, "connection", losing)
    end = world.ended(accepted.attempt_id, "carrier_silence", 60, source=Source.WATCHDOG)
    with pytest.raises(psycopg.OperationalError):
        attempts.apply_evidence(
            world.db,
            [end],
            rules=RULES,
            timers=TIMERS,
            now=at(60),
            only_if={accepted.attempt_id: attempts.Condition("dialing")},
        )
    assert len(tries) == 1
    assert world.call(accepted.call.id).status == "dialing"
