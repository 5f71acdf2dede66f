"""The feeder: brings what Postgres holds into the lanes, keeps Redis' picture of limits and lanes true, and rebuilds the
budget when Redis has forgotten it. One leader at a time; a standby takes over when the leader's connection ends.

It writes no call state. Whatever it does may be done twice.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import gevent
import psycopg
from gevent.event import Event
from redis import Redis
from redis.exceptions import RedisError

from budget import epoch as budget_epoch
from budget import lanes, permits
from budget.connect import connect
from budget.push import push
from budget.scripts import WAKE_CHANNEL
from calls.lanes import parse_lane
from settings import Settings
from store import attempts, carriers, tenants
from store import epoch as store_epoch
from store.leader import Leader
from store.pool import Database, open_database

log = logging.getLogger(__name__)

#: s; limits, lanes and overdue pops are looked at this often, so a changed number acts within a second.
SYNC_S = 0.5


class Feeder:
    """One leader's work; :meth:`tick` does all that is due and returns."""

    def __init__(self, db: Database, redis: Redis, settings: Settings) -> None:
        self._db = db
        self._redis = redis
        self._settings = settings
        self._next_sync = 0.0
        self._next_audit = 0.0
        self._laned: dict[str, tuple[UUID, ...]] = {}

    def look_again(self) -> None:
        """The next tick reads limits and lanes whatever the time."""
        self._next_sync = 0.0

    def tick(self, now: datetime, monotonic: float) -> int:
        """Does what is due; returns how many attempts were pushed. Raises RedisError or psycopg.Error when one is away."""
        epoch = self.ensure_epoch(now)
        if monotonic >= self._next_sync:
            self.sync_limits()
            self.sync_lanes()
            self.give_back()
            self._next_sync = monotonic + SYNC_S
        pushed = self.feed(epoch, now)
        if monotonic >= self._next_audit:
            self.audit(epoch, now)
            self._next_audit = monotonic + self._settings.audit_interval_s
        return pushed

    def ensure_epoch(self, now: datetime) -> int:
        """The open epoch; when Redis has none, or not ours, the budget is rebuilt and a new one opened."""
        truth = store_epoch.get(self._db)
        opened = budget_epoch.opened(self._redis)
        if opened is not None and opened == truth.epoch and truth.opened_at is not None:
            return opened
        run_id = budget_epoch.run_id(self._redis)
        epoch = store_epoch.bump(self._db, truth.epoch, run_id)
        log.warning("rebuilding the budget", extra={"epoch": epoch, "redis": run_id, "had": opened})
        budget_epoch.wipe(self._redis)
        self.sync_limits()
        self._laned.clear()
        for live in attempts.list_live(self._db, None):
            if live.carrier_id is not None and live.fence is not None:
                lease = permits.Lease(live.attempt_id, live.fence, live.carrier_id, live.switch or "")
                permits.adopt(self._redis, self._settings, lease, live.lane)
        self._restore_lingers(now)
        holds = [(c.id, self._hold_us(c)) for c in carriers.list_limits(self._db)]
        budget_epoch.open_epoch(self._redis, epoch, run_id, holds)
        store_epoch.mark_open(self._db, epoch, now)
        self.sync_lanes()
        return epoch

    def _hold_us(self, carrier: carriers.CarrierLimits) -> int:
        """us; after a rebuild a carrier rests this long: its window, the jitter, and the last slot that may be out.

        A claim of the old epoch that was committed before the bump may still be written at its slot + G.
        """
        settings = self._settings
        jitter = settings.jitter_ms if carrier.jitter_ms is None else carrier.jitter_ms
        return int((carrier.window_ms + jitter + settings.slot_horizon_ms + settings.slot_grace_ms) * 1000)

    def _restore_lingers(self, now: datetime) -> None:
        """Channels of calls that have just ended and may still count at their carrier."""
        settings = self._settings
        own = {c.id: settings.linger_ms if c.linger_ms is None else c.linger_ms for c in carriers.list_limits(self._db)}
        longest = max([settings.sip_death_s, *(ms / 1000 for ms in own.values())])
        for row in attempts.list_lingering(self._db, now - timedelta(seconds=longest)):
            lasts = settings.sip_death_s if row.silent else own.get(row.carrier_id, settings.linger_ms) / 1000
            left = lasts - (now - row.ended_at).total_seconds()
            if left > 0:
                permits.linger(self._redis, row.carrier_id, row.attempt_id, row.fence, int(left * 1_000_000))

    def sync_limits(self) -> None:
        """Each carrier's numbers from Postgres into Redis."""
        for c in carriers.list_limits(self._db):
            jitter = self._settings.jitter_ms if c.jitter_ms is None else c.jitter_ms
            linger = self._settings.linger_ms if c.linger_ms is None else c.linger_ms
            lanes.set_limits(
                self._redis,
                c.id,
                max_channels=c.max_channels,
                interval=lanes.interval_us(float(c.cps), c.window_ms, jitter, c.invite_cost),
                linger_us=linger * 1000,
                paused=c.paused,
            )

    def sync_lanes(self) -> None:
        """Who may serve each lane. A lane that names no route or no tenant of ours is left out: nothing dials from it."""
        routes = {r.name: r.carriers for r in carriers.list_routes(self._db)}
        weights = {t.id: t.weight for t in tenants.list_tenants(self._db)}
        for name in lanes.known_lanes(self._redis):
            try:
                lane = parse_lane(name)
            except ValueError:
                continue
            serving = routes.get(lane.route)
            if serving and lane.tenant_id in weights:
                lanes.set_lane(
                    self._redis,
                    name,
                    tenant_id=lane.tenant_id,
                    priority=lane.priority,
                    weight=weights[lane.tenant_id],
                    carriers=serving,
                )

    def feed(self, epoch: int, now: datetime) -> int:
        """Due attempts that are in no lane of this epoch, oldest first."""
        items = attempts.list_unpushed(self._db, epoch, now, self._settings.feeder_batch)
        if not items:
            return 0
        unknown = {i.lane for i in items} - lanes.known_lanes(self._redis)
        pushed = push(self._redis, [(i.attempt_id, i.lane) for i in items])
        attempts.mark_pushed(self._db, [i.attempt_id for i in items], epoch, now)
        if unknown:
            self.sync_lanes()
        return pushed

    def give_back(self) -> None:
        """Attempts popped but not claimed by their deadline: Postgres says whether they were; if not, back to the front."""
        overdue = permits.overdue_pops(self._redis, permits.redis_now_us(self._redis), 200)
        if not overdue:
            return
        states = attempts.states(self._db, [attempt for attempt, _ in overdue])
        for attempt, fence in overdue:
            state = states.get(attempt)
            if state is not None and state.state == "queued":
                permits.requeue(self._redis, attempt, fence)
                log.info("popped and never claimed: back to its lane", extra={"attempt": str(attempt)})
            elif state is not None and state.state != "ended":
                permits.mark_claimed(self._redis, attempt, fence)
            else:
                permits.release(self._redis, attempt, fence, linger_us=0)

    def audit(self, epoch: int, now: datetime) -> None:
        """Rows that were pushed long ago, are still queued, and are in no lane: pushed again."""
        before = now - timedelta(seconds=self._settings.audit_interval_s)
        items = attempts.list_pushed(self._db, epoch, before, self._settings.feeder_batch)
        gone = set(lanes.missing(self._redis, [i.attempt_id for i in items]))
        if gone:
            log.warning("queued rows were in no lane", extra={"count": len(gone)})
            push(self._redis, [(i.attempt_id, i.lane) for i in items if i.attempt_id in gone])


def _watch(redis: Redis, woken: Event) -> None:
    """Sets ``woken`` when a lane appears that nobody has stated yet."""
    while True:
        try:
            with cast(Any, redis).pubsub(ignore_subscribe_messages=True) as channel:
                channel.subscribe(WAKE_CHANNEL)
                while True:
                    message = channel.get_message(timeout=1.0)
                    if message and message["data"] == b"lanes":
                        woken.set()
        except RedisError:
            gevent.sleep(0.5)


def main(settings: Settings) -> None:
    """Runs until killed: waits for leadership, then ticks. A server that is away is waited for, never given up on."""
    db = open_database(settings, "feeder", cooperative=True)
    redis = connect(settings)
    woken = Event()
    watcher = gevent.spawn(_watch, redis, woken)
    leader = Leader(settings.database_url, "feeder")
    feeder = Feeder(db, redis, settings)
    failing = False
    try:
        while True:
            try:
                if leader.held():
                    feeder.tick(datetime.now(UTC), time.monotonic())
                    failing = False
            except (RedisError, psycopg.Error, store_epoch.EpochMoved, OSError) as error:
                if not failing:
                    log.warning("feeder waits", extra={"error": str(error)})
                    failing = True
            woken.clear()
            if woken.wait(settings.feeder_interval_s):
                feeder.look_again()
    finally:
        watcher.kill()
        leader.close()
        db.close()
