"""Agents that talk without a pause: ``python -m bench._talkers ahead|paced [CERTIFICATE]`` (bench/relay.py). Its first line
of output is its port.

Each answers ``start`` with ``ready`` and sends, from the answer on, numbered frames of 20 ms: two seconds of them at once
every two seconds, as an agent does whose words are made faster than they are spoken; or one every 20 ms.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

import uvloop
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from bench._frames import BINARY, CLOSE, PING, PONG, TEXT, Frames, Watch, frame, transport_of
from lab.audio import pcm

_BLOCK_S = 2.0
#: Frames in one message.
_MESSAGE = 10


class Talker(asyncio.Protocol):
    """The socket of one call."""

    def __init__(self, watch: Watch, *, paced: bool) -> None:
        self._watch, self._paced = watch, paced
        self._handshake: ServerProtocol | None = ServerProtocol(subprotocols=[Subprotocol("trunkline.agent.v1")])
        self._frames = Frames()
        self._last = -1
        self._said = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport_of(transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._handshake is not None:
            self._shake(self._handshake, data)
            return
        for opcode, payload in self._frames.feed(data):
            if opcode == BINARY:
                self._last = self._watch.came(payload, self._last)
            elif opcode == TEXT:
                self._told(json.loads(payload)["event"])
            elif opcode == PING:
                self._transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self._transport.write(frame(CLOSE, payload[:2]))
                self._transport.close()

    def _shake(self, handshake: ServerProtocol, data: bytes) -> None:
        handshake.receive_data(data)
        for event in handshake.events_received():
            if isinstance(event, Request):
                handshake.send_response(handshake.accept(event))
                for out in handshake.data_to_send():
                    self._transport.write(out)
                self._handshake = None

    def _told(self, event: str) -> None:
        if event == "start":
            self._transport.write(frame(TEXT, b'{"event":"ready"}'))
        elif event == "answered":
            self._due = asyncio.get_running_loop().time()
            if self._paced:
                self._pace()
            else:
                self._say(2)

    def _pace(self) -> None:
        self._transport.write(frame(BINARY, pcm.stamped(self._said)))
        self._said += 1
        self._due += pcm.FRAME_S
        self._timer = asyncio.get_running_loop().call_at(self._due, self._pace)

    def _say(self, blocks: int = 1) -> None:
        for _ in range(blocks * int(_BLOCK_S / pcm.FRAME_S) // _MESSAGE):
            said = [pcm.stamped(self._said + n) for n in range(_MESSAGE)]
            self._said += _MESSAGE
            self._transport.write(frame(BINARY, b"".join(said)))
        self._timer = asyncio.get_running_loop().call_later(_BLOCK_S, self._say)


async def main(pace: str, certificate: str = "") -> None:
    """Until it is ended."""
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    watch = Watch()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Talker(watch, paced=pace == "paced"), "127.0.0.1", 0, ssl=context, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
