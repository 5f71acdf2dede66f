"""The watchdog: silence is a failure. Every state that waits has a deadline; when it passes, the switch is asked first.

Asking is a ``probe`` command for the controller of that switch. Only when the answer stays away too does the watchdog
itself write an end, as the weakest of all evidence: whatever better comes later corrects it. Each of its ends is a
conclusion from a row that was read a moment ago, so it counts only if the locked row is still the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from calls import watch
from calls.evidence import Evidence, State
from calls.retry import RetryRules
from calls.watch import PROBES as PROBES
from crashpoint import crash_point
from jobs.stop import stop_on_signals
from settings import Settings
from store import attempts, audit, backlog, batches, calls, commands, decisions, request_keys, results
from store.attempts import Condition, Overdue
from store.failures import is_lost
from store.pool import Database, open_database
from store.queue import clock
from store.suppressions import SecondLook

log = logging.getLogger(__name__)

BATCH = 200
#: s beside the interval; without a successful look for longer, Postgres was away, and evidence waits in the controllers.
OUTAGE_S = 3.0
#: s; old idempotency keys are forgotten this often, at most FORGET_BATCH in one statement.
FORGET_EVERY_S = 300.0
FORGET_BATCH = 1000
#: What agents handed in is erased as often, at most so many results in one transaction.
ERASE_BATCH = 200
#: s; the head of the audit ledger goes to the log this often: there it proves that nothing was cut off since.
TELL_EVERY_S = 3600.0
#: Over the longest statement: what was suppressed is looked after when no claim is under way that has not seen it.
MARGIN = timedelta(seconds=2)
#: A key is kept longer than promised by this much: a web host's clock may be behind ours.
FORGET_MARGIN = timedelta(hours=1)


def sweep(db: Database, settings: Settings, now: datetime) -> int:
    """One look: ends for what stayed silent, for what expired in the queue and for some of what was canceled with a tenant's
    whole queue or a batch; questions for what is newly overdue.

    Returns how many attempts it ended. Raises psycopg.Error when Postgres is away.
    """
    overdue = attempts.list_overdue(db, now, BATCH)
    # The ends first: the less time between reading and concluding, the fewer conclusions are in vain.
    ended = _conclude(db, settings, [row for row in overdue if watch.may_conclude(row.probes)], now)
    for row in overdue:
        if not watch.may_conclude(row.probes):
            commands.ask(db, row, now, now + timedelta(seconds=settings.probe_grace_s))
            crash_point("watchdog.asked")
    ended += _over(db, settings, attempts.list_expired(db, now, BATCH), watch.expired, now)
    ended += _over(db, settings, attempts.list_condemned(db, settings.cancel_batch), watch.canceled, now)
    return ended + _over(db, settings, batches.list_condemned(db, settings.cancel_batch), watch.canceled, now)


def _conclude(db: Database, settings: Settings, silent: Sequence[Overdue], now: datetime) -> int:
    ends = [
        watch.silent(
            row.attempt_id,
            State(row.state),
            now,
            ringing_at=row.ringing_at,
            early_at=row.early_at,
            answered_at=row.answered_at,
        )
        for row in silent
    ]
    only_if = {row.attempt_id: Condition(row.state, row.deadline_at, row.probes) for row in silent}
    if ends:
        crash_point("watchdog.concluded")
    applied = attempts.apply_evidence(db, ends, rules=RetryRules.of(settings), timers=settings, now=now, only_if=only_if)
    for done in applied:
        if done.ended_now:
            state = only_if[done.attempt_id].state
            log.warning("silent past its deadline", extra={"attempt": str(done.attempt_id), "state": state})
    return sum(done.ended_now for done in applied)


def _over(
    db: Database,
    settings: Settings,
    queued: Sequence[UUID],
    end: Callable[[UUID, datetime], Evidence],
    now: datetime,
) -> int:
    # A claim may have come first: who is being rung is not expired any more.
    only_if = {attempt: Condition(State.QUEUED) for attempt in queued}
    rules, ends = RetryRules.of(settings), [end(attempt, now) for attempt in queued]
    applied = attempts.apply_evidence(db, ends, rules=rules, timers=settings, now=now, only_if=only_if)
    return sum(done.ended_now for done in applied)


class Watchdog:
    """One process's looks. It remembers when it last saw Postgres, and when old keys are due to be forgotten."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db, self._settings = db, settings
        self._looked: float | None = None  # monotonic; when Postgres last answered in a successful look
        self._suppressed = SecondLook(db, timedelta(milliseconds=settings.db_statement_timeout_ms) + MARGIN)
        self._failing: set[str] = set()  # books, told once
        self._forget_at = self._erase_at = self._tell_at = float("-inf")  # monotonic

    def look(self, now: datetime, clock: Callable[[], float] = time.monotonic) -> int:
        """:func:`sweep`; but the first look after an outage, or ever, gives all that is overdue ``probe_grace_s`` more.

        ``clock`` counts seconds since some moment. Returns how many attempts were ended. Raises psycopg.Error when
        Postgres is away.
        """
        longest = self._settings.watchdog_interval_s + OUTAGE_S
        if self._looked is None or clock() - self._looked > longest:
            moved = attempts.grant_grace(self._db, now + timedelta(seconds=self._settings.probe_grace_s))
            log.info("the first look, or the first after an outage", extra={"deadlines": moved})
        ended = sweep(self._db, self._settings, now)
        # The time after it: a look that takes long is no outage. And before the rest: it must not hold up a judgement.
        self._looked = clock()
        for name, keep in self._books(now, self._looked):
            self._keep(name, keep, clock)
        return ended

    def _books(self, now: datetime, looked: float) -> Iterator[tuple[str, Callable[[], object]]]:
        """What is to be kept beside the judgements, each bounded in what it does of it in one look."""
        # The feeder does it too, but not while Redis is away, and calls are accepted then as ever.
        yield "the queue's counts", lambda: backlog.fold(self._db)
        yield "what was suppressed", lambda: self._suppressed.look(now)
        yield "what was decided", lambda: decisions.record(self._db)
        yield "the audit ledger", lambda: audit.seal(self._db)
        if looked >= self._tell_at:
            yield "the audit head", lambda: self._tell(looked)
        if looked >= self._forget_at:
            yield "old keys", lambda: self._forget(now, looked)
        if looked >= self._erase_at:
            yield "what agents handed in", lambda: self._erase(now, looked)

    def _keep(self, name: str, keep: Callable[[], object], clock: Callable[[], float]) -> None:
        """One book. If it fails the others are kept all the same, unless it is Postgres that is away: that is raised."""
        try:
            keep()
            self._failing.discard(name)
        except (psycopg.Error, ValueError, LookupError, TypeError) as error:
            if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and is_lost(error):
                raise
            # Something there is not as it should be: that ends no call, and must not keep others from ending.
            if name not in self._failing:
                log.error("%s: not kept", name, extra={"error": str(error)}, exc_info=True)
                self._failing.add(name)
        # Postgres answered. However long a book takes, that is no outage.
        self._looked = clock()

    def _tell(self, looked: float) -> None:
        self._tell_at = looked + TELL_EVERY_S
        head = audit.head(self._db)
        if head is not None:
            log.info("audit head", extra={"head": str(head)})

    def _forget(self, now: datetime, looked: float) -> None:
        self._forget_at = looked + FORGET_EVERY_S
        before = now - timedelta(seconds=self._settings.idempotency_ttl_s) - FORGET_MARGIN
        forgotten = [forget(self._db, before, FORGET_BATCH) for forget in (calls.forget_keys, request_keys.forget)]
        if FORGET_BATCH in forgotten:
            self._forget_at = looked  # there may be more: at the next look

    def _erase(self, now: datetime, looked: float) -> None:
        self._erase_at = looked + FORGET_EVERY_S
        if erased := results.erase_due(self._db, now, ERASE_BATCH):
            log.info("results of agents were erased, their time is over", extra={"results": erased})
        if erased == ERASE_BATCH:
            self._erase_at = looked


def main(settings: Settings) -> None:
    """Runs until SIGTERM, and then to the end of its look. Two at once are harmless: each end is one row with one key."""
    stop = stop_on_signals()
    db = open_database(settings, "watchdog", cooperative=True)
    watchdog = Watchdog(db, settings)
    failing = False
    try:
        while not stop.is_set():
            try:
                watchdog.look(clock(db))
                failing = False
            except (psycopg.Error, OSError) as error:
                if not failing:
                    log.warning("watchdog waits", extra={"error": str(error)})
                    failing = True
            stop.wait(settings.watchdog_interval_s)
    finally:
        db.close()
