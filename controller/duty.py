"""On duty or standing by: several controllers of one switch follow its events, one of them acts.

What the one on duty is allowed is bounded by time, counted from before it asked: a process that was paused finds its duty
over before it can write anything. One that stands by keeps what it hears for a while, so that whatever its predecessor had
not written down yet is not lost with it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import gevent
import psycopg

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Of a lease: so much of it counts, so often it is renewed (three renewals may fail), so often who stands by asks for it.
COUNTS, RENEW, POLL = 0.9, 0.2, 0.1
#: Events kept while standing by, at most; the oldest go first.
KEPT_MAX = 50_000


class Book(Protocol):
    """store.duty.DutyBook."""

    def take(self) -> int | None: ...
    def leave(self) -> bool: ...
    def close(self) -> None: ...


class Duty:
    """``run`` keeps it or waits for it. ``took`` and ``lost`` are called from there, in their order."""

    def __init__(self, book: Book, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._lease_s = lease_s
        self._clock = clock
        self._until = float("-inf")
        self.fence: int | None = None
        self.took: Callable[[], None] = lambda: None
        self.lost: Callable[[], None] = lambda: None

    @property
    def on(self) -> bool:
        """Nobody else was heard to have taken over. While Postgres is away this may last longer than the lease."""
        return self.fence is not None

    @property
    def held(self) -> bool:
        """Nobody else can have taken over yet: what changes anything at the switch may be written."""
        return self.fence is not None and self._clock() < self._until

    def run(self) -> None:
        """Until killed."""
        while True:
            self.ask()
            gevent.sleep(self._lease_s * (RENEW if self.on else POLL))

    def ask(self) -> None:
        """Renews the duty, or takes it when it is free. Without Postgres nothing changes but the time."""
        asked = self._clock()
        try:
            with gevent.Timeout(self._lease_s, TimeoutError("no answer within a lease")):
                fence = self._book.take()
        except (psycopg.Error, OSError) as error:
            log.warning("duty not renewed", extra={"on": self.on, "error": str(error)})
            return
        if fence is not None:
            # The lease began when the server answered, which was after we asked.
            self._until = asked + self._lease_s * COUNTS
        if fence == self.fence:
            return
        was, self.fence = self.fence, fence
        if was is not None:
            log.warning("another controller is on duty", extra={"fence": was})
            self.lost()
        if fence is not None:
            log.info("on duty", extra={"fence": fence})
            self.took()

    def leave(self) -> None:
        """Gives the duty up at once, in order: whoever stands by need not wait for it to run out."""
        was, self.fence = self.fence, None
        try:
            if was is not None:
                with gevent.Timeout(self._lease_s, TimeoutError("no answer within a lease")):
                    self._book.leave()
        except (psycopg.Error, OSError) as error:
            log.warning("duty not given up; it will run out", extra={"error": str(error)})
        finally:
            self._book.close()


class Alone:
    """The duty of a controller that has no other beside it (tools, tests of a part)."""

    fence: int | None = None
    on = held = True


class Heard(Generic[T]):
    """What was heard while standing by, not older than ``keep_s``."""

    def __init__(self, keep_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_s = keep_s
        self._clock = clock
        self._kept: deque[tuple[float, T]] = deque(maxlen=KEPT_MAX)

    def add(self, item: T) -> None:
        now = self._clock()
        self._kept.append((now, item))
        while self._kept[0][0] < now - self._keep_s:
            self._kept.popleft()

    def take(self) -> list[T]:
        """All of it that is not too old, in order; nothing is left."""
        oldest = self._clock() - self._keep_s
        kept = [item for at, item in self._kept if at >= oldest]
        self._kept.clear()
        return kept
