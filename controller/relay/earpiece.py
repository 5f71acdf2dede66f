"""The switch's end of a media socket, read for as little as can be: 50 frames a second of each call come this way.

The library's way of one frame (its parser, a queue, the reader's task) costs some ten times what the frame itself is worth,
so whole binary frames are handed over as they come. Everything else is the library's: it gets each other frame in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's compiled part
    from websockets.utils import apply_mask

__all__ = ["MAX_FRAME", "MediaConnection", "apply_mask"]

#: Bytes; a frame is 320, and the module sends what it gathered as one.
MAX_FRAME = 1 << 17
#: Frames kept until somebody listens: 2 s.
_EARLY = 100
_BINARY = 0x82  # and no fragment


class MediaConnection(ServerConnection):
    """Binary messages go to whoever listens (:meth:`listen`); the library's iterator brings all others."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._rest = b""
        self._early: list[bytes] = []
        self._sink: Callable[[bytes], None] = self._keep

    def listen(self, sink: Callable[[bytes], None]) -> None:
        """From now on ``sink`` gets each frame, and first those that came before."""
        self._sink = sink
        early, self._early = self._early, []
        for frame in early:
            sink(frame)

    def _keep(self, frame: bytes) -> None:
        if len(self._early) < _EARLY:
            self._early.append(frame)

    def data_received(self, data: bytes) -> None:
        if self.protocol.state is not State.OPEN:
            super().data_received(self._rest + data)
            self._rest = b""
            return
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, there = 0, len(data)
        while there - at >= 2:
            size, head = data[at + 1] & 0x7F, 6
            if size >= 126:
                more = 2 if size == 126 else 8
                if there - at < 2 + more:
                    break
                size, head = int.from_bytes(data[at + 2 : at + 2 + more], "big"), 6 + more
            if not data[at + 1] & 0x80 or size > MAX_FRAME:
                super().data_received(data[at:])  # no frame of the module's: the library says what is wrong with it
                return
            end = at + head + size
            if there < end:
                break
            if data[at] == _BINARY:
                self._sink(apply_mask(data[at + head : end], data[at + head - 4 : at + head]))
            else:
                super().data_received(data[at:end])
            at = end
        self._rest = data[at:]
