"""How long the parts of a dial took, from when each was seen. Pure: times in, milliseconds out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

_MS = timedelta(milliseconds=1)


class Seen(Protocol):
    """When what was seen of a dial; None: not (yet). ``inbound``: somebody calls us, so nothing was dialed."""

    @property
    def inbound(self) -> bool: ...
    @property
    def due_at(self) -> datetime: ...
    @property
    def claimed_at(self) -> datetime | None: ...
    @property
    def early_at(self) -> datetime | None: ...
    @property
    def ringing_at(self) -> datetime | None: ...
    @property
    def answered_at(self) -> datetime | None: ...
    @property
    def agent_heard_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...


class Timings(NamedTuple):
    """Milliseconds; None: not known, or not over yet.

    ``queue_ms``: from when it might first be dialed to when it was. ``pdd_ms``: from then to the first sign of the far end
    (180, 183, or the answer where neither came). ``ring_ms``: from the first 180, or 183 where no 180 came, to the answer or
    the end. ``talk_ms``: from the answer to the end. ``agent_connect_ms``: from the answer to the agent's first audio.
    """

    queue_ms: int | None = None
    pdd_ms: int | None = None
    ring_ms: int | None = None
    talk_ms: int | None = None
    agent_connect_ms: int | None = None


#: Of what was never dialed.
NONE = Timings()


def timings(seen: Seen) -> Timings:
    """The lengths as far as they are known."""
    dialed = None if seen.inbound else seen.claimed_at
    signs = [at for at in (seen.early_at, seen.ringing_at, seen.answered_at) if at is not None]
    return Timings(
        _between(seen.due_at, dialed),
        _between(dialed, min(signs, default=None)),
        _between(seen.ringing_at or seen.early_at, seen.answered_at or seen.ended_at),
        _between(seen.answered_at, seen.ended_at),
        _between(seen.answered_at, seen.agent_heard_at),
    )


def _between(start: datetime | None, end: datetime | None) -> int | None:
    """None also where the end lies before the start: two clocks that differ measure nothing."""
    if start is None or end is None or end < start:
        return None
    return (end - start) // _MS
