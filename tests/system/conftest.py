"""The whole house for a test module: ``stack``, a tenant in it, and the lab's own words to its switch."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Callable, Iterator

import pytest

from trunkline.stack import LabCarrier, Route, Stack

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything on private servers: one lab carrier (20 channels, 10 CPS) behind every number."""
    with Stack(CHECKOUT, [LabCarrier("lab_a", 20, 10)], [Route("all", ("",), ("lab_a",))], private=True) as running:
        yield running


@pytest.fixture
def lab(stack: Stack) -> Callable[[str], str]:
    """``lab("tone <uuid> 440")``: the reply to ``api lab ...`` on the simulated switch (lab/README.md)."""

    def ask(words: str) -> str:
        with socket.create_connection(("127.0.0.1", stack.esl_port), timeout=5) as link, link.makefile("rb") as reply:
            link.sendall(f"auth {stack.esl_password}\n\napi lab {words}\n\n".encode())
            while True:
                head = dict(
                    line.split(": ", 1) for line in iter(lambda: reply.readline().decode().strip(), "") if ": " in line
                )
                body = reply.read(int(head.get("Content-Length", 0))).decode()
                if head["Content-Type"] == "api/response":
                    return body.strip()

    return ask
