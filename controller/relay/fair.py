"""A socket that takes no more than its share of the relay's time, whatever is sent through it.

A small message costs far more to read than it costs to send: 60,000 empty ones that arrive at once would stop every call of
the relay for a second. So what comes is read in small pieces, and between them the others have their turn. Meanwhile the
socket is not read, and the sender waits.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.protocol import Event, State

from controller.relay.earpiece import apply_mask

#: Bytes read at once. A piece full of the smallest frames takes some ms.
PIECE = 1024
#: Of the time, for one socket's messages.
SHARE = 0.1
#: Frames read when the sender has closed the socket: a buffer full of ordinary audio, and not one full of empty ones.
LAST_FRAMES = 2000
#: s; so far ahead of its share it may be.
_AHEAD_S = 0.02


#: s of this thread's own work: what others on a busy machine take meanwhile is nobody's debt.
spent = time.thread_time


class _Masks:
    """Four random bytes at a time, many of which are asked of the kernel at once."""

    _MANY = 1024

    def __init__(self) -> None:
        self._bytes, self._at = b"", 0

    def next(self) -> bytes:
        if self._at >= len(self._bytes):
            self._bytes, self._at = os.urandom(4 * self._MANY), 0
        self._at += 4
        return self._bytes[self._at - 4 : self._at]


_masks = _Masks()


class FairConnection(ClientConnection):
    """See above. What acting upon a message takes is to be charged by whoever does it (:meth:`charge`)."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._rest = bytearray()  # come, and not yet read
        self._full = False  # enough messages wait to be acted upon
        self._next: asyncio.TimerHandle | asyncio.Handle | None = None
        self._frames = 0  # read
        self._paid_at = 0.0  # when the time it has used will have been its share

    def charge(self, seconds: float) -> None:
        """So much of the relay's time (:func:`spent`) was used for it."""
        self._paid_at = max(self._paid_at, self.loop.time() - seconds) + seconds / SHARE

    async def share(self, seconds: float) -> None:
        """:meth:`charge` in the midst of one message: the others have their turn, until what it used was its share."""
        self.charge(seconds)
        await asyncio.sleep(self._wait())

    @property
    def idle(self) -> bool:
        """It is open, and takes what is written."""
        return not self.paused and self.protocol.state is State.OPEN and not self.transport.is_closing()

    def send_at_once(self, message: str | bytes) -> bool:
        """Write a whole message, on an :attr:`idle` socket. True. The library's way takes several times as long, and this
        is done 50 times a second for each call; nothing here sends fragments, so a message may go out between any two.
        """
        text = isinstance(message, str)
        payload = message.encode() if isinstance(message, str) else message
        size, mask = len(payload), _masks.next()
        head = bytes((0x81 if text else 0x82, 0x80 | size)) if size < 126 else _long_head(text=text, size=size)
        self.transport.write(b"".join((head, mask, apply_mask(payload, mask))))
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.recv_messages.pause = self._stop
        self.recv_messages.resume = self._go_on

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if len(self._rest) <= PIECE and not self._full and self._next is None and self._wait() == 0:
            self._take()
        if self._rest:
            self.transport.pause_reading()
            self._plan()

    def process_event(self, event: Event) -> None:
        self._frames += 1
        super().process_event(event)

    def eof_received(self) -> None:
        """Nothing comes any more, and the transport closes when this returns: TLS hands over all it holds and the end in one
        go. So the rest is read here and now, :data:`LAST_FRAMES` of it; what is behind them is dropped, a close too.
        """
        self._full = False
        most = self._frames + LAST_FRAMES
        while self._rest and self._frames < most and not self.transport.is_closing():
            self._take()
        self._rest.clear()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest.clear()
        if self._next is not None:
            self._next.cancel()
        super().connection_lost(exc)

    def _stop(self) -> None:
        self._full = True
        self.transport.pause_reading()

    def _go_on(self) -> None:
        self._full = False
        if self._rest:
            self._plan()
        elif not self.transport.is_closing():
            self.transport.resume_reading()

    def _wait(self) -> float:
        """s until it has paid for what it used."""
        owed = self._paid_at - self.loop.time()
        return owed if owed > _AHEAD_S else 0

    def _plan(self) -> None:
        if self._next is None and not self._full:
            wait = self._wait()
            self._next = self.loop.call_later(wait, self._turn) if wait else self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._next = None
        if self.transport.is_closing():
            return
        self._take()
        if self._rest:
            self._plan()
        elif not self._full:
            self.transport.resume_reading()

    def _take(self) -> None:
        began = spent()
        piece = bytes(self._rest[:PIECE])
        del self._rest[:PIECE]
        super().data_received(piece)
        self.charge(spent() - began)


def _long_head(*, text: bool, size: int) -> bytes:
    more, code = (2, 126) if size < 1 << 16 else (8, 127)
    return bytes((0x81 if text else 0x82, 0x80 | code)) + size.to_bytes(more, "big")


class Pace:
    """``burst`` deeds at once, ``rate`` a second in the long run. Times are of any one clock."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = float(burst), 0.0

    def allows(self, now: float) -> bool:
        """Whether one more may be done now; it counts as done."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) if self._at else self._left
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
