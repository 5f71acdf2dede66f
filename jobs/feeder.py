"""The feeder: brings what Postgres holds into the lanes, keeps Redis' picture of limits and lanes true, and rebuilds the
budget when Redis has forgotten it. One leader at a time; a standby takes over when the leader's connection ends.

It writes no call state. Whatever it does may be done twice.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any, cast

import gevent
import psycopg
from gevent.event import Event
from redis import Redis
from redis.exceptions import RedisError

from budget import lanes, permits
from budget.connect import connect
from budget.epoch import Overtaken
from budget.leases import leased
from budget.push import push
from budget.scripts import WAKE_CHANNEL
from jobs.audit import Audit
from jobs.picture import sync_lanes, sync_limits
from jobs.rebuild import ensure_epoch
from settings import Settings
from store import attempts
from store.epoch import EpochMoved
from store.leader import Leader
from store.pool import Database, open_database

log = logging.getLogger(__name__)

#: s; limits, lanes and overdue pops are looked at this often, so a changed number acts within a second.
SYNC_S = 0.5
#: Somebody is away, or another leader is at work: the next look begins again.
WAITS = (RedisError, psycopg.Error, EpochMoved, Overtaken, OSError)


class Feeder:
    """One leader's work; :meth:`tick` does all that is due and returns."""

    def __init__(self, db: Database, redis: Redis, settings: Settings) -> None:
        self._db = db
        self._redis = redis
        self._settings = settings
        self._audit = Audit(db, redis, settings)
        self._next_sync = 0.0
        self._next_audit = 0.0

    def look_again(self) -> None:
        """The next tick reads limits and lanes whatever the time."""
        self._next_sync = 0.0

    def tick(self, now: datetime, monotonic: float) -> int:
        """Does what is due; returns how many attempts were pushed. Raises one of :data:`WAITS`."""
        epoch = ensure_epoch(self._db, self._redis, self._settings, now)
        if monotonic >= self._next_sync:
            sync_limits(self._db, self._redis, self._settings)
            sync_lanes(self._db, self._redis)
            self.give_back()
            self._next_sync = monotonic + SYNC_S
        pushed = self.feed(epoch, now)
        if monotonic >= self._next_audit:
            self._next_audit = monotonic + self._settings.audit_interval_s
            self._audit.look(epoch, now, monotonic)
        return pushed

    def feed(self, epoch: int, now: datetime) -> int:
        """Due attempts that are in no lane of this epoch, oldest first."""
        items = attempts.list_unpushed(self._db, epoch, now, self._settings.feeder_batch)
        if not items:
            return 0
        unknown = {i.lane for i in items} - lanes.known_lanes(self._redis)
        pushed = push(self._redis, [(i.attempt_id, i.lane) for i in items])
        # One that is still leased was not laned by this push (a refusal is giving it back): it stays due for the next look.
        ids = [i.attempt_id for i in items]
        under_way = leased(self._redis, ids) if pushed < len(items) else set()
        attempts.mark_pushed(self._db, [i for i in ids if i not in under_way], epoch, now)
        if unknown:
            sync_lanes(self._db, self._redis)
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
                out = state is not None and state.fence == fence
                permits.release(self._redis, attempt, fence, linger_us=None if out else 0)


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


class Turns:
    """Turn after turn of one process, leading or not. Nothing that one turn meets ends the process."""

    def __init__(self, feeder: Feeder, leader: Leader) -> None:
        self._feeder = feeder
        self._leader = leader
        self._failing = False

    def turn(self, now: datetime, monotonic: float) -> int:
        """A tick if we lead; returns how many attempts were pushed."""
        pushed = 0
        try:
            if self._leader.held():
                pushed = self._feeder.tick(now, monotonic)
                self._failing = False
        except WAITS as error:
            self._say("feeder waits", error)
        except (ValueError, LookupError, TypeError) as error:
            # Something in Redis or Postgres is not as it should be. The rest of the world goes on, and so do we.
            self._say("feeder met what it cannot read", error)
        return pushed

    def _say(self, what: str, error: Exception) -> None:
        if not self._failing:
            log.warning(what, extra={"error": str(error)}, exc_info=not isinstance(error, WAITS))
        self._failing = True


def main(settings: Settings) -> None:
    """Runs until killed: waits for leadership, then ticks. A server that is away is waited for, never given up on."""
    db = open_database(settings, "feeder", cooperative=True)
    redis = connect(settings)
    woken = Event()
    watcher = gevent.spawn(_watch, redis, woken)
    leader = Leader(settings.database_url, "feeder")
    feeder = Feeder(db, redis, settings)
    turns = Turns(feeder, leader)
    try:
        while True:
            turns.turn(datetime.now(UTC), time.monotonic())
            woken.clear()
            if woken.wait(settings.feeder_interval_s):
                feeder.look_again()
    finally:
        watcher.kill()
        leader.close()
        db.close()
