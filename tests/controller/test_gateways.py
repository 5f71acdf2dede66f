"""What the switch says of its gateways: kept here for the pumps, written down for everybody else."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import gevent

from controller.board import Board
from controller.esl import EslLink
from controller.gateways import Gateways
from store import carriers, outcomes, trunks
from tests.controller.test_reconcile import board, switch
from tests.esl.stub import wait_for
from tests.store.conftest import World

__all__ = ["board", "switch"]  # fixtures


def lab(link: EslLink, words: str) -> None:
    """A word to the simulated switch, past the builders."""
    settings = link.settings
    with socket.create_connection((settings.esl_host, settings.esl_port), timeout=5) as raw, raw.makefile("rb") as reply:
        raw.sendall(f"auth {settings.esl_password}\n\napi lab {words}\n\n".encode())
        while b"api/response" not in reply.readline():
            pass


def own(world: World, gateway: str, *, enabled: bool = True) -> None:
    """The carrier has this gateway and no other that is enabled."""
    for endpoint in carriers.list_endpoints(world.db):
        carriers.put_endpoint(
            world.db, carrier_id=endpoint.carrier_id, gateway=endpoint.gateway, address=endpoint.address, enabled=False
        )
    carriers.put_endpoint(world.db, carrier_id=world.carrier_id, gateway=gateway, address="127.0.0.1:5060", enabled=enabled)


def test_up_down_and_what_is_not_known(world: World, board: Board) -> None:
    own(world, "gw")
    gateways = Gateways(board)
    now = datetime.now(UTC)
    assert not gateways.down(world.carrier_id), "nobody has looked yet"
    assert gateways.look(now) == {world.carrier_id: {"gw": True}}
    lab(board.link, "gateway gw down")
    assert gateways.look(now + timedelta(seconds=5)) == {world.carrier_id: {"gw": False}}
    assert gateways.down(world.carrier_id)
    (row,) = outcomes.gateways(world.db, now)[world.carrier_id]
    assert (row.gateway, row.switch, row.up, row.since) == ("gw", "fs1", False, now + timedelta(seconds=5))
    lab(board.link, "gateway gw up")
    gateways.look(now + timedelta(seconds=9))
    assert not gateways.down(world.carrier_id)
    own(world, "nobody-knows-it")
    assert gateways.look(now + timedelta(seconds=10)) == {}
    assert not gateways.down(world.carrier_id), "an originate will tell"


def test_an_event_makes_it_look_at_once(world: World, board: Board) -> None:
    own(world, "gw")
    gateways = Gateways(board)
    board.events.register_handle("sofia::gateway_state", gateways.on_event)
    board.events.connect()
    loop = gevent.spawn(gateways.run)
    try:
        wait_for(lambda: bool(outcomes.gateways(world.db, datetime.now(UTC) - timedelta(seconds=60))))
        lab(board.link, "gateway gw down")
        wait_for(lambda: gateways.down(world.carrier_id))
        lab(board.link, "gateway gw up")
        wait_for(lambda: not gateways.down(world.carrier_id))
    finally:
        loop.kill()
        board.events.stop()


def test_what_the_switch_has_not_yet_says_nothing_of_the_carrier(world: World, board: Board) -> None:
    for endpoint in carriers.list_endpoints(world.db):
        carriers.put_endpoint(
            world.db, carrier_id=endpoint.carrier_id, gateway=endpoint.gateway, address=endpoint.address, enabled=False
        )
    ((name,),) = world.rows("SELECT name FROM carriers WHERE id = %s", world.carrier_id)
    made = trunks.put_endpoint(
        world.db, carrier_id=world.carrier_id, carrier=name, name=uuid4().hex[:6], address="127.0.0.1:5061"
    )
    gateways, now = Gateways(board), datetime.now(UTC)
    assert gateways.look(now) == {world.carrier_id: {made.gateway: False}}
    assert gateways.down(world.carrier_id), "no permit is asked for from here"
    assert outcomes.gateways(world.db, now - timedelta(seconds=30)).get(world.carrier_id, []) == []
    assert world.rows("SELECT 1 FROM gateway_states WHERE gateway = %s", made.gateway) == []
