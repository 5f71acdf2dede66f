"""The relay of lab/cutter.py does to real connections what it says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from lab.cutter import Cutter


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """An address that sends back what it is sent."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(link: socket.socket) -> None:
        with link:
            try:
                while data := link.recv(1000):
                    link.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(link,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture
def way(echo: tuple[str, int]) -> Iterator[Cutter]:
    with Cutter(lambda: echo) as cutter:
        yield cutter


def connected(way: Cutter) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", way.port), timeout=10)
    link.sendall(b"hello")
    assert link.recv(100) == b"hello"
    return link


def test_it_carries_both_ways_and_cuts_all(way: Cutter) -> None:
    with connected(way) as one, connected(way) as two:
        way.cut()
        for link in (one, two):
            with pytest.raises(ConnectionResetError):
                link.recv(100)
    with connected(way):
        assert way.carried == 3


def test_a_silenced_connection_carries_nothing_and_stays_open_and_new_ones_work(way: Cutter) -> None:
    with connected(way) as old:
        way.silence()
        with connected(way) as new:
            old.sendall(b"lost")
            old.settimeout(0.3)
            with pytest.raises(TimeoutError):
                old.recv(100)
            new.sendall(b"again")
            assert new.recv(100) == b"again"


def test_what_is_held_up_comes_later_and_whole(way: Cutter) -> None:
    with connected(way) as link:
        way.hold(0.4)
        time.sleep(0.05)
        link.sendall(b"late")
        link.settimeout(0.15)
        with pytest.raises(TimeoutError):
            link.recv(100)
        link.settimeout(10)
        assert link.recv(100) == b"late"


def test_nobody_behind_it_is_a_connection_that_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with Cutter(lambda: address) as way, socket.create_connection(("127.0.0.1", way.port), timeout=10) as link:
        with contextlib.suppress(ConnectionResetError):
            assert link.recv(100) == b""
