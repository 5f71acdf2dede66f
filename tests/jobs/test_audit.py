"""The audit on real Postgres and Redis: what was lost without anybody left to notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from redis import Redis

from budget import lanes, permits
from budget.push import push
from budget.replies import text, texts
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from jobs import audit
from jobs.audit import Audit
from jobs.feeder import Feeder
from settings import Settings
from store import attempts, switches
from store import epoch as store_epoch
from tests.jobs.conftest import drained, take, tick, waiting, when
from tests.store.conftest import World


def claimed(world: World, redis: Redis, options: Settings, attempt: UUID, switch: str = "fs1") -> permits.Grant:
    """Granted, claimed, and the claim marked, as by a controller of ``switch``."""
    permit = take(world, redis, options, attempt)
    words = text(redis.get(f"{PREFIX}lease:{attempt}")).split(" ")
    redis.set(f"{PREFIX}lease:{attempt}", " ".join([*words[:3], switch, *words[4:]]))
    claim = world.claim(attempt, fence=permit.fence, epoch=permit.epoch, now=when(1), switch=switch)
    assert isinstance(claim, attempts.Claimed)
    assert permits.mark_claimed(redis, attempt, permit.fence)
    return permit


def held(world: World, redis: Redis) -> list[UUID]:
    return [lease.attempt_id for lease in permits.leases(redis, [world.carrier_id])]


def look(world: World, redis: Redis, options: Settings) -> None:
    Audit(world.db, redis, options).look(store_epoch.get(world.db).epoch, when(60), time.monotonic())


def until(done: Callable[[], bool], again: Callable[[], object], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        again()
        time.sleep(0.02)


def test_given_back_in_postgres_only(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """The controller was killed between unclaim and requeue."""
    attempt = waiting(world)
    tick(feeder)
    permit = claimed(world, redis, options, attempt)
    assert attempts.unclaim(world.db, attempt, permit.fence, when(2))
    tick(feeder)
    until(lambda: held(world, redis) == [], lambda: look(world, redis, options))
    assert attempt in drained(world, redis, options)


def test_given_back_before_its_lease_was_adopted(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """A rebuild reads the live attempts, one of them is given back, and then its lease is written."""
    attempt = waiting(world)
    tick(feeder)
    lane = world.rows("SELECT lane FROM attempts WHERE id = %s", attempt)[0][0]
    permit = take(world, redis, options, attempt)
    permits.release(redis, attempt, permit.fence, linger_us=0)
    assert permits.adopt(redis, options, permits.Lease(attempt, permit.fence, world.carrier_id, "fs1"), lane)
    until(lambda: held(world, redis) == [], lambda: look(world, redis, options))
    assert attempt in drained(world, redis, options)


def test_what_is_under_way_is_left_alone(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """Popped and not yet claimed; dialing; given back a moment ago."""
    first, second, third = (waiting(world) for _ in range(3))
    tick(feeder)
    unhurried = options.model_copy(update={"popped_deadline_s": 3600.0})
    take(world, redis, unhurried, first)
    claimed(world, redis, unhurried, second)
    permit = claimed(world, redis, unhurried, third)
    attempts.unclaim(world.db, third, permit.fence, when(2))
    look(world, redis, unhurried)
    assert sorted(held(world, redis)) == sorted([first, second, third])


def ended(
    world: World, redis: Redis, options: Settings, feeder: Feeder, switch_names: list[str], ago_s: float = 30
) -> list[UUID]:
    """Calls that were answered and hung up ``ago_s`` before the audit; nobody released or renewed their leases."""
    ids = [waiting(world) for _ in switch_names]
    tick(feeder)
    for attempt, switch in zip(ids, switch_names, strict=True):
        claimed(world, redis, options, attempt, switch)
        world.apply(world.answered_end(attempt, 0, answered=0))
        world.execute("UPDATE attempts SET ended_at = %s WHERE id = %s", when(60 - ago_s), attempt)
        redis.zadd(f"{PREFIX}held:{carrier_scope(world.carrier_id)}", {str(attempt): 1})
    return ids


def test_leases_of_a_switch_that_is_gone(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    gone, here = f"gone-{uuid4().hex[:6]}", f"here-{uuid4().hex[:6]}"
    switches.seen(world.db, gone, "core", when(60 - audit.SWITCH_GONE_S - 1))
    switches.seen(world.db, here, "core", when(60 - audit.SWITCH_GONE_S + 1))
    never = f"never-{uuid4().hex[:6]}"
    long_ago, unknown, here_still, renewed = ended(world, redis, options, feeder, [gone, never, here, gone])
    permits.renew(redis, options, [renewed])
    assert {long_ago, unknown, here_still, renewed} == set(held(world, redis))
    look(world, redis, options)
    assert sorted(held(world, redis)) == sorted([here_still, renewed])
    assert redis.zcard(f"{PREFIX}linger:{carrier_scope(world.carrier_id)}") == 0


def test_a_channel_nobody_hung_up_counts_on(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """Its switch and controller fell silent, the watchdog ended it: no BYE, so the carrier's own timers end it."""
    [attempt] = ended(world, redis, options, feeder, [f"gone-{uuid4().hex[:6]}"])
    world.execute("UPDATE attempts SET evidence = 'watchdog' WHERE id = %s", attempt)
    before = permits.redis_now_us(redis)
    look(world, redis, options)
    assert held(world, redis) == []
    [lingering] = texts(redis.zrange(f"{PREFIX}linger:{carrier_scope(world.carrier_id)}", 0, -1))
    until_us = redis.zscore(f"{PREFIX}linger:{carrier_scope(world.carrier_id)}", lingering)
    assert until_us is not None
    assert until_us - before >= (options.crash_linger_s - 30) * 1_000_000


def test_each_queued_row_has_its_turn(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """More rows than one look takes, and the newest is the one that was lost."""
    narrow = options.model_copy(update={"feeder_batch": 1})
    ids = [waiting(world) for _ in range(2 * audit.PAGES + 3)]
    tick(feeder)
    lost = ids[-1]
    lane = world.rows("SELECT lane FROM attempts WHERE id = %s", lost)[0][0]
    redis.lrem(f"rq:queue:{lane}", 0, str(lost))
    audits, epoch = Audit(world.db, redis, narrow), store_epoch.get(world.db).epoch
    for _ in range(20):
        audits.look(epoch, when(60), time.monotonic())
    queued = texts(redis.lrange(f"rq:queue:{lane}", 0, -1))
    assert queued.count(str(lost)) == 1
    assert len(queued) == len(set(queued))


def test_a_lane_long_empty_is_forgotten_and_comes_back(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    first = waiting(world)
    tick(feeder)
    lane = world.rows("SELECT lane FROM attempts WHERE id = %s", first)[0][0]
    audits, epoch = Audit(world.db, redis, options), store_epoch.get(world.db).epoch
    audits.look(epoch, when(60), 0)
    audits.look(epoch, when(60), audit.EMPTY_S + 1)
    assert lane in lanes.known_lanes(redis), "it holds work"
    world.execute("UPDATE attempts SET state = 'ended' WHERE lane = %s", lane)
    assert first in drained(world, redis, options)
    audits.look(epoch, when(60), audit.EMPTY_S + 2)
    audits.look(epoch, when(60), 2 * audit.EMPTY_S + 1)
    assert lane in lanes.known_lanes(redis), "not empty for long enough"
    audits.look(epoch, when(60), 2 * audit.EMPTY_S + 2)
    assert lane not in lanes.known_lanes(redis)
    assert redis.exists(f"{PREFIX}lane:{lane}") == 0
    again = waiting(world)
    tick(feeder)
    assert again in drained(world, redis, options)


def test_a_strangers_empty_queue_is_not_ours_to_forget(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    tick(feeder)
    redis.sadd("rq:queues", "rq:queue:dial.of-somebody-else")
    audits, epoch = Audit(world.db, redis, options), store_epoch.get(world.db).epoch
    for monotonic in (0, audit.EMPTY_S + 1):
        audits.look(epoch, datetime.now(UTC), monotonic)
    assert redis.sismember("rq:queues", "rq:queue:dial.of-somebody-else")


@pytest.mark.parametrize("place", ["intermediate", "nowhere"])
def test_a_row_taken_by_a_worker_of_nobody(
    world: World, feeder: Feeder, redis: Redis, options: Settings, place: str
) -> None:
    """An RQ worker without a permit popped it, or somebody emptied the queue: it is laned again, once."""
    attempt = waiting(world)
    tick(feeder)
    lane = world.rows("SELECT lane FROM attempts WHERE id = %s", attempt)[0][0]
    redis.lrem(f"rq:queue:{lane}", 0, str(attempt))
    if place == "intermediate":
        redis.rpush(f"rq:queue:{lane}:intermediate", str(attempt))
    look(world, redis, options)
    look(world, redis, options)
    assert texts(redis.lrange(f"rq:queue:{lane}", 0, -1)).count(str(attempt)) == 1


def test_a_lane_that_was_forgotten_is_stated_again_when_it_comes_back_at_once(
    world: World, feeder: Feeder, redis: Redis, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruned and pushed to between two looks: to the feeder it is a lane that it has stated already."""
    attempt = waiting(world)
    tick(feeder)
    lane = world.rows("SELECT lane FROM attempts WHERE id = %s", attempt)[0][0]
    assert attempt in drained(world, redis, options)
    world.execute("UPDATE attempts SET state = 'ended' WHERE lane = %s", lane)
    monkeypatch.setattr(audit, "EMPTY_S", -1.0)
    tick(feeder)
    assert lane not in lanes.known_lanes(redis)
    again = waiting(world)
    assert push(redis, [(again, lane)], window=5) == [again]
    monkeypatch.undo()
    tick(feeder)
    assert again in drained(world, redis, options)
