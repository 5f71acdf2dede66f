"""Every fault the stock client showed, against ours: it survives or goes down cleanly, and no waiter waits too long.

The names follow the table of what was reproduced with greenswitch 0.0.19. Faults while writing are in test_link_writes.py,
of events in test_link_events.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import pytest

from controller import commands
from controller.esl import AuthRejected, CommandTimeout, LinkDown, LinkState
from tests.esl.conftest import MakeLink, MakeSwitch
from tests.esl.link_scripts import after, bad_bytes, comes_back, hold, poke, up_then
from tests.esl.stub import PASSWORD, Peer, event_frame, usual, wait_for


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Reply-Text: +OK\n\n", id="no-content-type"),
        pytest.param(b"Content-Type: api/response\nContent-Length: -1\n\n", id="negative-length"),
        pytest.param(b"Content-Type: api/response\nContent-Length: 99999999999\n\n", id="huge-length"),
        pytest.param(b"Content-Type: api/response\nContent-Length: many\n\n", id="length-no-number"),
        pytest.param(b"Content-Type: a\nContent-Type: b\n\n", id="content-type-twice"),
        pytest.param(b"nonsense\n\n", id="no-colon"),
        pytest.param(b"x" * 70_000, id="endless-head"),
        pytest.param(b"Content-Type: command/reply\nReply-Text: +OK\n\n" * 2, id="a-reply-too-many"),
    ],
)
def test_bad_frame_is_one_down_and_a_new_connection(switch: MakeSwitch, link: MakeLink, data: bytes) -> None:
    item = link(switch(up_then(bad_bytes(data)), usual), esl_command_timeout_s=30.0, esl_ping_interval_s=15.0)
    item.connect()
    if data.count(b"+OK") == 2:
        assert item.call(commands.status()) == "+OK"
    else:
        assert poke(item) < 10  # at once, not by the command's timeout
    comes_back(item)
    assert item.counters.bad_frames == 1


def test_peer_closes_while_a_command_waits(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(up_then(Peer.close), usual), esl_command_timeout_s=30.0, esl_ping_interval_s=15.0)
    item.connect()
    assert poke(item) < 10
    comes_back(item)


def test_peer_closes_in_the_middle_of_a_body(switch: MakeSwitch, link: MakeLink) -> None:
    """The stock reader spins there for ever and freezes the process; ours lets other greenlets run."""

    def fault(peer: Peer) -> None:
        peer.send(event_frame("CHANNEL_CREATE", filler="x" * 500)[:300])
        peer.close()

    item = link(switch(up_then(fault), usual), esl_command_timeout_s=30.0, esl_ping_interval_s=15.0)
    item.connect()
    assert poke(item) < 10
    comes_back(item)


def test_peer_silent_after_a_command(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(up_then(hold), usual), esl_ping_interval_s=30.0)
    item.connect()
    began = time.monotonic()
    with pytest.raises(CommandTimeout):
        item.call(commands.status())
    assert time.monotonic() - began < 10
    comes_back(item)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(hold, id="silent-after-accept"),
        pytest.param(after(lambda peer: peer.send(b"Content-Type: auth/request\n\n"), hold), id="silent-after-auth"),
        pytest.param(after(Peer.login, hold), id="silent-after-login"),
    ],
)
def test_silence_while_connecting_ends_by_the_deadline(
    switch: MakeSwitch, link: MakeLink, script: Callable[[Peer], None]
) -> None:
    item = link(switch(script), esl_connect_timeout_s=0.4, esl_command_timeout_s=30.0)
    began = time.monotonic()
    with pytest.raises(LinkDown) as caught:
        item.connect()
    assert 0.3 < time.monotonic() - began < 10
    assert caught.value.maybe_sent is False
    assert item.state is LinkState.STOPPED


def test_peer_that_trickles_cannot_stretch_the_deadline(switch: MakeSwitch, link: MakeLink) -> None:
    def trickle(peer: Peer) -> None:
        for byte in b"Content-Type: auth/request\nX: " + b"y" * 3000:
            peer.send(bytes([byte]))
            gevent.sleep(0.01)

    item = link(switch(trickle), esl_connect_timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(LinkDown):
        item.connect()
    assert time.monotonic() - began < 10


def test_peer_closes_before_auth(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(Peer.close))
    with pytest.raises(LinkDown, match="closed"):
        item.connect()


def test_connection_refused(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch()
    item = link(target)
    target.stop()
    with pytest.raises(LinkDown, match="cannot connect"):
        item.connect()


def test_wrong_password(switch: MakeSwitch, link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.login()
        peer.send(b"Content-Type: text/disconnect-notice\nContent-Length: 14\n\nDisconnected.\n")

    item = link(switch(script), esl_password=PASSWORD + "x")
    with pytest.raises(AuthRejected, match="-ERR invalid"):
        item.connect()


def test_access_list(switch: MakeSwitch, link: MakeLink) -> None:
    text = b"Access Denied, go away.\n"
    rude = b"Content-Type: text/rude-rejection\nContent-Length: %d\n\n%s" % (len(text), text)
    item = link(switch(lambda peer: peer.send(rude)))
    with pytest.raises(AuthRejected, match="access list"):
        item.connect()


def test_goodbye_of_the_switch(switch: MakeSwitch, link: MakeLink) -> None:
    """It ends the conversation there and then: what stands behind it is no answer to anything."""

    def fault(peer: Peer) -> None:
        notice = b"Content-Type: text/disconnect-notice\nContent-Length: 14\n\nDisconnected.\n"
        peer.send(notice + b"Content-Type: command/reply\nReply-Text: +OK\n\n")
        hold(peer)

    slow = {"esl_command_timeout_s": 30.0, "esl_ping_interval_s": 15.0, "esl_backoff_min_s": 5.0, "esl_backoff_max_s": 10.0}
    item = link(switch(up_then(fault)), **slow)
    downs: list[str] = []
    item.on_down(downs.append)
    item.connect()
    assert poke(item) < 10
    wait_for(lambda: downs == ["the switch said goodbye"])
    assert (item.state, item.connected, item.wait_up(0)) == (LinkState.DOWN, False, False)
    assert item.counters.bad_frames == 0


def test_notice_of_a_lingering_socket_has_its_body_consumed(switch: MakeSwitch, link: MakeLink) -> None:
    def fault(peer: Peer) -> None:
        peer.send(b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nContent-Length: 5\n\nsoon\n")
        peer.api("UP")
        peer.serve()

    item = link(switch(up_then(fault)))
    item.connect()
    assert item.call(commands.status()) == "UP"


def test_half_open_peer(switch: MakeSwitch, link: MakeLink) -> None:
    """The peer is gone without a word: nothing comes back any more. Pings notice."""
    target = switch(up_then(hold, on="api uuid_exists 0000"), usual)
    item = link(target)
    item.connect()
    wait_for(lambda: len(target.peers) == 2 and item.up)
    assert item.counters.timeouts == 1
