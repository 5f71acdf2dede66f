"""Events over a link: all of them, in order per call, whatever they hold and whatever their handlers do."""

from __future__ import annotations

import functools

import gevent
import pytest

from controller.frames import Event
from tests.esl.conftest import MakeLink, MakeSwitch
from tests.esl.link_scripts import with_events
from tests.esl.stub import Peer, usual, wait_for


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
