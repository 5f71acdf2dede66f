"""What the callee says, on its way to the agent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

#: 20 ms frames a slow agent may lag behind; then it loses the oldest, for a conversation is about now.
LIVE_FRAMES = 250


class Uplink:
    """A bounded queue of the callee's frames.

    Until the agent is there the first frames are kept and later ones dropped: a callee's "hello?" must not be lost.
    From then on the newest are kept. An agent that keeps up gets each frame at once, and nobody is woken for it.
    """

    def __init__(self, first_frames: int, live_frames: int = LIVE_FRAMES) -> None:
        self._first = first_frames
        self._live = live_frames
        self._frames: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._flowing = False
        self._at_once: Callable[[bytes], bool] | None = None
        self.dropped = 0
        self.silent = False  # on hold: silence at the callee's pace, by which the agent's clocks go on

    def put(self, frame: bytes) -> None:
        """Take one frame in; never waits."""
        if self.silent:
            frame = bytes(len(frame))
        if self._at_once is not None and not self._frames and self._at_once(frame):
            return
        if not self._flowing and len(self._frames) >= self._first:
            self.dropped += 1
            return
        self._frames.append(frame)
        if self._flowing:
            if len(self._frames) > self._live:
                self._frames.popleft()
                self.dropped += 1
            self._some.set()

    async def run(self, send: Callable[[bytes], Awaitable[None]], at_once: Callable[[bytes], bool] | None = None) -> None:
        """Send everything kept and everything to come, in order, until cancelled or ``send`` raises. ``at_once`` sends
        without waiting; False: it cannot now, and did nothing.
        """
        self._flowing = True
        try:
            while True:
                while self._frames:
                    await send(self._frames.popleft())
                self._at_once = at_once
                self._some.clear()
                await self._some.wait()
                self._at_once = None  # what is kept goes first
        finally:
            self._at_once = None
