"""Lanes that overflow, lanes thrown out, lanes forgotten: what a push says, and what is left behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest

from budget import lanes, permits, scopes
from budget.push import push
from budget.replies import text, texts
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from tests.budget.bench import CARRIER, TENANT, Bench, VirtualBench, wakes

OTHER = UUID(int=99)
MS = 1000
SECOND = 1_000_000


def test_a_lane_takes_a_window_and_the_rest_waits_for_the_feeder(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    ids = [uuid4() for _ in range(6)]
    with wakes(bench) as heard:
        assert push(bench.redis, [(one, lane) for one in ids], window=4) == ids[:4]
    assert heard.count("refill") == 1
    assert lanes.overflowing(bench.redis) == {lane}
    assert push(bench.redis, [(ids[5], lane)], window=4) == []
    assert lanes.lengths(bench.redis, [lane]) == {lane: 4}


def test_behind_older_calls_no_new_one_is_laned_but_the_feeders(bench: Bench) -> None:
    bench.carrier()
    lane, other = bench.lane(), bench.lane(OTHER)
    lanes.set_overflow(bench.redis, [lane], [])
    new, old, free = uuid4(), uuid4(), uuid4()
    assert push(bench.redis, [(new, lane), (free, other)], window=100) == [free]
    assert push(bench.redis, [(old, lane)]) == [old]
    lanes.set_overflow(bench.redis, [], [lane])
    assert push(bench.redis, [(new, lane)], window=100) == [new]
    assert texts(bench.redis.lrange(f"rq:queue:{lane}", 0, -1)) == [str(old), str(new)]


def test_what_is_under_way_counts_as_laned_although_the_lane_overflows(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    laned, under_way = bench.fill(lane, 2)[::-1]
    assert bench.take().attempt_id == under_way
    lanes.set_overflow(bench.redis, [lane], [])
    assert push(bench.redis, [(laned, lane), (under_way, lane)], window=1) == [laned, under_way]


def test_a_lane_that_runs_empty_asks_to_be_filled_when_more_waits(bench: Bench) -> None:
    bench.carrier()
    lane = bench.lane()
    bench.fill(lane, 1)
    lanes.set_overflow(bench.redis, [lane], [])
    with wakes(bench) as heard:
        bench.take()
        bench.refusal()
    assert heard == ["refill"]


def test_what_waits_in_a_lane_is_thrown_out_and_what_is_under_way_is_not(bench: Bench) -> None:
    bench.carrier()
    lane, other = bench.lane(), bench.lane(OTHER)
    ids = bench.fill(lane, 1200)
    kept = bench.fill(other, 1)
    grant = bench.grant()
    assert grant.grants[0].attempt_id in (ids[0], kept[0])
    waiting = sum(lanes.lengths(bench.redis, [lane]).values())
    assert lanes.drop_waiting(bench.redis, [lane]) == waiting
    assert lanes.drop_waiting(bench.redis, [lane]) == 0
    assert lanes.drop_waiting(bench.redis, []) == 0
    assert lanes.lengths(bench.redis, [lane]) == {lane: 0}
    assert bench.redis.exists(*(f"rq:job:{one}" for one in ids[1:])) == 0
    left = {str(kept[0]), str(grant.grants[0].attempt_id)}
    assert set(texts(bench.redis.smembers(f"{PREFIX}in"))) <= left
    assert push(bench.redis, [(ids[5], lane)]) == [ids[5]]
    assert lanes.lengths(bench.redis, [lane]) == {lane: 1}


def keys(virtual: VirtualBench) -> dict[str, int]:
    """Every key of the budget and of RQ's queues, and how much it holds."""
    return {key: len(inside) for key, inside in contents(virtual).items()}


def contents(virtual: VirtualBench) -> dict[str, list[str]]:
    """Every key but RQ's jobs: members, or fields and values as one."""
    redis: Any = virtual.redis
    read: dict[bytes, Callable[[bytes], Iterable[Any]]] = {
        b"hash": lambda key: [b" ".join(pair) for pair in redis.hgetall(key).items()],
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"set": redis.smembers,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"string": lambda key: [redis.get(key)],
    }
    found = [key for key in redis.scan_iter() if not key.startswith(b"rq:job:")]
    return {key.decode(): [text(part) for part in read[redis.type(key)](key)] for key in found}


def mentions(virtual: VirtualBench, word: str) -> list[str]:
    """Keys with the word in their name, a member, a field or a value."""
    return [key for key, inside in contents(virtual).items() if any(word in part for part in [key, *inside])]


@pytest.mark.parametrize("priority", ["urgent", "normal", "bulk"])
@pytest.mark.parametrize("end", ["served", "blocked", "canceled", "carrier changed"])
def test_nothing_of_a_pruned_lane_and_its_tenant_is_left(virtual: VirtualBench, priority: str, end: str) -> None:
    gone = UUID(int=0xDEAD)
    for one in (CARRIER, OTHER):
        virtual.carrier(one, interval=20 * MS, channels=9000, urgent_share=0.05, bulk_floor=0.1)
    virtual.fill(virtual.lane(carriers=(CARRIER, OTHER)), 40)
    lane = virtual.lane(gone, priority, more=".c-spring", carriers=(CARRIER, OTHER))
    virtual.fill(lane, 30)
    if end == "blocked":
        virtual.scope(f"campaign:{gone.hex}:spring", channels=8)
    leased: list[permits.Grant] = []
    for _ in range(90):
        for one in (CARRIER, OTHER):
            leased += virtual.grant(one).grants
        virtual.step(20 * MS)
    if end == "carrier changed":
        virtual.lane(gone, priority, more=".c-spring", carriers=(OTHER,))
    lanes.drop_waiting(virtual.redis, [lane])
    for grant in leased:
        if end != "blocked":
            virtual.release(grant)
    assert lanes.prune(virtual.redis, [lane]) == 1
    if end == "blocked":
        assert f"{PREFIX}lane:{lane}" not in keys(virtual)
        assert not [key for key in mentions(virtual, lane) if "lease:" not in key]
        for grant in leased:
            virtual.release(grant)
        scopes.forget_scopes(virtual.redis, [f"campaign:{gone.hex}:spring"])
    scopes.sweep(virtual.redis)
    assert mentions(virtual, lane) == []
    assert mentions(virtual, str(gone)) == mentions(virtual, gone.hex) == []


def test_a_pruned_lane_leaves_the_tenants_other_lanes_alone(virtual: VirtualBench) -> None:
    virtual.carrier()
    one, two = virtual.lane(route="one"), virtual.lane(route="two")
    virtual.fill(one, 1)
    virtual.fill(two, 9)
    other = virtual.fill(virtual.lane(OTHER), 9)
    taken = [virtual.take() for _ in range(6)]
    place = virtual.redis.hget(f"{PREFIX}vt:normal", str(TENANT))
    assert place is not None
    assert sum(grant.attempt_id in other for grant in taken) == 3
    assert lanes.prune(virtual.redis, [one, two]) == 1
    assert virtual.redis.hget(f"{PREFIX}vt:normal", str(TENANT)) == place
    assert sum(virtual.take().attempt_id in other for _ in range(6)) == 3


def test_a_forgotten_lane_comes_back_by_itself(virtual: VirtualBench) -> None:
    virtual.carrier()
    lane = virtual.lane()
    virtual.fill(lane, 1)
    virtual.release(virtual.take())
    assert lanes.prune(virtual.redis, [lane]) == 1
    with wakes(virtual) as heard:
        virtual.fill(lane, 1)
    assert heard == ["lanes"]
    virtual.lane()
    assert virtual.take()


def test_no_key_grows_with_the_calls_that_were(virtual: VirtualBench) -> None:
    """Everything happens, again and again: what is there after 3 rounds is there after 12."""
    rng = random.Random(5)
    sizes = []
    for n in range(12):
        tenants = [UUID(int=100 + n * 3 + k) for k in range(3)]
        for one in (CARRIER, OTHER):
            virtual.carrier(one, channels=4, interval=10 * MS, linger_us=20 * MS, more=("account:acme",), urgent_share=0.2)
        names = [
            virtual.lane(tenant, priority, more=f".c-{n}", carriers=(CARRIER, OTHER))
            for tenant in tenants
            for priority in ("urgent", "normal", "bulk")
        ]
        for tenant in tenants:
            virtual.scope(f"tenant:{tenant}", channels=2, interval=15 * MS)
        for name in names:
            virtual.fill(name, 6)
        live: list[permits.Grant] = []
        for _ in range(200):
            live += virtual.grant(rng.choice((CARRIER, OTHER)), switch=rng.choice(("fs1", "fs2")), want=3).grants
            virtual.step(10 * MS)
            while live and rng.random() < 0.8:
                grant = live.pop(rng.randrange(len(live)))
                rng.choice((permits.release, permits.requeue, permits.refuse, permits.release))(
                    virtual.redis, grant.attempt_id, grant.fence
                )
            scopes.sweep(virtual.redis)
        for grant in live:
            virtual.release(grant)
        lanes.drop_waiting(virtual.redis, names)
        assert lanes.prune(virtual.redis, names) == len(names)
        scopes.forget_scopes(virtual.redis, [f"tenant:{tenant}" for tenant in tenants])
        sizes.append(keys(virtual))
    early, late = sizes[2], sizes[-1]
    # Of each carrier-side scope there is one of these at most; whether there is one now is chance.
    own = ("account:acme", carrier_scope(CARRIER), carrier_scope(OTHER))
    assert set(late) <= set(early) | {f"{PREFIX}{kind}:{scope}" for kind in ("pw", "pl", "linger") for scope in own}
    grown = {key: (early.get(key), size) for key, size in late.items() if size > early.get(key, 0) + 8}
    assert grown == {}
