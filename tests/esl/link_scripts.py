"""What switches by script do to a link, and what a link is seen to do then."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

import pytest

from controller import commands
from controller.esl import EslLink, LinkDown
from tests.esl.stub import Peer, wait_for

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


def with_events(send: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """Log in, answer the subscription, send, then serve on."""

    def script(peer: Peer) -> None:
        peer.login()
        while (command := peer.read()) is not None:
            peer.answer(command)
            if "core_uuid" in command:
                send(peer)

    return script


def flood(item: EslLink) -> None:
    """More than any socket buffer holds."""
    for _ in range(200):
        item.write([commands.status()] * 1000)
