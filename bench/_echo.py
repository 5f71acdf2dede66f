"""The bare peer of bench/relay.py.

``python -m bench._echo serve`` sends back each message, by ``websockets`` and nothing else; its first line of output is its
port. ``python -m bench._echo load PORT SOCKETS`` is who speaks to it: numbered frames of 20 ms on each socket, written as
the lab switch writes them, all in one beat.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.uri import parse_uri

from bench._frames import BINARY, Frames, Watch, frame, transport_of
from lab.audio import pcm


async def serve_echo() -> None:
    """As the relay's own sockets: no compression, uvloop."""

    async def echo(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in socket:
                await socket.send(message)

    async with serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


class Client(asyncio.Protocol):
    """One socket."""

    def __init__(self, port: int, watch: Watch) -> None:
        self._watch = watch
        self._handshake: ClientProtocol | None = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"))
        self._frames = Frames()
        self._last = -1
        self._said = 0
        self.open = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport_of(transport)
        assert self._handshake is not None
        self._handshake.send_request(self._handshake.connect())
        for out in self._handshake.data_to_send():
            self._transport.write(out)

    def data_received(self, data: bytes) -> None:
        if self._handshake is not None:
            self._handshake.receive_data(data)
            if any(isinstance(event, Response) for event in self._handshake.events_received()):
                self._handshake = None
                self.open.set()
            return
        for opcode, payload in self._frames.feed(data):
            if opcode == BINARY:
                self._last = self._watch.came(payload, self._last)

    def beat(self) -> None:
        """One frame."""
        self._transport.write(frame(BINARY, pcm.stamped(self._said), masked=True))
        self._said += 1


async def load(port: int, sockets: int) -> None:
    """Until it is ended."""
    loop, watch, clients = asyncio.get_running_loop(), Watch(), []
    for _ in range(sockets):
        _, client = await loop.create_connection(lambda: Client(port, watch), "127.0.0.1", port)
        await client.open.wait()
        clients.append(client)
    print("ready", flush=True)
    due = loop.time()
    while True:
        for client in clients:
            client.beat()
        due = max(due + pcm.FRAME_S, loop.time() - 0.2)
        await asyncio.sleep(max(0.0, due - loop.time()))


if __name__ == "__main__":
    uvloop.run(serve_echo() if sys.argv[1] == "serve" else load(int(sys.argv[2]), int(sys.argv[3])))
