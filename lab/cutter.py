"""A TCP relay on loopback that does to connections what networks do: cuts them, holds them up, lets them go silent for good.

    with Cutter(lambda: ("127.0.0.1", 8021)) as way:
        way.port            # connect here instead
        way.cut()           # both ends of every connection are reset
        way.silence()       # half open: present connections carry nothing any more and are not closed; new ones work
        way.hold(1.5)       # bytes of every connection wait so many seconds, then go on in order

Its loop runs in a thread of its own; every call returns at once and may come from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

_READ_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Pair:
    """One connection: who came, and whom it leads to."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.silent = False

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError, ValueError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Cutter:
    """`target` is asked for each connection anew. ``carried``: connections so far."""

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        self._target = target
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._stop = asyncio.Event()
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self.carried = 0
        self._thread = threading.Thread(target=self._run, name="cutter")
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        server = await asyncio.start_server(self._serve, sock=self._sock)
        await self._stop.wait()
        server.close()
        for pair in list(self._pairs):
            pair.reset()
        while self._pairs:  # each is told of its end by the loop
            await asyncio.sleep(0.001)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target())
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, back)
        self._pairs.add(pair)
        self.carried += 1
        try:
            await asyncio.gather(self._carry(pair, reader, back), self._carry(pair, there, writer))
        finally:
            for one in pair.writers:
                one.close()
            self._pairs.discard(pair)

    async def _carry(self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_READ_BYTES):
                if not self._stop.is_set():
                    await self._flowing.wait()
                if not pair.silent:
                    sink.write(data)
                    await sink.drain()
        if not pair.silent:  # who has gone silent does not tell either that it was hung up on
            sink.close()

    # --- from outside ---------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Resets both ends of every connection."""

        def reset() -> None:
            for pair in list(self._pairs):
                pair.reset()

        self._loop.call_soon_threadsafe(reset)

    def silence(self) -> None:
        """Every present connection carries nothing any more, and nobody is told."""

        def silenced() -> None:
            for pair in self._pairs:
                pair.silent = True

        self._loop.call_soon_threadsafe(silenced)

    def hold(self, seconds: float) -> None:
        """What is said on any connection waits so long."""

        def held() -> None:
            self._flowing.clear()
            self._loop.call_later(seconds, self._flowing.set)

        self._loop.call_soon_threadsafe(held)

    def close(self) -> None:
        """Ends every connection; a second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
