"""A port that was chosen is nobody else's until it is used."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline import private
from trunkline.private import MARKS, PORTS, free_port

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> range:
    """Hardly any ports to choose from."""
    first = free_port()
    monkeypatch.setattr(private, "PORTS", range(first, first + 8))
    return private.PORTS


def test_no_port_is_chosen_twice(few: range) -> None:
    chosen = [few[0]]
    with contextlib.suppress(private.ServerFailed):
        while len(chosen) <= len(few):
            chosen.append(free_port())
    assert len(set(chosen)) == len(chosen) <= len(few)
    with pytest.raises(private.ServerFailed, match="no port"):
        free_port()


def test_another_process_chooses_others() -> None:
    program = "from trunkline.private import free_port; print(*(free_port() for _ in range(3)), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        taken = [int(port) for port in other.stdout.readline().split()]
        assert len(taken) == 3
        assert [private._marked(port) for port in taken] == [sys.platform != "linux"] * 3
        other.communicate("\n")
    assert all(private._marked(port) for port in taken), "it has ended"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_what_somebody_has_is_not_free(monkeypatch: pytest.MonkeyPatch, kind: socket.SocketKind) -> None:
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(private, "PORTS", [taken.getsockname()[1]])
        with pytest.raises(private.ServerFailed, match="no port"):
            free_port(kind)


def test_only_the_last_are_kept_from_others() -> None:
    for _ in range(MARKS + 10):
        assert free_port() in PORTS
    assert len(private._marks) <= MARKS
