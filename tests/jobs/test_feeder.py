"""The feeder on real Postgres and Redis: what Redis forgets, Postgres brings back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from budget import epoch, lanes, permits
from budget.push import push
from budget.replies import number, texts
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from jobs.feeder import Feeder, Turns
from settings import Settings
from store import attempts, carriers, scopes, tenants
from store import epoch as store_epoch
from store.leader import Leader
from store.scopes import Scope
from tests.jobs.conftest import drained, grant, take, tick, waiting, when
from tests.store.conftest import World, at


def test_waiting_calls_reach_their_lane_and_only_once(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    accepted = [waiting(world) for _ in range(3)]
    later = waiting(world, due_at=when(1000))
    assert tick(feeder) >= 3
    assert tick(feeder) == 0
    got = drained(world, redis, options)
    assert [g for g in got if g in accepted] == accepted
    assert later not in got


def test_a_refusal_on_its_way_is_laned_at_the_next_look(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    """The claim has put the row back, the lease is still there: this push adds nothing and must not count as one."""
    attempt = waiting(world)
    tick(feeder)
    permit = take(world, redis, options, attempt)
    world.execute("UPDATE attempts SET pushed_epoch = NULL WHERE id = %s", attempt)
    tick(feeder)
    assert permits.refuse(redis, attempt, permit.fence)
    tick(feeder)
    assert attempt in drained(world, redis, options)


def test_a_wiped_redis_is_rebuilt_with_the_calls_that_live(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    tick(feeder)
    before = store_epoch.get(world.db).epoch
    left = waiting(world)
    claimed = waiting(world)
    world.claim(claimed, epoch=before, fence=77, now=when(1))
    tick(feeder)
    redis.flushall()
    assert grant(world, redis, options) == permits.Answer((), "not_ready", None)
    tick(feeder)
    after = store_epoch.get(world.db)
    assert after.epoch == before + 1
    assert after.opened_at is not None
    held = {lease.attempt_id: lease.fence for lease in permits.leases(redis, [world.carrier_id])}
    assert held[claimed] == 77
    assert left in drained(world, redis, options)
    assert world.claim(left, epoch=before, now=when(1)) == attempts.Refused("epoch")


def test_after_a_rebuild_a_carrier_rests_for_its_window(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    waiting(world)
    tick(feeder)
    answer = permits.grant(redis, options, world.carrier_id, "fs1")
    assert answer.grants == ()
    assert answer.limit == carrier_scope(world.carrier_id)
    assert answer.next_us is not None
    assert answer.next_us > 500_000


def test_what_just_ended_still_counts_after_a_rebuild(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    tick(feeder)
    epoch_now = store_epoch.get(world.db).epoch
    silent, refused = waiting(world), waiting(world)
    for fence, attempt in enumerate((silent, refused), 5):
        world.claim(attempt, epoch=epoch_now, fence=fence, now=when(1))
    world.apply(world.ended(silent, "NO_ANSWER", 29.9, disposition="send_cancel"), world.busy(refused, 20.0), seconds=30)
    redis.flushall()
    feeder.tick(at(30), time.monotonic())
    lingering = texts(redis.zrange(f"{PREFIX}linger:{carrier_scope(world.carrier_id)}", 0, -1))
    assert lingering == [f"{silent}:5"]


def test_another_servers_epoch_is_not_believed(world: World, feeder: Feeder, redis: Redis) -> None:
    tick(feeder)
    before = store_epoch.get(world.db).epoch
    redis.set(f"{PREFIX}epoch", before + 40)
    tick(feeder)
    assert epoch.opened(redis) == store_epoch.get(world.db).epoch == before + 1


def test_popped_and_never_claimed_goes_back_to_the_front(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    first, second = waiting(world), waiting(world)
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
    attempt = waiting(world)
    tick(feeder)
    permit = take(world, redis, options, attempt)
    world.claim(attempt, fence=permit.fence, epoch=permit.epoch, now=when(1))
    deadline = permits.redis_now_us(redis) + 60_000
    while permits.redis_now_us(redis) < deadline:
        time.sleep(0.005)
    tick(feeder)
    assert permit.fence in {x.fence for x in permits.leases(redis, [world.carrier_id]) if x.attempt_id == attempt}
    assert permits.overdue_pops(redis, permits.redis_now_us(redis) + 10**9, 10) == []


def test_a_row_that_fell_out_of_its_lane_is_pushed_again(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    attempt = waiting(world)
    tick(feeder)
    lane = next(name for name in lanes.known_lanes(redis) if world.tenant.id.hex in name)
    redis.delete(f"rq:queue:{lane}")
    assert redis.sismember(f"{PREFIX}in", str(attempt))  # believed, it would be lost for good
    tick(feeder, 60)
    assert attempt in drained(world, redis, options)


def test_a_changed_limit_is_in_redis_at_the_next_look(world: World, feeder: Feeder, redis: Redis) -> None:
    tick(feeder)
    carriers.put_carrier(world.db, name=carriers.list_limits(world.db)[0].name, max_channels=3, cps=0)
    tick(feeder)
    changed = carriers.list_limits(world.db)[0].id
    assert redis.hmget(f"{PREFIX}s:{carrier_scope(changed)}", ["max", "interval"]) == [b"3", b"0"]


def test_a_carriers_own_jitter_only_widens_the_pacing(world: World, feeder: Feeder, redis: Redis, options: Settings) -> None:
    """J covers what we and the switch add: a carrier that is said to need less must still not get less."""
    name = f"jitter-{world.carrier_id.hex[:8]}"

    def interval(jitter_ms: int | None) -> int | None:
        made = carriers.put_carrier(world.db, name=name, max_channels=5, cps=10, jitter_ms=jitter_ms)
        tick(feeder)
        return number(redis.hget(f"{PREFIX}s:{carrier_scope(made.id)}", "interval"))

    by_setting = interval(None)
    assert by_setting == int((1000 + options.jitter_ms) * 100)
    assert interval(0) == by_setting
    assert interval(int(options.jitter_ms) + 70) == by_setting + 7_000


def test_a_lane_of_nobody_is_left_alone(feeder: Feeder, redis: Redis) -> None:
    stray = f"dial.normal.{uuid4().hex}.all"
    redis.sadd("rq:queues", f"rq:queue:{stray}", "rq:queue:dial.nonsense")
    redis.rpush(f"rq:queue:{stray}", str(uuid4()))
    tick(feeder)
    assert redis.exists(f"{PREFIX}lane:{stray}") == 0


def test_a_push_in_the_middle_of_a_wipe_is_not_lost(
    world: World, feeder: Feeder, redis: Redis, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API goes on pushing while the leader scans: whatever it pushes, at whatever point, is dialed."""
    first = waiting(world)
    lane = world.rows("SELECT lane FROM attempts WHERE id = %s", first)[0][0]
    pushed = [first]
    scan = redis.scan_iter

    def scan_and_push(match: str, count: int) -> Iterator[bytes]:
        for key in scan(match=match, count=count):
            yield key
            pushed.append(waiting(world))
            push(redis, [(pushed[-1], lane)])
        pushed.append(waiting(world))
        push(redis, [(pushed[-1], lane)])

    tick(feeder)
    redis.delete(f"{PREFIX}epoch")
    monkeypatch.setattr(redis, "scan_iter", scan_and_push)
    tick(feeder)
    assert len(pushed) >= 4
    monkeypatch.undo()
    # Not by the audit: what was marked as pushed just now is too young for it.
    got = set[UUID]()
    while fresh := drained(world, redis, options):
        got.update(fresh)
        tick(feeder)
    assert set(pushed) <= got


def test_a_leader_that_was_overtaken_leaves_the_next_ones_epoch_alone(
    world: World, feeder: Feeder, redis: Redis, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = waiting(world)
    redis.delete(f"{PREFIX}epoch")
    successor = Feeder(world.db, redis, options)
    begin = epoch.begin

    def late(client: Redis, seen: epoch.Marks, number: int) -> None:
        """The first leader stands still between its bump and its wipe; meanwhile another rebuilds."""
        monkeypatch.undo()
        tick(successor)
        begin(client, seen, number)

    monkeypatch.setattr(epoch, "begin", late)
    with pytest.raises((epoch.Overtaken, store_epoch.EpochMoved)):
        tick(feeder)
    truth = store_epoch.get(world.db)
    assert truth.opened_at is not None
    assert epoch.opened(redis) == truth.epoch
    assert attempt in drained(world, redis, options)


@pytest.mark.parametrize("stray", ["x" * 36, str(UUID(int=(1 << 128) - 1)).upper()])
def test_what_is_no_attempt_stops_neither_feeder_nor_permits(
    world: World, feeder: Feeder, redis: Redis, options: Settings, stray: str
) -> None:
    attempt = waiting(world)
    tick(feeder)
    lane = next(name for name in lanes.known_lanes(redis) if world.tenant.id.hex in name)
    queue = Queue(lane, connection=redis, serializer=JSONSerializer)
    queue.enqueue("controller.dial.dial", job_id=stray, at_front=True)
    redis.zadd(f"{PREFIX}popped", {stray: 1})
    held = f"{PREFIX}held:{carrier_scope(world.carrier_id)}"
    redis.zadd(held, {stray: 1})
    redis.set(f"{PREFIX}lease:{stray}", f"1 {world.carrier_id} {lane} fs1")
    tick(feeder)
    assert attempt in drained(world, redis, options)
    assert redis.exists(f"{PREFIX}lease:{stray}") == redis.zcard(held) == 0
    assert stray not in texts(redis.zrange(f"{PREFIX}popped", 0, -1))


def test_the_feeders_turns_go_on_whatever_one_of_them_meets(
    world: World, feeder: Feeder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(feeder)
    waiting(world)

    def unreadable() -> None:
        raise ValueError("badly formed hexadecimal UUID string")

    with Leader(world.url, f"feeder-{uuid4().hex}") as leader:
        turns = Turns(feeder, leader)
        monkeypatch.setattr(feeder, "give_back", unreadable)
        feeder.look_again()
        assert turns.turn(when(30), time.monotonic()) == 0
        monkeypatch.undo()
        assert turns.turn(when(30), time.monotonic()) >= 1


def test_who_does_not_lead_rests_and_knows_nothing_of_what_the_next_leader_did(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    name, limit = f"feeder-{uuid4().hex}", f"{PREFIX}s:global"
    with Leader(world.url, name) as ours, Leader(world.url, name) as theirs:
        turns = Turns(feeder, ours)
        turns.turn(when(30), time.monotonic())
        ours.close()
        assert theirs.held()
        feeder.rest_s = 0.0  # there was more to do at once
        turns.turn(when(30), time.monotonic())
        assert feeder.rest_s == options.feeder_interval_s
        scopes.put(world.db, Scope("global", max_channels=0))
        tick(Feeder(world.db, redis, options))
        assert redis.hget(limit, "max") == b"0"
        assert scopes.remove(world.db, "global")
        theirs.close()
        attempt = waiting(world)
        turns.turn(when(30), time.monotonic())
    assert not redis.hget(limit, "max")
    assert attempt in drained(world, redis, options)


def test_nobody_serves_the_lanes_of_a_paused_tenant_until_it_goes_on(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    attempt = waiting(world)
    tick(feeder)
    tenants.set_paused(world.db, world.tenant.id, True)
    tick(feeder)
    assert attempt not in drained(world, redis, options)
    tenants.set_paused(world.db, world.tenant.id, False)
    tick(feeder)
    assert attempt in drained(world, redis, options)


def test_a_lane_whose_route_is_gone_is_served_by_nobody(
    world: World, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    attempt = waiting(world)
    tick(feeder)
    world.execute("DELETE FROM routes WHERE name = 'all'")
    tick(feeder)
    assert attempt not in drained(world, redis, options)
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])
    tick(feeder)
    assert attempt in drained(world, redis, options)
