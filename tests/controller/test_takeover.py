"""What a new controller inherits, on real Postgres, Redis and ESL: unused permits at once, channels with a voucher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import gevent
import pytest
from redis import Redis

from budget import permits
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls import watch
from calls.evidence import State
from calls.retry import RetryRules
from controller import run
from controller.board import Board
from controller.takeover import inherit
from jobs.feeder import Feeder
from lab.host import LabCarrier, LabSwitch
from settings import Settings
from store import attempts, carriers
from store.duty import DutyBook
from tests.controller.test_reconcile import Desk, board, dial, due, known_since
from tests.jobs.conftest import lane_of, laned, take, tick
from tests.store.conftest import TIMERS, World

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


def settled(controller: run.Controller) -> None:
    with gevent.Timeout(10):
        while not controller.board.may_dial:
            gevent.sleep(0.01)


def test_no_permit_is_asked_for_while_taking_over(world: World, options: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a permit of our own would be taken back while its dial is under way."""
    could: list[bool] = []
    monkeypatch.setattr(run, "open_database", lambda *_, **__: world.db)  # this process is not a patched one
    controller = run.Controller(options)
    monkeypatch.setattr(run, "inherit", lambda board: could.append(board.may_dial))
    controller.board.drained = False  # as its watch would have read
    controller.duty.took, controller.duty.lost = controller._on_duty, controller._off_duty
    controller.link.connect()
    controller.events.connect()
    other = DutyBook(options, options.switch, uuid4())
    try:
        controller.duty.ask()
        settled(controller)
        first = controller.duty.fence
        # Another has it for a moment, between two questions of ours.
        world.execute("UPDATE switches SET duty_until = clock_timestamp() - interval '1 s'")
        assert other.take() is not None
        assert other.leave()
        assert controller.board.may_dial
        controller.duty.ask()
        assert controller.duty.fence != first
        settled(controller)
        assert could == [False, False]
    finally:
        other.close()
        controller.duty.leave()
        controller.link.stop()
        controller.events.stop()
        controller.redis.close()


def test_who_called_while_the_duty_did_not_count_is_looked_for_at_once(
    world: World, options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else would ask again: the duty comes back under the fence it had, so nothing is taken over."""
    monkeypatch.setattr(run, "open_database", lambda *_, **__: world.db)  # this process is not a patched one
    controller = run.Controller(options.model_copy(update={"reconcile_interval_s": 60}))
    found: list[set[UUID]] = []
    controller.reconciler.callers = found.append
    controller.link.connect()
    controller.events.connect()
    controller.duty.ask()
    fence = controller.duty.fence
    reconciling = gevent.spawn(controller.reconciler.run)
    try:
        with gevent.Timeout(10):
            while not found:
                gevent.sleep(0.01)
            while controller.duty.held:  # nobody asks, as when Postgres does not answer
                gevent.sleep(0.01)
            controller.duty.ask()
            passes = len(found)
            assert (controller.duty.fence, controller.duty.held) == (fence, True)
            while len(found) == passes:
                gevent.sleep(0.01)
    finally:
        reconciling.kill()
        controller.duty.leave()
        controller.link.stop()
        controller.events.stop()
        controller.redis.close()


@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "the same process"])
def test_channels_of_a_restarted_switch_count_as_long_as_its_carrier_may_count_them(
    world: World, board: Board, feeder: Feeder, redis: Redis, options: Settings, restarted: bool
) -> None:
    """The watchdog ended the row while the switch was away; it sent no BYE and no CANCEL then."""
    known_since(board, 0 if restarted else 60)
    tick(feeder)
    call = due(world)
    tick(feeder)
    permit, now = take(world, redis, options, call.attempt_id), datetime.now(UTC)
    claimed_at = now - timedelta(seconds=20)
    claim = world.claim(call.attempt_id, epoch=permit.epoch, fence=permit.fence, now=claimed_at)
    assert isinstance(claim, attempts.Claimed)
    end = watch.silent(call.attempt_id, State.RINGING, now, ringing_at=now, early_at=None, answered_at=None)
    attempts.apply_evidence(world.db, [end], rules=RetryRules(), timers=TIMERS, now=now)
    Desk(board).until(lambda: not permits.leases(redis, [world.carrier_id]))
    ((_, until),) = redis.zrange(f"{PREFIX}linger:{carrier_scope(world.carrier_id)}", 0, -1, withscores=True)
    left_s = (float(until) - permits.redis_now_us(redis)) / 1e6
    assert (left_s > options.crash_linger_s / 2) is restarted
