"""What a new controller inherits, on real Postgres, Redis and ESL: unused permits at once, channels with a voucher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis import Redis

from budget import permits
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from controller.board import Board
from controller.takeover import inherit
from jobs.feeder import Feeder
from lab.host import LabCarrier, LabSwitch
from settings import Settings
from store import attempts, carriers
from tests.controller.test_reconcile import board, dial, due
from tests.jobs.conftest import lane_of, laned, take, tick
from tests.store.conftest import World

__all__ = ["board"]


@pytest.fixture(scope="module")
def switch() -> Iterator[LabSwitch]:
    with LabCarrier("a", channels=20, cps=50) as carrier, LabSwitch({"gw": carrier.sip}) as running:
        yield running


@pytest.fixture
def options(board: Board) -> Settings:
    return board.settings


@pytest.fixture
def redis(board: Board) -> Redis:
    return board.redis


@pytest.fixture
def feeder(world: World, redis: Redis, options: Settings) -> Feeder:
    carriers.put_route(world.db, name="all", prefixes=[""], carriers=[world.carrier_id])
    return Feeder(world.db, redis, options)


def unacknowledged(world: World, redis: Redis) -> int:
    return int(str(redis.zcard(f"{PREFIX}out:{carrier_scope(world.carrier_id)}")))


def test_what_was_never_begun_goes_back_and_what_is_there_is_vouched_for(
    world: World, board: Board, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    tick(feeder)
    calls = [due(world) for _ in range(3)]
    unused, begun, unknown = calls
    tick(feeder)
    granted = {call.attempt_id: take(world, redis, options, call.attempt_id) for call in calls}
    for call in (begun, unknown):
        permit, now = granted[call.attempt_id], datetime.now(UTC)
        claim = world.claim(call.attempt_id, epoch=permit.epoch, fence=permit.fence, now=now)
        assert isinstance(claim, attempts.Claimed)
    dial(board, begun, until="Progress")
    before = unacknowledged(world, redis)
    inherit(board)
    # At once, not after popped_deadline_s; the channel's INVITE has left, that of the third may still leave.
    assert laned(redis, lane_of(world, unused.attempt_id)) == [unused.attempt_id]
    held = {lease.attempt_id for lease in permits.leases(redis, [world.carrier_id])}
    assert held == {begun.attempt_id, unknown.attempt_id}
    assert unacknowledged(world, redis) == before - 2


def test_another_switchs_permits_are_left_alone(
    world: World, board: Board, feeder: Feeder, redis: Redis, options: Settings
) -> None:
    tick(feeder)
    call = due(world)
    tick(feeder)
    take(world, redis, options, call.attempt_id)
    inherit(replace(board, settings=options.model_copy(update={"switch": "fs2"})))
    assert laned(redis, lane_of(world, call.attempt_id)) == []
