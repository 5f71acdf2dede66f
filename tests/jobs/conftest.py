"""The small enterprise of tests/store serves here too; besides, a feeder on real Postgres and Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis import Redis

from budget import permits
from budget.connect import connect
from budget.lanes import QUEUE
from budget.replies import texts
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from jobs.feeder import Feeder
from settings import Settings
from store import carriers
from tests.store.conftest import World, db, settings_for, world

__all__ = ["db", "world"]

START = datetime.now(UTC)


def when(seconds: float) -> datetime:
    """The start of the tests + seconds; the database has a clock of its own, which says much the same."""
    return START + timedelta(seconds=seconds)


@pytest.fixture
def options(world: World, redis_url: str) -> Settings:
    return settings_for(world.url, redis_url=redis_url, popped_deadline_s=0.05, audit_interval_s=0.01)


@pytest.fixture
def redis(options: Settings) -> Iterator[Redis]:
    client = connect(options)
    yield client
    client.close()


@pytest.fixture
def feeder(world: World, redis: Redis, options: Settings) -> Feeder:
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])
    return Feeder(world.db, redis, options)


def waiting(world: World, **changes: Any) -> UUID:
    """An attempt that is due, by every clock."""
    return world.accept(**{"due_at": when(-3600), "expires_at": when(86_400), **changes}).attempt_id


def grant(world: World, redis: Redis, options: Settings) -> permits.Grant | permits.Answer:
    """A permit whose slot is free: the hold after a rebuild and the pacing are not what is tested here."""
    redis.hdel(f"{PREFIX}s:{carrier_scope(world.carrier_id)}", "tat")
    answer = permits.grant(redis, options, world.carrier_id, "fs1")
    return answer.grants[0] if answer.grants else answer


def lane_of(world: World, attempt: UUID) -> str:
    return str(world.rows("SELECT lane FROM attempts WHERE id = %s", attempt)[0][0])


def laned(redis: Redis, lane: str) -> list[UUID]:
    """What the lane holds, the front first."""
    return [UUID(one) for one in texts(redis.lrange(f"{QUEUE}{lane}", 0, -1))]


def take(world: World, redis: Redis, options: Settings, attempt: UUID) -> permits.Grant:
    """The permit of ``attempt``; others before it are given back for good."""
    while isinstance(permit := grant(world, redis, options), permits.Grant):
        if permit.attempt_id == attempt:
            return permit
        permits.release(redis, permit.attempt_id, permit.fence, linger_us=0)
    raise AssertionError(f"{attempt} was not granted: {permit}")


def drained(world: World, redis: Redis, options: Settings) -> list[UUID]:
    """Every attempt that can be granted now; channels are given back at once."""
    got = []
    while isinstance(permit := grant(world, redis, options), permits.Grant):
        got.append(permit.attempt_id)
        permits.release(redis, permit.attempt_id, permit.fence, linger_us=0)
    return got


def tick(feeder: Feeder, seconds: float = 30) -> int:
    feeder.look_again()
    return feeder.tick(when(seconds), time.monotonic())
