"""The feeder as a process that by itself would look once in a thousand seconds: what wakes it, wakes it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from budget import lanes, permits
from budget.push import push
from budget.scopes import carrier_scope
from budget.scripts import PREFIX, WAKE_CHANNEL
from settings import Settings
from store import carriers
from store import epoch as store_epoch
from tests.jobs.conftest import lane_of, laned, waiting, when
from tests.store.conftest import World

ROOT = Path(__file__).parents[2]
#: s; nothing of it is measured: it only ends a test that would wait for ever.
DEADLINE_S = 30.0
IDLE_S = 1000.0


def until(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def asleep(world: World, redis: Redis, options: Settings) -> Iterator[None]:
    """A feeder process that leads, has opened an epoch, and rests."""
    world.execute("UPDATE attempts SET state = 'ended' WHERE state = 'queued'")
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])
    before = store_epoch.get(world.db).epoch
    env = os.environ | {
        "DATABASE_URL": options.database_url,
        "REDIS_URL": options.redis_url,
        "TRUNKLINE_FEEDER_INTERVAL_S": str(IDLE_S),
        "TRUNKLINE_AUDIT_INTERVAL_S": str(IDLE_S),
    }
    process = subprocess.Popen([sys.executable, "-m", "jobs", "feeder"], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        until(lambda: store_epoch.get(world.db).epoch > before and store_epoch.get(world.db).opened_at, "no epoch")
        until(lambda: redis.pubsub_numsub(WAKE_CHANNEL)[0][1] == 1 and listening(world), "nobody listens")
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def listening(world: World) -> bool:
    """LISTEN stands, and no look that its first word caused is under way any more."""
    sql = "SELECT state, now() - state_change > interval '0.3 s' FROM pg_stat_activity WHERE application_name LIKE %s"
    rows = world.rows(sql, "feeder@%")
    # After its LISTENs, of which this is the last, that connection only ever asks whether it still stands.
    heard = "query LIKE 'LISTEN%%due_work%%' OR query = 'SELECT 1'"
    ears = world.rows(f"SELECT 1 FROM pg_stat_activity WHERE application_name LIKE %s AND ({heard})", "listen@%")
    return bool(ears) and bool(rows) and all(state == "idle" and quiet for state, quiet in rows)


@pytest.mark.usefixtures("asleep")
def test_woken_for_a_call_that_is_in_no_lane(world: World, redis: Redis) -> None:
    attempt = waiting(world)
    world.execute("SELECT pg_notify('due_work', '')")
    until(lambda: laned(redis, lane_of(world, attempt)) == [attempt], "not laned")


@pytest.mark.usefixtures("asleep")
def test_woken_by_a_lane_that_is_full(world: World, redis: Redis, options: Settings) -> None:
    """Whoever finds a lane full says so; what it holds is then brought in order."""
    first, second = waiting(world), waiting(world, due_at=when(-1))
    lane = lane_of(world, first)
    assert push(redis, [(first, lane)], window=1) == [first]
    assert push(redis, [(second, lane)], window=1) == []
    until(lambda: laned(redis, lane) == [first, second], "not laned")
    until(lambda: lane not in lanes.overflowing(redis), "the flag stays")


@pytest.mark.usefixtures("asleep")
def test_woken_by_a_lane_that_nobody_has_stated(world: World, redis: Redis) -> None:
    attempt = waiting(world)
    lane = lane_of(world, attempt)
    push(redis, [(attempt, lane)], window=10)
    until(lambda: redis.hget(f"{PREFIX}lane:{lane}", "carriers"), "not stated")


@pytest.mark.usefixtures("asleep")
def test_woken_by_a_changed_number(world: World, redis: Redis) -> None:
    ((name,),) = world.rows("SELECT name FROM carriers WHERE id = %s", world.carrier_id)
    carriers.update(world.db, name, max_channels=77)
    until(lambda: redis.hget(f"{PREFIX}s:{carrier_scope(world.carrier_id)}", "max") == b"77", "not changed")
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])


@pytest.mark.usefixtures("asleep")
def test_a_retry_that_falls_due_is_laned_then(world: World, redis: Redis, options: Settings) -> None:
    later = waiting(world, due_at=datetime.now(UTC) + timedelta(seconds=1.5))
    lane = lane_of(world, later)
    world.execute("SELECT pg_notify('due_work', '')")  # as any other call that was accepted would
    until(lambda: laned(redis, lane) == [later], "not laned")
    until(lambda: permits.grant(redis, options, world.carrier_id, "fs1").grants, "not granted")
