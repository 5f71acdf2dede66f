"""A webhook receiver in a process of its own: ``python -m bench._receiver PORT LOG``. What it does, the path says.

``/ok`` takes everything, ``/hole`` answers nothing, ``/flaky`` fails three in ten: an answer 500, no answer, or the
connection is reset, by a seed. Each request is a line of JSON in LOG before it is answered: what was answered (0: nothing),
when it came, its headers and its body. ``/quick`` takes everything and notes nothing.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from pathlib import Path
from random import Random
from typing import IO

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno"
_RESET = struct.pack("ii", 1, 0)
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Receiver(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, log: IO[str], random: Random) -> None:
        self._log, self._random = log, random
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            size = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            self._answer(head[0].split(" ")[1], headers, body)

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert self._transport is not None
        if path == "/quick":
            self._transport.write(_OK)
            return
        chance = self._random.random() if path == "/flaky" else 1.0
        code = 0 if path == "/hole" or chance < 0.2 else 500 if chance < 0.3 else 200
        line = {"t": time.time(), "path": path, "code": code, "body": body.decode()}
        line["headers"] = {name: headers.get(name, "") for name in _HEADERS}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()
        if code:
            self._transport.write(_OK if code == 200 else _BROKEN)
        elif path == "/flaky" and chance < 0.1:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()


async def serve(port: int, log: Path) -> None:
    """Until it is ended."""
    random = Random(1)
    with log.open("a") as file:
        server = await asyncio.get_running_loop().create_server(lambda: Receiver(file, random), "127.0.0.1", port)
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
