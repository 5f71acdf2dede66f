"""A fresh controller's first dial meets nothing that is done for the first time; the warm-up leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from budget import scripts
from budget.replies import texts
from budget.worker import DialRunner
from controller.board import Board
from controller.warm import NOBODY, warm_up
from lab.host import LabCarrier, LabSwitch
from store.pool import open_database
from tests.controller.test_reconcile import board, due
from tests.store.conftest import World

__all__ = ["board"]

PATCHED = (
    "from gevent import monkey; monkey.patch_all(); import runpy; "
    "runpy.run_module('tests.controller.first_dial', run_name='__main__')"
)


@pytest.fixture(scope="module")
def switch() -> Iterator[LabSwitch]:
    with LabCarrier("a", channels=20, cps=50) as carrier, LabSwitch({"gw": carrier.sip}) as running:
        yield running


def first_dial(world: World, board: Board, warmed: str) -> dict[str, Any]:
    attempt = due(world).attempt_id
    words = [board.settings.model_dump_json(), str(attempt), str(world.carrier_id), warmed]
    ran = subprocess.run([sys.executable, "-c", PATCHED, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def test_nothing_is_done_for_the_first_time_while_dialing(world: World, board: Board) -> None:
    told = first_dial(world, board, "warmed")
    assert told == {"result": "sent", "imported": [], "put together": 0, "unknown to Redis": 0}


def test_without_it_much_is(world: World, board: Board) -> None:
    """What the other test would see."""
    told = first_dial(world, board, "cold")
    assert told["result"] == "sent"
    assert any("phonenumbers" in name for name in told["imported"])
    assert told["put together"] >= 2
    assert told["unknown to Redis"] >= 2


def test_it_leaves_nothing_behind(world: World, board: Board) -> None:
    redis: Any = board.redis
    before = set(texts(redis.keys("*")))
    board.stopping.set()  # nobody dials
    warm_up(board, DialRunner(redis, "dial-fresh"))
    assert set(texts(redis.keys("*"))) - before <= {"rq:worker:dial-fresh"}
    assert all(redis.script_exists(*(scripts.script(redis, name)[1] for name in scripts.names())))


def test_what_is_away_holds_nobody_up(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    settings = board.settings.model_copy(
        update={"database_url": "postgresql://nobody@127.0.0.1:1/none", "db_pool_timeout_s": 0.2}
    )
    away = type(board)(settings, open_database(settings, "away", cooperative=False), board.redis, board.link, board.events)
    try:
        warm_up(away, DialRunner(board.redis, "dial-fresh"))
    finally:
        away.db.close()
    assert "Postgres was not warmed" in caplog.text
    assert not board.redis.exists(f"rq:job:{NOBODY}")
