"""The feeder: keeps lanes filled from the backlog in Postgres, keeps Redis' picture of limits and lanes true, and rebuilds
the budget when Redis has forgotten it. One leader at a time; a standby takes over when the leader's connection ends.

It writes no call state. Whatever it does may be done twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import gevent
import psycopg
from gevent.event import Event
from redis import Redis
from redis.exceptions import RedisError

from budget import lanes, permits, scopes
from budget.connect import connect
from budget.epoch import Overtaken
from budget.scripts import WAKE_CHANNEL
from jobs.audit import Audit
from jobs.picture import Picture, Written, lane_of, nameable, read, state_lanes, state_limits
from jobs.rebuild import ensure_epoch
from jobs.refill import Refill
from jobs.stop import stop_on_signals
from jobs.version import STAND_BACK_S, OtherScripts
from settings import Settings
from store import attempts, backlog, laning, switches
from store.epoch import EpochMoved
from store.leader import Leader
from store.listen import listen
from store.pool import Database, open_database

log = logging.getLogger(__name__)

#: s; overdue pops and counts are looked at this often.
SYNC_S = 0.5
#: s; limits, routes and tenants are read this often even if nobody tells of a change.
PICTURE_S = 1.0
#: s; every limit and lane is stated this often even if nothing about it has changed: plain RQ may have put work there.
LANES_S = 5.0
#: s; what wakes the feeder within this time is looked at together.
GATHER_S = 0.01
#: A look with nothing left to do is followed by so many times its own duration of rest, but not by more than REST_S (s) or
#: the interval, unless somebody wakes the feeder.
IDLE_SHARE, REST_S = 4, 1.0
#: Calls of a resumed agent brought back into the backlog by one look.
RELEASED = 2000
#: Somebody is away, or another leader is at work: the next look begins again.
WAITS = (RedisError, psycopg.Error, EpochMoved, Overtaken, OSError)


class Feeder:
    """One leader's work; :meth:`tick` does all that is due and returns."""

    def __init__(self, db: Database, redis: Redis, settings: Settings) -> None:
        self._db = db
        self._redis = redis
        self._settings = settings
        self._audit = Audit(db, redis, settings)
        self._refill = Refill(db, redis, settings)
        self._picture: Picture | None = None
        self._stated: frozenset[str] | None = None  # scopes; None: another leader's, unknown to us
        self._written: Written = {}  # limits, by us, in this epoch
        self._lanes: set[str] = set()  # stated
        self._epoch = -1
        self._marks: dict[UUID, datetime] = {}  # canceled queues whose lanes were emptied
        self._next_sync = self._next_picture = self._next_limits = self._next_lanes = self._next_audit = 0.0
        #: s; how long nothing is to be done unless somebody wakes the feeder, and how long the last look took.
        self.rest_s = self.took_s = 0.0

    def look_again(self) -> None:
        """The next tick reads limits, routes and tenants whatever the time."""
        self._next_sync = self._next_picture = 0.0

    def forget(self) -> None:
        """Another may lead: what we know of Redis will be out of date when we lead again. Until then nothing is urgent."""
        self._audit = Audit(self._db, self._redis, self._settings)
        self._picture = self._stated = None
        self._epoch, self._written, self._lanes, self._marks = -1, {}, set(), {}
        self.rest_s = self._settings.feeder_interval_s

    def tick(self, now: datetime, monotonic: float) -> int:
        """Does what is due; returns how many attempts were brought into lanes. Raises one of :data:`WAITS`."""
        began, idle_s = time.monotonic(), self._settings.feeder_interval_s
        self.rest_s = idle_s
        epoch = ensure_epoch(self._db, self._redis, self._settings, now)
        picture = self._picture
        if picture is None or epoch != self._epoch or monotonic >= self._next_sync:
            self._next_sync = monotonic + SYNC_S
            if epoch != self._epoch:
                self._epoch, self._written, self._lanes = epoch, {}, set()
                self._next_picture = monotonic
            picture = self.sync(monotonic)
        brought = self._refill.feed(picture, epoch, now)
        if brought.lanes - self._lanes:
            self._state_lanes(picture)
        if monotonic >= self._next_audit:
            self._next_audit = monotonic + self._settings.audit_interval_s
            self._lanes.difference_update(self._audit.look(epoch, now, monotonic))
        due_s = 0.0 if brought.more else laning.next_due_s(self._db)
        self.took_s = time.monotonic() - began
        idle_s = max(idle_s, min(IDLE_SHARE * self.took_s, REST_S))
        self.rest_s = idle_s if due_s is None else min(due_s, idle_s)
        return brought.pushed

    def sync(self, monotonic: float) -> Picture:
        """Redis' picture made as Postgres has it; what nobody else puts right is put right."""
        self.give_back()
        if laning.release_held(self._db, RELEASED) >= RELEASED:
            self._next_sync = monotonic  # there may be more of it
        picture = self._picture
        if picture is None or monotonic >= self._next_picture:
            self._next_picture = monotonic + PICTURE_S
            picture = self._look_at_limits(monotonic)
        if scopes.sweep(self._redis):
            log.info("lanes waited for a scope that had room")
        backlog.fold(self._db)
        return picture

    def _look_at_limits(self, monotonic: float) -> Picture:
        before, picture = self._picture, read(self._db)
        known = self._stated
        if known is None:
            ever = switches.live(self._db, datetime.min.replace(tzinfo=UTC))
            known = frozenset(nameable(picture, lanes.known_lanes(self._redis), ever))
        if monotonic >= self._next_limits:
            self._next_limits = monotonic + LANES_S
            self._written = {}
        self._stated = state_limits(self._redis, picture, self._settings, known, self._written)
        self._picture = picture
        if picture != before or monotonic >= self._next_lanes:
            self._next_lanes = monotonic + LANES_S
            self._lanes = set()
        self._state_lanes(picture)
        self.drop_canceled(picture)
        return picture

    def _state_lanes(self, picture: Picture) -> None:
        """Those that have not been stated since something about lanes changed."""
        known = lanes.known_lanes(self._redis)
        state_lanes(self._redis, picture, self._settings, known - self._lanes)
        self._lanes = known

    def drop_canceled(self, picture: Picture) -> None:
        """The lanes of a tenant that has just canceled its whole queue are emptied: no slot is spent on what waits there.

        In this order: what is thrown out counts as laned until then, so nobody brings it back in between. What came after
        the mark is brought again by the next refill.
        """
        marks = picture.marks()
        fresh = {tenant for tenant, mark in marks.items() if self._marks.get(tenant) != mark}
        if fresh:
            theirs = [name for name in lanes.known_lanes(self._redis) if (lane := lane_of(name)) and lane.tenant_id in fresh]
            dropped = lanes.drop_waiting(self._redis, theirs)
            laning.unlane(self._db, theirs)
            log.info("canceled queues", extra={"tenants": len(fresh), "dropped": dropped})
        self._marks = marks

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
                permits.mark_claimed(self._redis, attempt, fence, acknowledged=False)
            else:
                out = state is not None and state.fence == fence
                permits.release(self._redis, attempt, fence, linger_us=None if out else 0)


class Turns:
    """Turn after turn of one process, leading or not. Nothing that one turn meets ends the process."""

    def __init__(self, feeder: Feeder, leader: Leader) -> None:
        self._feeder = feeder
        self._leader = leader
        self._failing = False
        self._back_at = 0.0  # monotonic

    def turn(self, now: datetime, monotonic: float) -> int:
        """A tick if we lead; returns how many attempts were pushed."""
        pushed = 0
        try:
            if monotonic >= self._back_at and self._leader.held():
                pushed = self._feeder.tick(now, monotonic)
                self._failing = False
            else:
                self._feeder.forget()
        except OtherScripts as error:
            # One of the newer version is to lead, and feed its controllers.
            self._say("feeder stands back", error)
            self._back_at = monotonic + STAND_BACK_S
            self._leader.close()
            self._feeder.forget()
        except WAITS as error:
            self._say("feeder waits", error)
        except (ValueError, LookupError, TypeError) as error:
            # Something in Redis or Postgres is not as it should be. The rest of the world goes on, and so do we.
            self._say("feeder met what it cannot read", error)
        return pushed

    def _say(self, what: str, error: Exception) -> None:
        if not self._failing:
            log.warning(what, extra={"error": str(error)}, exc_info=not isinstance(error, (*WAITS, OtherScripts)))
        self._failing = True


class Bell:
    """Wakes the feeder from its rest, and says whether limits and lanes are to be read anew."""

    def __init__(self) -> None:
        self._rung = Event()
        self._anew = False

    def ring(self, *, anew: bool) -> None:
        self._anew = self._anew or anew
        self._rung.set()

    def answer(self, look_again: Callable[[], None]) -> None:
        """Before a turn: what rings from now on is for the next one."""
        self._rung.clear()
        if self._anew:
            self._anew = False
            look_again()

    def wait(self, timeout_s: float, gather_s: float) -> None:
        """Rests; however often it rings, for ``gather_s`` at the least."""
        gevent.sleep(gather_s)
        self._rung.wait(max(0.0, timeout_s - gather_s))


def _hear_redis(redis: Redis, bell: Bell) -> None:
    """A lane has appeared that nobody has stated yet, or one behind which others wait in Postgres has run empty."""
    while True:
        try:
            with cast(Any, redis).pubsub(ignore_subscribe_messages=True) as channel:
                channel.subscribe(WAKE_CHANNEL)
                while True:
                    message = channel.get_message(timeout=1.0)
                    if message and message["data"] in (b"lanes", b"refill"):
                        bell.ring(anew=message["data"] == b"lanes")
        except (RedisError, OSError):
            gevent.sleep(0.5)


def _hear_postgres(settings: Settings, bell: Bell) -> None:
    """A limit, route or tenant was changed; a call was accepted that is in no lane."""
    for channel, _ in listen(settings, ("limits", "due_work")):
        bell.ring(anew=channel != "due_work")


def main(settings: Settings) -> None:
    """Runs until SIGTERM, and then to the end of its turn: waits for leadership, then ticks. A server that is away is
    waited for, never given up on.
    """
    stop = stop_on_signals()
    db = open_database(settings, "feeder", cooperative=True)
    redis = connect(settings)
    bell = Bell()
    stop.rawlink(lambda _: bell.ring(anew=False))
    by_redis, by_postgres = gevent.spawn(_hear_redis, redis, bell), gevent.spawn(_hear_postgres, settings, bell)
    leader = Leader(settings.database_url, "feeder")
    feeder = Feeder(db, redis, settings)
    feeder.rest_s = settings.feeder_interval_s
    turns = Turns(feeder, leader)
    try:
        while not stop.is_set():
            bell.answer(feeder.look_again)
            turns.turn(datetime.now(UTC), time.monotonic())
            if not stop.is_set():
                bell.wait(feeder.rest_s, max(GATHER_S, min(feeder.took_s, settings.feeder_interval_s)))
    finally:
        by_redis.kill()
        by_postgres.kill()
        leader.close()
        db.close()
