"""The judge of a rehearsal: what arrived at each carrier, against what it allows. It asks the budget nothing.

It counts as lab.judge does (half-open windows; a call is open from its INVITE on), but while the run goes on, because limits
change meanwhile; and a channel counts until its linger is over. A number that was lowered binds once what had been
granted before can have left: ``settle_us`` later.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass

from lab.counting import max_in_window, max_overlap


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that was broken: ``count`` where ``allowed``, at ``at_us``."""

    scope: str
    what: str
    count: int
    allowed: int
    at_us: int


class _Allowed:
    """A number that may change; a smaller one binds only after a while."""

    def __init__(self, value: int | None) -> None:
        self.value = value
        self._before: int | None = None
        self._until = 0

    def change(self, value: int | None, now: int, settle_us: int) -> None:
        self._before, self._until = self.at(now), now + settle_us
        self.value = value

    def at(self, now: int) -> int | None:
        if now >= self._until:
            return self.value
        return None if self._before is None or self.value is None else max(self._before, self.value)


def whole_calls(cps: float | None, window_ms: int) -> tuple[int | None, int]:
    """How many INVITEs fit into a window, and the window in us: stretched to hold one where the rate is lower than that."""
    if cps is None:
        return None, window_ms * 1000
    count = cps * window_ms / 1000
    if 0 < count < 1:
        return 1, math.floor(window_ms * 1000 / count)
    return math.floor(count), window_ms * 1000


class Meter:
    """One scope: its INVITEs and its open calls. ``keep`` keeps all of them for :meth:`peaks`."""

    def __init__(
        self,
        scope: str,
        cps: float | None,
        channels: int | None,
        *,
        window_ms: int = 1000,
        linger_us: int = 0,
        keep: bool = False,
    ) -> None:
        self.scope = scope
        self._window_ms, self._linger_us = window_ms, linger_us
        limit, self.window_us = whole_calls(cps, window_ms)
        self._rate, self._channels = _Allowed(limit), _Allowed(channels)
        self._recent: deque[int] = deque()
        self._ending: deque[int] = deque()
        self._live = 0
        self._area = self._since = 0
        self.invites = self.calls = self.peak_invites = self.peak_channels = 0
        self.broken: list[Broken] = []
        self._stamps = array("q") if keep else None
        self._spans: dict[int, tuple[int, int | None]] | None = {} if keep else None

    @property
    def limits(self) -> tuple[int | None, int | None]:
        """(INVITEs in a window, channels) as last stated."""
        return self._rate.value, self._channels.value

    def change(self, cps: float | None, channels: int | None, now: int, settle_us: int) -> None:
        """Other limits from ``now`` on."""
        self._rate.change(whole_calls(cps, self._window_ms)[0], now, settle_us)
        self._channels.change(channels, now, settle_us)

    def invite(self, now: int) -> None:
        """An INVITE arrived."""
        count, allowed = self._in_window(now), self._rate.at(now)
        if allowed is not None and count > allowed:
            self.broken.append(Broken(self.scope, "INVITEs in a window", count, allowed, now))

    def _in_window(self, now: int) -> int:
        """INVITEs in the window that ends with this one."""
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - self.window_us:
            recent.popleft()
        self.invites += 1
        if self._stamps is not None:
            self._stamps.append(now)
        self.peak_invites = max(self.peak_invites, len(recent))
        return len(recent)

    def begin(self, now: int, key: int = 0) -> None:
        """A call occupies a channel from here on."""
        self._look(now)
        self._live += 1
        self.calls += 1
        if self._spans is not None:
            self._spans[key] = (now, None)
        count, allowed = self._live + len(self._ending), self._channels.at(now)
        self.peak_channels = max(self.peak_channels, count)
        if allowed is not None and count > allowed:
            self.broken.append(Broken(self.scope, "channels", count, allowed, now))

    def end(self, now: int, key: int = 0) -> None:
        """A call has ended; its channel counts until its linger is over."""
        self._look(now)
        self._live -= 1
        if self._linger_us:
            self._ending.append(now + self._linger_us)
        if self._spans is not None:
            self._spans[key] = (self._spans[key][0], now + self._linger_us)

    def occupied(self, now: int) -> int:
        """Channel-us used until ``now``."""
        self._look(now)
        return self._area

    def _look(self, now: int) -> None:
        ending = self._ending
        while ending and ending[0] <= now:
            over = ending.popleft()
            self._area += (over - self._since) * (self._live + len(ending) + 1)
            self._since = over
        self._area += (now - self._since) * (self._live + len(ending))
        self._since = now

    def peaks(self) -> tuple[int, int]:
        """The peaks as lab.judge counts them, from all that was kept: (INVITEs in a window, channels)."""
        if self._stamps is None or self._spans is None:
            raise ValueError("keep: the meter was not told to keep what it sees")
        window, _ = max_in_window((stamp * 1000 for stamp in self._stamps), self.window_us / 1e6)
        channels, _ = max_overlap(self._spans.values())
        return window, channels
