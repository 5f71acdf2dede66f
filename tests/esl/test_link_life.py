"""A link's life: subscribed again after a loss, its owner told, restarts seen, stopped without a trace."""

from __future__ import annotations

import time

import gevent
import pytest

from controller import commands
from controller.esl import CALL_EVENTS, LinkDown, LinkState
from controller.frames import Event
from tests.esl.conftest import MakeLink, MakeSwitch
from tests.esl.link_scripts import ATTEMPT, with_events
from tests.esl.stub import Peer, usual, wait_for


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
        "filter Event-Subclass trunkline::inbound",
        f"event json {' '.join(CALL_EVENTS.events)} CUSTOM sofia::gateway_state trunkline::inbound",
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
