"""The watchdog: silence is a failure. Every state that waits has a deadline; when it passes, the switch is asked first.

Asking is a ``probe`` command for the controller of that switch. Only when the answer stays away too does the watchdog
itself write an end, as the weakest of all evidence: whatever better comes later corrects it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import gevent
import psycopg

from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from settings import Settings
from store import attempts, commands
from store.pool import Database, open_database

log = logging.getLogger(__name__)

#: Questions to the switch before the watchdog decides without it.
PROBES = 2
#: What it concludes from silence in each state.
CAUSE = {
    "dialing": "carrier_silence",
    "ringing": "ring_silence",
    "early": "ring_silence",
    "in_progress": "lost",
}
BATCH = 200


def rules(settings: Settings) -> RetryRules:
    """The retry policy's numbers, from settings."""
    return RetryRules.from_gaps(
        busy_s=settings.retry_busy_s,
        no_answer_s=settings.retry_no_answer_s,
        carrier_s=settings.retry_carrier_s,
        capacity_s=settings.retry_capacity_s,
    )


def sweep(db: Database, settings: Settings, now: datetime) -> int:
    """One look: questions for what is newly overdue, ends for what stayed silent, ends for what expired in the queue.

    Returns how many attempts it ended. Raises psycopg.Error when Postgres is away.
    """
    ends: list[Evidence] = []
    for row in attempts.list_overdue(db, now, BATCH):
        if row.probes < PROBES:
            commands.add(db, row.attempt_id, row.switch, "probe", "watchdog", {"state": row.state}, now=now)
            attempts.mark_probe(db, row.attempt_id, now + timedelta(seconds=settings.probe_grace_s))
            continue
        cause = CAUSE[row.state]
        log.warning("silent past its deadline", extra={"attempt": str(row.attempt_id), "state": row.state})
        ends.append(
            Evidence(
                row.attempt_id,
                f"watchdog:{row.attempt_id}",
                Source.WATCHDOG,
                State.ENDED,
                now,
                End(cause, now, ringing_at=row.ringing_at, early_at=row.early_at, answered_at=row.answered_at),
            )
        )
    ends += [
        Evidence(
            attempt,
            f"expired:{attempt}",
            Source.OPERATOR,
            State.ENDED,
            now,
            End("expired", now, local=True),
        )
        for attempt in attempts.list_expired(db, now, BATCH)
    ]
    if ends:
        attempts.apply_evidence(db, ends, rules=rules(settings), timers=settings, now=now)
    return len(ends)


def main(settings: Settings) -> None:
    """Runs until killed. Two at once are harmless: each end is one row with one key."""
    db = open_database(settings, "watchdog", cooperative=True)
    failing = False
    try:
        while True:
            try:
                sweep(db, settings, datetime.now(UTC))
                failing = False
            except (psycopg.Error, OSError) as error:
                if not failing:
                    log.warning("watchdog waits", extra={"error": str(error)})
                    failing = True
            gevent.sleep(settings.watchdog_interval_s)
    finally:
        db.close()
