"""Deadlines and the times of retries are counted by the database's clock, whatever the host's says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from calls.evidence import State
from store import attempts
from store.queue import clock
from tests.store.conftest import RULES, TIMERS, World


def fresh(world: World) -> attempts.Claimed:
    now = datetime.now(UTC)
    accepted = world.accept(due_at=now - timedelta(seconds=1), expires_at=now + timedelta(hours=2))
    claim = world.claim(accepted.attempt_id, clock=None)
    assert isinstance(claim, attempts.Claimed)
    return claim


def test_a_deadline_runs_from_the_databases_now(world: World) -> None:
    claim, before = fresh(world), clock(world.db)
    (applied,) = attempts.apply_evidence(
        world.db, [world.seen(claim.attempt_id, State.RINGING, 2)], rules=RULES, timers=TIMERS
    )
    (attempt,) = world.attempt_list(claim.call_id)
    assert (applied.state, attempt.state) == ("ringing", "ringing")
    assert attempt.deadline_at is not None
    assert before <= attempt.deadline_at - timedelta(seconds=30 + TIMERS.ring_grace_s) <= clock(world.db)


def test_a_retry_is_due_after_its_gap_by_the_database(world: World) -> None:
    claim, before = fresh(world), clock(world.db)
    (applied,) = attempts.apply_evidence(world.db, [world.busy(claim.attempt_id, 5)], rules=RULES, timers=TIMERS)
    assert applied.retry is not None
    assert before <= applied.retry.due_at - timedelta(seconds=RULES.busy_gaps_s[0]) <= clock(world.db)


def test_what_concerns_nobody_needs_no_time(world: World) -> None:
    stranger = world.seen(world.tenant.id, State.RINGING, 2)
    assert attempts.apply_evidence(world.db, [stranger], rules=RULES, timers=TIMERS) == [
        attempts.Applied(world.tenant.id, None)
    ]
