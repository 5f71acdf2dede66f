"""Calls of a paused agent wait beside the lanes: no refill, push or claim meets them again until it is resumed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from redis import Redis

from budget import permits
from jobs.feeder import Feeder
from settings import Settings
from store import agents, attempts, calls, laning, place
from tests.jobs.conftest import drained, lane_of, laned, take, tick, waiting, when
from tests.store.conftest import World


@pytest.fixture
def other(world: World) -> UUID:
    return agents.create(world.db, tenant_id=world.tenant.id, name="other", kind="websocket", url="ws://127.0.0.1:1/").id


def pushed(world: World, attempt: UUID) -> int | None:
    return world.rows("SELECT pushed_epoch FROM attempts WHERE id = %s", attempt)[0][0]


def test_what_waits_for_a_paused_agent_is_not_laned_and_the_rest_is(
    world: World, feeder: Feeder, redis: Redis, options: Settings, other: UUID
) -> None:
    agents.set_paused(world.db, other, True)
    held = [waiting(world, agent_id=other, due_at=when(-3000 + n)) for n in range(3)]
    free = waiting(world)
    tick(feeder)
    assert laned(redis, lane_of(world, free)) == [free]
    assert len({pushed(world, one) for one in held}) == 1
    assert tick(feeder) == 0
    agents.set_paused(world.db, other, False)
    tick(feeder)
    assert [one for one in drained(world, redis, options) if one in (free, *held)] == [free, *held]


def test_a_call_in_its_lane_when_its_agent_is_paused_is_refused_once(
    world: World, feeder: Feeder, redis: Redis, options: Settings, other: UUID
) -> None:
    first, second = waiting(world, agent_id=other), waiting(world, agent_id=other)
    tick(feeder)
    agents.set_paused(world.db, other, True)
    permit = take(world, redis, options, first)
    assert world.claim(first, epoch=permit.epoch, fence=permit.fence, now=when(1)) == attempts.Refused("agent_paused")
    assert permits.refuse(redis, first, permit.fence)
    for _ in range(3):
        tick(feeder)
    assert laned(redis, lane_of(world, first)) == [second], "nobody laned the first again"
    take(world, redis, options, second)
    agents.set_paused(world.db, other, False)
    tick(feeder)
    assert laned(redis, lane_of(world, first)) == [first]


def test_a_claim_that_read_the_pause_as_it_ended_loses_nothing(
    world: World, feeder: Feeder, redis: Redis, options: Settings, other: UUID
) -> None:
    attempt = waiting(world, agent_id=other)
    number = world.rows("SELECT hold_number FROM agents WHERE id = %s", other)[0][0]
    world.execute("UPDATE attempts SET pushed_epoch = %s, pushed_at = due_at WHERE id = %s", -1 - number, attempt)
    tick(feeder)
    assert attempt in drained(world, redis, options)


def test_each_agents_calls_are_found_by_its_own_number_the_oldest_first(world: World, feeder: Feeder, other: UUID) -> None:
    agents.set_paused(world.db, other, True)
    agents.set_paused(world.db, world.agent_id, True)
    theirs = [waiting(world, due_at=when(-100 - n)) for n in range(4)]
    others = [waiting(world, agent_id=other) for _ in range(2)]
    tick(feeder)
    assert laning.release_held(world.db, 10) == 0
    agents.set_paused(world.db, world.agent_id, False)
    assert laning.release_held(world.db, 3) == 3
    assert [pushed(world, one) is None for one in theirs] == [False, True, True, True]  # the first is due last
    assert laning.release_held(world.db, 3) == 1
    assert all(pushed(world, one) is not None for one in others)


def test_held_calls_expire_and_are_canceled_as_any(world: World, feeder: Feeder, other: UUID) -> None:
    agents.set_paused(world.db, other, True)
    attempt = waiting(world, agent_id=other, expires_at=when(-1) - timedelta(hours=2), due_at=when(-7300))
    another = waiting(world, agent_id=other)
    tick(feeder)
    assert attempt in attempts.list_expired(world.db, when(0), 100)
    (call,) = world.rows("SELECT call_id FROM attempts WHERE id = %s", another)[0]
    assert calls.request_hangup(world.db, world.tenant.id, call, "customer", when(1)).kind == "canceled"


def test_a_new_call_of_a_paused_agent_is_told_to_stay_out_of_its_lane(world: World, other: UUID) -> None:
    assert not world.accept(agent_id=other).held
    agents.set_paused(world.db, other, True)
    accepted = world.accept(agent_id=other)
    assert accepted.held
    assert not world.accept().held
    found = place.waiting(world.db, world.tenant.id, accepted.call.id)
    assert found is not None
    assert found.agent_paused
