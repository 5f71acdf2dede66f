"""An operator's wishes at one controller: hangups of many in portions, and a switch that is drained."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import gevent
import psycopg
import pytest

from controller import drained as module
from controller.board import Board
from controller.drained import DrainWatch
from controller.hangups import PORTION
from store import commands as rows
from store import kill, switches
from store.kill import Target
from tests.controller.test_probe import Runner
from tests.controller.test_reconcile import board, switch
from tests.store.conftest import World, at

__all__ = ["board", "switch"]  # fixtures


class Noting(Runner):
    """Kills nothing, and notes whom it would."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.killed: list[UUID] = []

    def kill(self, attempt: UUID, who: str) -> bool:
        self.killed.append(attempt)
        return True


def ids(world: World, count: int) -> list[UUID]:
    return [world.dialing().attempt_id for _ in range(count)]


def test_of_an_operators_hangups_a_portion_at_a_time_and_others_first(world: World, board: Board) -> None:
    many = ids(world, PORTION + 5)
    kill.kill(world.db, Target(tenant_id=world.tenant.id), at(2))
    (own,) = ids(world, 1)
    assert rows.add(world.db, own, "fs1", "hangup", "customer", now=at(3)) is not None
    runner = Noting(board)
    runner.sweep()
    assert runner.killed == [own, *many[:PORTION]], "the customer's came last and goes first"
    runner.sweep()
    assert runner.killed[PORTION + 1 :] == many[PORTION:]
    runner.sweep()
    assert len(runner.killed) == PORTION + 6


class Absent(Noting):
    """Whose first channels are not up yet."""

    def kill(self, attempt: UUID, who: str) -> bool:
        super().kill(attempt, who)
        return len(self.killed) > PORTION


def test_those_whose_channel_is_not_up_yet_hold_up_nobody(world: World, board: Board) -> None:
    many = ids(world, PORTION + 5)
    kill.kill(world.db, Target(tenant_id=world.tenant.id), at(2))
    runner = Absent(board)
    runner.sweep()
    runner.sweep()
    assert runner.killed == many, "each was tried once"
    runner.sweep()
    assert runner.killed[len(many) :] == many[:PORTION], "and then the first again"


def test_between_two_of_them_the_switch_has_time(world: World, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    ids(world, 4)
    kill.kill(world.db, Target(tenant_id=world.tenant.id), at(2))
    rests: list[float] = []
    monkeypatch.setattr(gevent, "sleep", rests.append)
    Noting(board).sweep()
    assert rests == [1 / board.settings.operator_hangups_per_s] * 4


def test_a_drain_is_told_and_read(world: World, board: Board) -> None:
    name, now = board.settings.switch, datetime.now(UTC)
    switches.seen(world.db, name, "core", now)
    changes: list[bool] = []
    watch = DrainWatch(board, lambda: changes.append(board.drained))
    assert board.drained, "before the first look nobody knows"
    with psycopg.connect(world.url, autocommit=True) as conn:
        conn.execute("LISTEN switches")
        for wanted in (now, None):
            watch.round()
            switches.drain(world.db, name, wanted)
            assert [notice.channel for notice in conn.notifies(timeout=30, stop_after=1)] == ["switches"]
            watch.round()
    assert changes == [False, True, False]


def test_a_postgres_that_says_nothing_for_long_closes_the_switch(
    world: World, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = DrainWatch(board, lambda: None)
    watch.round()
    assert not board.drained

    def away(*_: object) -> bool:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(switches, "drained", away)
    watch.round()
    assert not board.drained, "a moment is nothing: the claim looks too"
    monkeypatch.setattr(module, "UNREAD_S", 0.0)
    watch.round()
    assert board.drained
    monkeypatch.undo()
    watch.round()
    assert not board.drained
