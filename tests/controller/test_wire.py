"""What a claimed attempt becomes on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from calls.trunk import PLAIN
from controller.board import Board
from controller.dial import wire_of
from controller.warm import NOBODY, _claimed, _dial
from lab.host import LabCarrier, LabSwitch
from tests.controller.test_reconcile import board

__all__ = ["board"]


@pytest.fixture(scope="module")
def switch() -> Iterator[LabSwitch]:
    with LabCarrier("a", channels=20, cps=50) as carrier, LabSwitch({"gw": carrier.sip}) as running:
        yield running


def originate(board: Board, **changes: str) -> str:
    board.trunks[NOBODY] = PLAIN
    wire = wire_of(_dial(board), replace(_claimed(), **changes))
    assert wire is not None
    return wire[1].wire.decode()


@pytest.mark.parametrize(("kind", "forked"), [("websocket", True), ("fleet", True), ("announcement", False), ("sip", False)])
def test_whoever_has_a_socket_hears_the_callee_from_the_answer_on(board: Board, kind: str, forked: bool) -> None:
    assert ("api_on_answer='uuid_audio_fork" in originate(board, agent_kind=kind)) == forked


def test_who_is_behind_a_trunk_is_dialed_by_the_name_it_has_there(board: Board) -> None:
    assert "}sofia/gateway/nobody/desk.2 &park()" in originate(board, agent_kind="sip", user="desk.2")
    assert "}sofia/gateway/nobody/+12025550100 &park()" in originate(board, agent_kind="sip")
