"""``api ...`` on a stack's lab switch, over a connection of its own."""

from __future__ import annotations

import socket

from trunkline.stack import Stack


def ask(stack: Stack, words: str, switch: int = 0) -> str:
    """The reply to ``api <words>`` of the stack's switch of that index."""
    place = stack.places[switch]
    return ask_at(place.esl, place.password, words)


def ask_at(address: tuple[str, int], password: str, words: str) -> str:
    """The reply to ``api <words>`` of the switch there."""
    with socket.create_connection(address, timeout=5) as link, link.makefile("rb") as reply:
        link.sendall(f"auth {password}\n\napi {words}\n\n".encode())
        while True:
            head = dict(line.split(": ", 1) for line in iter(lambda: reply.readline().decode().strip(), "") if ": " in line)
            body = reply.read(int(head.get("Content-Length", 0))).decode()
            if head["Content-Type"] == "api/response":
                return body.strip()
