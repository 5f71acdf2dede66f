"""Commands to a switch that does not read them: the write ends by its deadline, and nothing of it arrives later."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import gevent
import pytest
from gevent.event import Event as Flag

from controller import commands
from controller.esl import CommandTimeout, LinkDown
from controller.esl_wire import wire
from tests.esl.conftest import MakeLink, MakeSwitch
from tests.esl.link_scripts import ATTEMPT, flood
from tests.esl.stub import Peer, usual, wait_for


def test_peer_that_reads_nothing(switch: MakeSwitch, link: MakeLink) -> None:
    """Its window fills, sendall blocks: by the deadline the link is closed, because half a command is out."""

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.login()
        peer.answer(peer.read() or "")
        gevent.sleep(5)

    item = link(switch(script), esl_ping_interval_s=60.0)
    item.connect()
    connection = item._connection
    assert connection is not None
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    began = time.monotonic()
    with pytest.raises(LinkDown) as caught:
        flood(item)
    assert time.monotonic() - began < 3
    assert caught.value.maybe_sent is True


def test_what_had_not_left_a_lost_link_never_arrives(switch: MakeSwitch, link: MakeLink) -> None:
    """The peer stands still and goes on: what was given up meanwhile must not reach it then."""
    go_on, ended = Flag(), Flag()
    arrived = bytearray()

    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.login()
        peer.answer(peer.read() or "")
        go_on.wait(10)
        with suppress(ConnectionResetError):
            while data := peer.sock.recv(65536):
                arrived.extend(data)
        ended.set()

    item = link(switch(script, usual), esl_ping_interval_s=60.0)
    item.connect()
    connection = item._connection
    assert connection is not None
    # Room for all of it on our side: the write ends, and the reply does not come.
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    many = [commands.status()] * 50_000
    wrote = sum(len(wire(one)) for one in many)
    first, *_ = item.write(many)
    with pytest.raises(CommandTimeout):
        first.wait(0.2)
    assert connection.closed.is_set()
    go_on.set()
    assert ended.wait(10)
    assert len(arrived) < wrote / 2, "what lay in our buffer was sent after the link had been given up"


def test_interrupted_write_closes_the_link(switch: MakeSwitch, link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.login()
        peer.answer(peer.read() or "")
        gevent.sleep(5)

    item = link(switch(script, usual), esl_ping_interval_s=60.0, esl_command_timeout_s=30.0)
    item.connect()
    connection = item._connection
    assert connection is not None
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.3):
        flood(item)
    assert "interrupted" in str(connection.error)
    wait_for(lambda: item.up)


def test_a_large_command_is_sent_whole(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch()
    item = link(target, esl_ping_interval_s=5.0, esl_command_timeout_s=5.0)
    item.connect()
    pendings = item.write([commands.uuid_exists(ATTEMPT)] * 20_000)
    assert pendings[-1].wait() == "false"
    assert target.peers[0].got.count(f"api uuid_exists {ATTEMPT}") == 20_000
