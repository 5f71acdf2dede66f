"""Every fault the stock client showed, against ours: it survives or goes down cleanly, and no waiter waits too long.

The names follow the table of what was reproduced with greenswitch 0.0.19.
"""

from __future__ import annotations

import functools
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import gevent
import pytest
from gevent.event import Event as Flag

from controller import commands
from controller.esl import CALL_EVENTS, AuthRejected, CommandTimeout, EslLink, LinkDown, LinkState
from controller.esl_wire import wire
from controller.frames import Event
from tests.esl.conftest import MakeLink, MakeSwitch
from tests.esl.stub import PASSWORD, Peer, event_frame, usual, wait_for

ATTEMPT = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")


def up_then(fault: Callable[[Peer], None], *, on: str = "api status") -> Callable[[Peer], None]:
    """A switch that behaves until it reads the command that begins with ``on``; then it does ``fault``."""

    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if command.startswith(on):
                fault(peer)
                return
            peer.answer(command)

    return script


def hold(peer: Peer) -> None:
    """Stay connected and say nothing."""
    while peer.read() is not None:
        pass


def after(first: Callable[[Peer], None], then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        first(peer)
        then(peer)

    return script


def poke(item: EslLink) -> float:
    """Call ``status`` on a switch that will not answer it; seconds until the error."""
    began = time.monotonic()
    with pytest.raises(LinkDown) as caught:
        item.call(commands.status())
    assert caught.value.maybe_sent is True
    return time.monotonic() - began


def comes_back(item: EslLink) -> None:
    wait_for(lambda: item.counters.downs == 1 and item.up)
    assert item.call(commands.uuid_exists(ATTEMPT)) == "false"


def bad_bytes(data: bytes) -> Callable[[Peer], None]:
    def fault(peer: Peer) -> None:
        peer.send(data)
        hold(peer)

    return fault


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
    item = link(switch(up_then(bad_bytes(data)), usual), esl_ping_interval_s=5.0)
    item.connect()
    if data.count(b"+OK") == 2:
        assert item.call(commands.status()) == "+OK"
    else:
        assert poke(item) < 0.3  # at once, not by the command's timeout
    comes_back(item)
    assert item.counters.bad_frames == 1


def test_peer_closes_while_a_command_waits(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(up_then(Peer.close), usual), esl_command_timeout_s=3.0, esl_ping_interval_s=5.0)
    item.connect()
    assert poke(item) < 1.0
    comes_back(item)


def test_peer_closes_in_the_middle_of_a_body(switch: MakeSwitch, link: MakeLink) -> None:
    """The stock reader spins there for ever and freezes the process; ours lets other greenlets run."""

    def fault(peer: Peer) -> None:
        peer.send(event_frame("CHANNEL_CREATE", filler="x" * 500)[:300])
        peer.close()

    item = link(switch(up_then(fault), usual), esl_ping_interval_s=5.0)
    item.connect()
    assert poke(item) < 0.3
    comes_back(item)


def test_peer_silent_after_a_command(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(up_then(hold), usual), esl_ping_interval_s=5.0)
    item.connect()
    began = time.monotonic()
    with pytest.raises(CommandTimeout):
        item.call(commands.status())
    assert time.monotonic() - began < 1.0
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
    item = link(switch(script), esl_connect_timeout_s=0.4, esl_command_timeout_s=5.0)
    began = time.monotonic()
    with pytest.raises(LinkDown) as caught:
        item.connect()
    assert 0.3 < time.monotonic() - began < 1.5
    assert caught.value.maybe_sent is False
    assert item.state is LinkState.STOPPED


def test_peer_that_trickles_cannot_stretch_the_deadline(switch: MakeSwitch, link: MakeLink) -> None:
    def trickle(peer: Peer) -> None:
        for byte in b"Content-Type: auth/request\nX: " + b"y" * 500:
            peer.send(bytes([byte]))
            gevent.sleep(0.01)

    item = link(switch(trickle), esl_connect_timeout_s=0.4)
    began = time.monotonic()
    with pytest.raises(LinkDown):
        item.connect()
    assert time.monotonic() - began < 1.5


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

    item = link(switch(up_then(fault)), esl_ping_interval_s=5.0, esl_backoff_min_s=5.0, esl_backoff_max_s=10.0)
    downs: list[str] = []
    item.on_down(downs.append)
    item.connect()
    assert poke(item) < 0.3
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


def flood(item: EslLink) -> None:
    """More than any socket buffer holds."""
    for _ in range(200):
        item.write([commands.status()] * 1000)


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


# --- events -----------------------------------------------------------------------------------------------------------


def with_events(send: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """Log in, answer the subscription, send, then serve on."""

    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            peer.answer(command)
            if "core_uuid" in command:
                send(peer)

    return script


def test_events_before_the_end_are_all_handled(switch: MakeSwitch, link: MakeLink) -> None:
    """The stock client handled 16 of 100."""

    def send(peer: Peer) -> None:
        for number in range(100):
            peer.event("CHANNEL_CREATE", **{"Unique-ID": f"call-{number % 7}", "number": str(number)})
        peer.close()

    target = switch(with_events(send), usual)
    item = link(target, role="events")
    got: list[int] = []

    def slow(event: Event) -> None:
        gevent.sleep(0.001)
        got.append(int(str(event["number"])))

    item.register_handle("CHANNEL_CREATE", slow)
    item.start()
    wait_for(lambda: len(got) == 100)
    assert sorted(got) == list(range(100))


def test_order_within_a_call_and_a_slow_call_delays_no_other_shard(switch: MakeSwitch, link: MakeLink) -> None:
    gate = gevent.event.Event()

    def send(peer: Peer) -> None:
        for number in range(30):
            for call in range(16):
                peer.event("CHANNEL_CREATE", **{"Unique-ID": f"call-{call}", "number": str(number)})

    item = link(switch(with_events(send)), role="events", event_shards=4)
    got: dict[str, list[int]] = {}

    def handler(event: Event) -> None:
        call = str(event["Unique-ID"])
        if call == "call-0":
            gate.wait(5)
        got.setdefault(call, []).append(int(str(event["number"])))

    item.on_event(handler)
    item.start()
    slow_shard = hash("call-0") % 4
    others = [f"call-{n}" for n in range(16) if hash(f"call-{n}") % 4 != slow_shard]
    wait_for(lambda: all(len(got.get(call, [])) == 30 for call in others))
    assert "call-0" not in got
    gate.set()
    wait_for(lambda: all(len(got.get(f"call-{n}", [])) == 30 for n in range(16)))
    assert all(numbers == list(range(30)) for numbers in got.values())


def test_full_queue_holds_the_switch_back_and_loses_nothing(switch: MakeSwitch, link: MakeLink) -> None:
    gate = gevent.event.Event()
    total = 500

    def send(peer: Peer) -> None:
        for number in range(total):
            peer.event("CHANNEL_CREATE", **{"Unique-ID": "one", "number": str(number)})

    item = link(
        switch(with_events(send)), role="events", esl_event_queue=16, esl_ping_interval_s=0.05, esl_command_timeout_s=0.1
    )
    got: list[int] = []

    def handler(event: Event) -> None:
        gate.wait(5)
        got.append(int(str(event["number"])))

    item.on_event(handler)
    item.start()
    wait_for(lambda: item.dispatcher.stalls > 0)
    gevent.sleep(0.4)  # longer than a ping may take: our own slowness is not the switch's silence
    assert item.up
    assert item.counters.frames < total
    gate.set()
    wait_for(lambda: len(got) == total)
    assert got == list(range(total))
    assert item.counters.downs == 0


@pytest.mark.parametrize("error", [RuntimeError("handler"), gevent.Timeout(1)])
def test_handler_that_raises(switch: MakeSwitch, link: MakeLink, error: BaseException) -> None:
    """A partial has no __name__: that alone ended the stock dispatcher."""

    def send(peer: Peer) -> None:
        for number in range(10):
            peer.event("CHANNEL_CREATE", **{"Unique-ID": "one", "number": str(number)})

    item = link(switch(with_events(send)), role="events")
    got: list[str] = []

    def fails(_extra: int, _event: Event) -> None:
        raise error

    item.register_handle("CHANNEL_CREATE", functools.partial(fails, 1))
    item.register_handle("CHANNEL_CREATE", lambda event: got.append(str(event["number"])))
    item.start()
    wait_for(lambda: len(got) == 10)
    assert item.dispatcher.errors == 10
    assert item.up


def test_star_runs_beside_a_specific_handler(switch: MakeSwitch, link: MakeLink) -> None:
    def send(peer: Peer) -> None:
        peer.event("CHANNEL_CREATE", **{"Unique-ID": "one"})
        peer.event("CUSTOM", **{"Event-Subclass": "sofia::gateway_state"})

    item = link(switch(with_events(send)), role="events", event_shards=1)
    got: list[str] = []
    item.register_handle("CHANNEL_CREATE", lambda _: got.append("create"))
    item.register_handle("sofia::gateway_state", lambda _: got.append("gateway"))
    item.on_event(lambda _: got.append("star"))
    item.start()
    wait_for(lambda: len(got) == 4)
    assert got == ["create", "star", "gateway", "star"]


def test_bytes_that_are_no_utf8_and_events_that_are_no_json(switch: MakeSwitch, link: MakeLink) -> None:
    def frame(body: bytes) -> bytes:
        return b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)

    def send(peer: Peer) -> None:
        peer.send(frame(b'{"Event-Name":"CHANNEL_CREATE","Unique-ID":"a","x":"\xff\xfe"}'))
        peer.send(frame(b"{not json"))
        peer.send(frame(b"[" * 100_000))
        peer.send(frame(b'["a list"]'))
        peer.send(frame(b'{"Event-Name":"CHANNEL_CREATE","Unique-ID":7,"x":["a","b"]}'))

    item = link(switch(with_events(send)), role="events")
    got: list[Event] = []
    item.on_event(got.append)
    item.start()
    wait_for(lambda: len(got) == 2)
    assert got[0]["x"] == "\ufffd\ufffd"
    assert got[1]["x"] == ["a", "b"]
    assert item.counters.bad_events == 3
    assert item.up


def test_resubscribes_after_a_reconnect_and_tells_its_owner(switch: MakeSwitch, link: MakeLink) -> None:
    def first(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            peer.answer(command)
            if "core_uuid" in command:
                peer.event("CHANNEL_CREATE", **{"Unique-ID": "one"})
                gevent.sleep(0.05)
                return

    target = switch(first, with_events(lambda peer: peer.event("CHANNEL_ANSWER", **{"Unique-ID": "one"})))
    item = link(target, role="events")
    story: list[str] = []
    item.on_up(lambda: story.append("up"))
    item.on_down(lambda _: story.append("down"))
    got: list[str] = []
    item.on_event(lambda event: got.append(str(event["Event-Name"])))
    item.start()
    wait_for(lambda: got == ["CHANNEL_CREATE", "CHANNEL_ANSWER"])
    wait_for(lambda: story == ["up", "down", "up"])
    assert item.counters.reconnects == 1
    subscription = [c for c in target.peers[0].got if c.startswith(("filter", "event"))]
    assert subscription == [c for c in target.peers[1].got if c.startswith(("filter", "event"))]
    assert subscription == [
        "filter variable_trunkline_attempt /.+/",
        "filter Event-Name BACKGROUND_JOB",
        "filter Event-Name HEARTBEAT",
        "filter Event-Subclass sofia::gateway_state",
        f"event json {' '.join(CALL_EVENTS.events)} CUSTOM sofia::gateway_state",
    ]


def test_refused_subscription_is_no_link(switch: MakeSwitch, link: MakeLink) -> None:
    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if command.startswith("event"):
                peer.reply("-ERR permission denied")
            else:
                peer.answer(command)

    item = link(switch(script), role="events")
    with pytest.raises(LinkDown, match="permission denied"):
        item.connect()


def test_hook_may_use_the_link_and_may_fail(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch())
    got: list[str] = []

    def broken() -> None:
        raise RuntimeError("hook")

    item.on_up(broken)
    item.on_up(lambda: got.append(item.call(commands.uuid_exists(ATTEMPT))))
    item.start()
    wait_for(lambda: got == ["false"])


def test_missed_heartbeats_are_a_down(switch: MakeSwitch, link: MakeLink) -> None:
    def beat(peer: Peer) -> None:
        for _ in range(8):
            peer.event("HEARTBEAT")
            gevent.sleep(0.05)

    target = switch(with_events(beat), usual)
    item = link(target, role="events", heartbeat_interval_s=0.1, heartbeat_missed=3, esl_ping_interval_s=0.05)
    downs: list[str] = []
    item.on_down(downs.append)
    began = time.monotonic()
    item.start()
    wait_for(lambda: len(downs) == 1)
    assert time.monotonic() - began > 0.4 + 0.3  # not while it beat
    assert "heartbeat" in downs[0]


def test_another_core_uuid_is_a_restart(switch: MakeSwitch, link: MakeLink) -> None:
    other = "99999999-9999-4999-8999-999999999999"

    def restarted(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            if "core_uuid" in command:
                peer.api(other)
            else:
                peer.answer(command)

    target = switch(usual, restarted)
    item = link(target, role="events")
    seen: list[tuple[str, str]] = []
    item.on_restart(lambda old, new: seen.append((old, new)))
    item.connect()
    old = item.core_uuid
    target.peers[0].close()
    wait_for(lambda: seen == [(old, other)])
    assert item.core_uuid == other
    assert item.counters.restarts == 1


def test_backoff_grows_with_jitter_and_ends(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(), esl_backoff_min_s=0.2, esl_backoff_max_s=10.0)
    waits = [[item.backoff_s(n) for _ in range(50)] for n in (0, 1, 2, 5, 6, 7, 50)]
    for wait, whole in zip(waits, (0.2, 0.2, 0.4, 3.2, 6.4, 10.0, 10.0), strict=True):
        assert all(whole / 2 <= w <= whole for w in wait)
        assert len(set(wait)) > 1


def test_reconnects_until_the_switch_is_there(switch: MakeSwitch, link: MakeLink) -> None:
    target = switch(Peer.close, Peer.close, Peer.close, usual)
    item = link(target)
    item.start()
    assert item.wait_up(5)
    assert item.counters.failed_connects == 3


def test_stop_from_inside_a_handler(switch: MakeSwitch, link: MakeLink) -> None:
    item = link(switch(with_events(lambda peer: peer.event("CHANNEL_CREATE", **{"Unique-ID": "a"}))), role="events")
    item.on_event(lambda _: item.stop(0.2))
    item.start()
    wait_for(lambda: item.state is LinkState.STOPPED)


def test_stop_lets_handlers_finish_and_counts_what_it_drops(switch: MakeSwitch, link: MakeLink) -> None:
    def send(peer: Peer) -> None:
        for number in range(20):
            peer.event("CHANNEL_CREATE", **{"Unique-ID": "one", "number": str(number)})

    item = link(switch(with_events(send)), role="events")
    got: list[str] = []

    def handler(event: Event) -> None:
        gevent.sleep(0.05)
        got.append(str(event["number"]))

    item.on_event(handler)
    item.start()
    wait_for(lambda: len(got) >= 1 and item.counters.frames >= 20)
    item.stop(0.2)
    assert 2 <= len(got) < 20
    assert len(got) + item.dispatcher.dropped in (19, 20)  # one may have been cut short in its handler
