"""The carrier's own admission: calls per sliding second and simultaneous channels."""

from __future__ import annotations

from collections import deque


class Admission:
    """Counts what it admitted; a refused INVITE uses nothing up. A limit of 0 means unlimited."""

    def __init__(self, cps: int, channels: int, window_ns: int = 1_000_000_000) -> None:
        self.cps = cps
        self.channels = channels
        self.open = 0
        self._window_ns = window_ns
        self._admitted: deque[int] = deque()

    def admit(self, stamp_ns: int, *, opens_channel: bool = True) -> str:
        """`` when admitted, else `cps` or `channels`. Stamps must be arrival times of this socket."""
        while self._admitted and self._admitted[0] <= stamp_ns - self._window_ns:
            self._admitted.popleft()
        if self.cps and len(self._admitted) >= self.cps:
            return "cps"
        if opens_channel and self.channels and self.open >= self.channels:
            return "channels"
        self._admitted.append(stamp_ns)
        if opens_channel:
            self.open += 1
        return ""

    def release(self) -> None:
        """One channel ended."""
        self.open -= 1
