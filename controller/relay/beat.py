"""One timer, every 20 ms, for all calls of a relay in which something is said."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)

#: s
BEAT_S = 0.02


class Member(Protocol):
    """Never waits. One that raises takes part no more."""

    def on_beat(self, now: float) -> None: ...


class Beat:
    """Costs nothing while nobody takes part."""

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    @property
    def count(self) -> int:
        """Calls that take part."""
        return len(self._members)

    def join(self, member: Member) -> None:
        """From the next beat on; once more: nothing."""
        self._members[member] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._next = loop.time() + BEAT_S
            self._timer = loop.call_at(self._next, self._strike)

    def leave(self, member: Member) -> None:
        """Not any more."""
        self._members.pop(member, None)

    def _strike(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for member in list(self._members):
            try:
                member.on_beat(now)
            except Exception:  # of one call, not of all
                log.exception("%r: no beat any more", member)
                self.leave(member)
        self._timer = None  # not before: who joins in its beat would set another
        if self._members:
            self._next = max(self._next + BEAT_S, now)  # one that comes late is not made up for
            self._timer = loop.call_at(self._next, self._strike)
