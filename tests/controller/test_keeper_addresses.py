"""Who may call in: the list of addresses, kept with the gateways. Real Postgres, the simulated switch reading real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller import commands
from controller.board import Board
from controller.doctor_commands import acl
from controller.keeper import Keeper
from store import trunks
from tests.controller.test_keeper import apply, board, directory, keeper, put
from tests.esl.stub import wait_for
from tests.store.conftest import World
from tests.store.test_trunks import name_of

__all__ = ["board", "directory", "keeper"]  # fixtures


def test_an_address_that_is_not_wanted_any_more_may_not_call_in(
    world: World, board: Board, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.keeper.SETTLE_S", 0.0)

    def may_call(host: str) -> bool:
        return board.link.call(acl(host, "carriers")) == "true"

    put(world, "127.0.0.1:5998")
    put(world, "127.0.0.2:5998", "e2")
    assert apply(world, keeper, board) == []
    assert may_call("127.0.0.1")
    assert may_call("127.0.0.2")
    put(world, "127.0.0.3:5998")
    assert apply(world, keeper, board) == []
    wait_for(lambda: not may_call("127.0.0.1"))
    assert may_call("127.0.0.3")
    assert trunks.remove_endpoint(world.db, name_of(world), "e2")
    keeper.turn()
    wait_for(lambda: not may_call("127.0.0.2"))
    assert may_call("127.0.0.3"), "what is wanted stays"


def test_an_apply_makes_up_for_a_list_that_was_written_and_never_read(
    world: World, board: Board, keeper: Keeper, directory: Path
) -> None:
    put(world, "127.0.0.1:5998")
    assert apply(world, keeper, board) == []
    path = directory / "acl" / "carriers.xml"
    written = path.read_text()
    path.write_text("<include/>")
    board.link.call(commands.acl_reload())
    wait_for(lambda: board.link.call(acl("127.0.0.1", "carriers")) == "false")
    path.write_text(written)  # as by a controller that died just then
    assert apply(world, keeper, board) == []
    assert board.link.call(acl("127.0.0.1", "carriers")) == "true"
