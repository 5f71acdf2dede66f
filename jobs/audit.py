"""The audit: what no event will ever put right is looked for, a page at a time. Leases nobody will release, rows that are
in no lane, lanes that nobody uses any more.

Nothing is concluded from Redis alone: Postgres says what became of the attempt, and the fence whose lease it is.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from redis import Redis

from budget import lanes, permits
from budget.push import RESULT_TTL_S, push
from budget.tidy import tidy
from jobs.picture import lane_of
from jobs.rebuild import BATCH, counts_s
from settings import Settings
from store import attempts, carriers, laning, switches
from store.pool import Database
from store.queue import Fate, fates

log = logging.getLogger(__name__)

#: Pages (of ``feeder_batch``) looked at in one audit.
PAGES = 3
#: Lanes whose books are tidied in one audit.
TIDIED = 50
#: s; a switch not heard of for so long has no controller that would free its leases.
SWITCH_GONE_S = 60.0
#: s; a lane that was empty for so long is forgotten. Until then RQ keeps the results of what it held.
EMPTY_S = float(RESULT_TTL_S)


class Audit:
    """Remembers where the last look ended; a leader that takes over begins anew."""

    def __init__(self, db: Database, redis: Redis, settings: Settings) -> None:
        self._db = db
        self._redis = redis
        self._settings = settings
        self._epoch = -1
        self._after: attempts.LaneItem | None = None
        self._empty: dict[str, float] = {}
        self._tidied = ""  # the last lane whose books were tidied

    def look(self, epoch: int, now: datetime, monotonic: float) -> list[str]:
        """One audit; returns the lanes it has made Redis forget. Raises RedisError or psycopg.Error when one is away."""
        self.leases(now)
        self.rows(epoch, now)
        return self.lanes(monotonic, now)

    def rows(self, epoch: int, now: datetime) -> None:
        """Rows that were pushed a while ago, are still queued, and are nowhere: pushed again. The next look goes on."""
        if epoch != self._epoch:
            self._epoch, self._after = epoch, None
        # Written by a leader that did not know yet that its epoch was over.
        laning.forget_pushed(self._db, epoch, BATCH)
        before = now - timedelta(seconds=self._settings.audit_interval_s)
        limit = self._settings.feeder_batch * PAGES
        items = attempts.list_pushed(self._db, epoch, before, limit, self._after)
        self._after = items[-1] if len(items) == limit else None
        gone = lanes.missing(self._redis, [(i.attempt_id, i.lane) for i in items])
        if gone:
            log.warning("queued rows were in no lane", extra={"count": len(gone)})
            push(self._redis, gone)

    def leases(self, now: datetime) -> None:
        """Leases whose release was lost, with nobody left to repeat it."""
        known = {c.id: c for c in carriers.list_limits(self._db)}
        held = permits.leases(self._redis, known)
        now_us = permits.redis_now_us(self._redis)
        if not held:
            return
        states = fates(self._db, [lease.attempt_id for lease in held])
        alive = set(switches.live(self._db, now - timedelta(seconds=SWITCH_GONE_S)))
        for lease in held:
            fate = states.get(lease.attempt_id)
            if lease.popped:
                continue  # has its deadline: see Feeder.give_back
            if fate is not None and fate.state == "queued":
                self._unused(lease, now_us)
            elif (fate is None or fate.state == "ended") and lease.switch not in alive and lease.suspect(now_us):
                self._orphan(lease, fate, known.get(lease.carrier_id), now)

    def _unused(self, lease: permits.Lease, now_us: int) -> None:
        """Claimed, given back in Postgres, and not here: its controller died in between. A fence claims once only."""
        young = 0 <= now_us - lease.granted_us < self._settings.popped_deadline_s * 1_000_000
        if not young and permits.requeue(self._redis, lease.attempt_id, lease.fence):
            log.warning("queued, but leased: back to its lane", extra={"attempt": str(lease.attempt_id)})

    def _orphan(
        self, lease: permits.Lease, fate: Fate | None, carrier: carriers.CarrierLimits | None, now: datetime
    ) -> None:
        """Ended, on a switch whose controller is not coming back; the channel counts as long as its carrier may count it."""
        left = 0.0
        if fate is not None and fate.ended_at is not None and not fate.local:
            lasts = counts_s(self._settings, carrier, silent=fate.silent, crashed=fate.crashed)
            left = max(0.0, lasts - (now - fate.ended_at).total_seconds())
        if permits.release(self._redis, lease.attempt_id, lease.fence, linger_us=int(left * 1_000_000)):
            about = {"attempt": str(lease.attempt_id), "switch": lease.switch, "counts_s": round(left, 1)}
            log.warning("lease of a switch that is gone", extra=about)

    def lanes(self, monotonic: float, now: datetime) -> list[str]:
        """Lanes of ours that have long held nothing are forgotten; what comes later brings them back. Of some of the others,
        what killed workers left in RQ's books is removed.
        """
        known = sorted(name for name in lanes.known_lanes(self._redis) if lane_of(name) is not None)
        empty = lanes.empty_lanes(self._redis, known)
        self._empty = {name: self._empty.get(name, monotonic) for name in empty}
        old = [name for name, since in self._empty.items() if monotonic - since >= EMPTY_S]
        if old and lanes.prune(self._redis, old):
            log.info("empty lanes forgotten", extra={"count": len(old)})
        some = [name for name in known if name > self._tidied][:TIDIED]
        self._tidied = some[-1] if len(some) == TIDIED else ""
        tidy(self._redis, some, now.timestamp())
        return old
