"""An agent far away: ``python -m bench._far_agent CERT LOG RTT_MS``, TLS behind a line that takes half of RTT_MS each way.

Its first line of output is ``{"port": N}``. What it does a call says in its ``agent_variables``:

- ``speak``: ``ready``: its words are sent while the phone rings; ``answered``: as soon as it hears of the answer;
- ``say_ms``: ms of noise that does not repeat; ``paced``: true: sent as it is spoken, else at once;
- ``vad``: true: it falls silent once the callee speaks; else it hangs up when all was heard.

Each line of LOG is JSON: ``attempt``, ``k``, ``t`` (ns since 1970): ``answered``; ``first`` (``found``: which frames of the
lab carrier's ``noise:1`` came in the first half second); ``during`` (``found``: how many of its frames 50 to 249 came);
``onset``, ``clear`` (the first loud frame; silence asked for).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from lab.audio import pcm

_LOUD = 500
#: Loud frames, one after the other, that are speech.
VAD_FRAMES = 3
#: Frames in which the callee's first words are looked for.
_FIRST = 25
_CALLEE = pcm.looped_frames("noise:1")[:100]


class Delay(asyncio.Protocol):
    """One end of the line: what comes in goes out at the other end a while later, in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self.other: Delay | None = None
        self.connecting: asyncio.Task[Any] | None = None
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[bytes | None] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        while self._waiting:  # it came before this end was connected, and is late already
            self._out()

    def data_received(self, data: bytes) -> None:
        self._send(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._send(None)

    def _send(self, data: bytes | None) -> None:
        if self.other is not None:
            self.other._waiting.append(data)
            asyncio.get_running_loop().call_later(self._delay_s, self.other._out)

    def _out(self) -> None:
        if self._transport is None or not self._waiting:
            return
        data = self._waiting.popleft()
        if data is None:
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write(data)


def far(port: int, delay_s: float) -> Delay:
    """The near end of a new line to that port."""
    near, end = Delay(delay_s), Delay(delay_s)
    near.other, end.other = end, near
    loop = asyncio.get_running_loop()
    near.connecting = loop.create_task(loop.create_connection(lambda: end, "127.0.0.1", port))
    return near


class Agent:
    """One call."""

    def __init__(self, socket: ServerConnection, log: IO[str]) -> None:
        self._socket, self._log = socket, log
        self._attempt = ""
        self._wants: dict[str, Any] = {}
        self._heard: list[bytes] = []
        self._loud = 0
        self._saying: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        try:
            async for message in self._socket:
                if isinstance(message, bytes):
                    await self._hear(message)
                else:
                    await self._told(json.loads(message))
        except ConnectionClosed:
            return
        finally:
            if len(self._heard) > 300:
                came = b"".join(self._heard)
                found = sum(said in came for said in pcm.looped_frames("noise:1")[50:250])
                self._note("during", time.time_ns(), found=found)

    def _note(self, kind: str, t: int, **more: object) -> None:
        self._log.write(json.dumps({"attempt": self._attempt, "k": kind, "t": t, **more}) + "\n")
        self._log.flush()

    async def _told(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                self._attempt, self._wants = event["call"]["attempt"], event["call"]["variables"]
                await self._socket.send('{"event":"ready"}')
                if self._wants["speak"] == "ready":
                    self._saying = asyncio.create_task(self._say())
            case "answered":
                self._note("answered", time.time_ns())
                if self._wants["speak"] == "answered":
                    self._saying = asyncio.create_task(self._say())

    async def _say(self) -> None:
        words, paced = pcm.noise(20.0, 2)[: int(self._wants["say_ms"]) * 16], bool(self._wants.get("paced"))
        size, due = 320 if paced else 6400, time.monotonic()
        with suppress(ConnectionClosed):
            for at in range(0, len(words), size):
                await self._socket.send(words[at : at + size])
                if paced:
                    due += pcm.FRAME_S
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not self._wants.get("vad"):
                await self._socket.send('{"event":"hangup","after_playback":true}')

    async def _hear(self, frame: bytes) -> None:
        now = time.time_ns()
        if len(self._heard) < 1000:
            self._heard.append(frame)
            if len(self._heard) == _FIRST:
                came = b"".join(self._heard)
                self._note("first", now, found=[n for n, said in enumerate(_CALLEE) if said in came])
        if not self._wants.get("vad"):
            return
        samples = pcm.unpack(frame)
        self._loud = self._loud + 1 if max(samples) > _LOUD else 0
        if self._loud == 1:
            self._note("onset", now)
        elif self._loud == VAD_FRAMES:
            await self._socket.send('{"event":"clear"}')
            self._note("clear", time.time_ns())


async def main(certificate: Path, log: Path, rtt_s: float) -> None:
    """Until it is ended."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with log.open("a") as file:

        async def handle(socket: ServerConnection) -> None:
            await Agent(socket, file).serve()

        ours = [Subprotocol("trunkline.agent.v1")]
        async with serve(handle, "127.0.0.1", 0, ssl=context, subprotocols=ours, compression=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            line = await asyncio.get_running_loop().create_server(lambda: far(port, rtt_s / 2), "127.0.0.1", 0)
            print(json.dumps({"port": line.sockets[0].getsockname()[1]}), flush=True)
            await line.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) / 1000))
