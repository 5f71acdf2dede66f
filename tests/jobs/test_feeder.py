"""The feeder on real Postgres and Redis: what Redis forgets, Postgres brings back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from redis import Redis

from budget import epoch, lanes, permits
from budget.connect import connect
from budget.replies import texts
from jobs.feeder import Feeder
from settings import Settings
from store import attempts, carriers
from store import epoch as store_epoch
from tests.store.conftest import World, at, settings_for


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


def grant(world: World, redis: Redis, options: Settings) -> permits.Grant | permits.Refusal:
    """A permit whose slot is free: the hold after a rebuild and the pacing are not what is tested here."""
    redis.delete(f"tl1:tat:{world.carrier_id}")
    return permits.grant(redis, options, world.carrier_id, "fs1")


def tick(feeder: Feeder, seconds: float = 30) -> int:
    feeder.look_again()
    return feeder.tick(at(seconds), time.monotonic())


def drained(world: World, redis: Redis, options: Settings) -> list[UUID]:
    """Every attempt that can be granted now; channels are given back at once."""
    got = []
    while isinstance(permit := grant(world, redis, options), permits.Grant):
        got.append(permit.attempt_id)
        permits.release(redis, permit.attempt_id, permit.fence, linger_us=0)
    return got


def test_waiting_calls_reach_their_lane_and_only_once(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    accepted = [world.accept().attempt_id for _ in range(3)]
    later = world.accept(due_at=at(1000)).attempt_id
    assert tick(feeder) >= 3
    assert tick(feeder) == 0
    got = drained(world, redis, options)
    assert [g for g in got if g in accepted] == accepted
    assert later not in got


def test_a_wiped_redis_is_rebuilt_with_the_calls_that_live(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    tick(feeder)
    before = store_epoch.get(world.db).epoch
    waiting = world.accept().attempt_id
    claimed = world.accept().attempt_id
    world.claim(claimed, epoch=before, fence=77)
    tick(feeder)
    redis.flushall()
    assert grant(world, redis, options) == permits.Refusal("not_ready", None)
    tick(feeder)
    after = store_epoch.get(world.db)
    assert after.epoch == before + 1
    assert after.opened_at is not None
    held = {lease.attempt_id: lease.fence for lease in permits.leases(redis, [world.carrier_id])}
    assert held[claimed] == 77
    assert waiting in drained(world, redis, options)
    assert world.claim(waiting, epoch=before) == attempts.Refused("epoch")


def test_after_a_rebuild_a_carrier_rests_for_its_window(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    world.accept()
    tick(feeder)
    answer = permits.grant(redis, options, world.carrier_id, "fs1")
    assert isinstance(answer, permits.Refusal)
    assert answer.limit == "cps"
    assert answer.retry_us is not None
    assert answer.retry_us > 500_000


def test_what_just_ended_still_counts_after_a_rebuild(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    tick(feeder)
    epoch_now = store_epoch.get(world.db).epoch
    silent, refused = world.accept().attempt_id, world.accept().attempt_id
    for number, attempt in enumerate((silent, refused), 5):
        world.claim(attempt, epoch=epoch_now, fence=number)
    world.apply(world.ended(silent, "NO_ANSWER", 29.9, disposition="send_cancel"), world.busy(refused, 20.0), seconds=30)
    redis.flushall()
    tick(feeder, 30)
    lingering = texts(redis.zrange(f"tl1:linger:{world.carrier_id}", 0, -1))
    assert lingering == [f"{silent}:5"]


def test_another_servers_epoch_is_not_believed(world: World, feeder: Feeder, redis: Redis) -> None:
    tick(feeder)
    before = store_epoch.get(world.db).epoch
    epoch.open_epoch(redis, before + 40, epoch.run_id(redis), [])
    tick(feeder)
    assert epoch.opened(redis) == store_epoch.get(world.db).epoch == before + 1


def test_popped_and_never_claimed_goes_back_to_the_front(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    first, second = world.accept().attempt_id, world.accept().attempt_id
    tick(feeder)
    order = []
    while isinstance(permit := grant(world, redis, options), permits.Grant):
        order.append(permit)
        if permit.attempt_id == first:
            break
    deadline = permits.redis_now_us(redis) + 60_000
    while permits.redis_now_us(redis) < deadline:
        time.sleep(0.005)
    tick(feeder)
    got = drained(world, redis, options)
    assert got.index(first) < got.index(second)


def test_popped_and_claimed_stays_with_its_lease(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    attempt = world.accept().attempt_id
    tick(feeder)
    permit = grant(world, redis, options)
    while isinstance(permit, permits.Grant) and permit.attempt_id != attempt:
        permit = grant(world, redis, options)
    assert isinstance(permit, permits.Grant)
    world.claim(attempt, fence=permit.fence, epoch=permit.epoch)
    deadline = permits.redis_now_us(redis) + 60_000
    while permits.redis_now_us(redis) < deadline:
        time.sleep(0.005)
    tick(feeder)
    assert permit.fence in {x.fence for x in permits.leases(redis, [world.carrier_id]) if x.attempt_id == attempt}
    assert permits.overdue_pops(redis, permits.redis_now_us(redis) + 10**9, 10) == []


def test_a_row_that_fell_out_of_its_lane_is_pushed_again(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    attempt = world.accept().attempt_id
    tick(feeder)
    lane = next(name for name in lanes.known_lanes(redis) if world.tenant.id.hex in name)
    redis.delete(f"rq:queue:{lane}")
    redis.srem("tl1:in", str(attempt))
    time.sleep(0.02)
    tick(feeder, 60)
    assert attempt in drained(world, redis, options)


def test_a_changed_limit_is_in_redis_at_the_next_look(world: World, feeder: Feeder, redis: Redis) -> None:
    tick(feeder)
    carriers.put_carrier(world.db, name=carriers.list_limits(world.db)[0].name, max_channels=3, cps=0)
    tick(feeder)
    changed = carriers.list_limits(world.db)[0].id
    assert redis.hmget(f"tl1:carrier:{changed}", ["max_channels", "interval_us"]) == [b"3", b"0"]


def test_a_lane_of_nobody_is_left_alone(feeder: Feeder, redis: Redis) -> None:
    stray = f"dial.normal.{uuid4().hex}.all"
    redis.sadd("rq:queues", f"rq:queue:{stray}", "rq:queue:dial.nonsense")
    redis.rpush(f"rq:queue:{stray}", str(uuid4()))
    tick(feeder)
    assert redis.exists(f"tl1:lane:{stray}") == 0
