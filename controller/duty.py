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
#: Leases for which both links may be down before whoever is on duty gives it up.
UNABLE = 2.0
#: Events kept while standing by, at most; the oldest go first.
KEPT_MAX = 50_000


class Book(Protocol):
    """store.duty.DutyBook."""

    def take(self) -> int | None: ...
    def leave(self) -> bool: ...
    def close(self) -> None: ...


class Duty:
    """``run`` keeps it or waits for it. ``took``, ``lost``, ``regained`` (ours still, it did not count for a while) and
    ``others`` (another is on duty) are called from there.

    ``able``: whether we could do anything, on duty: who has no way to the switch does not take the duty, and gives it up
    after ``UNABLE`` leases. ``wall`` beside ``clock``: a machine that was frozen may not have counted the time of it.
    """

    def __init__(
        self,
        book: Book,
        lease_s: float,
        *,
        able: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._lease_s = lease_s
        self._able = able
        self._clock = clock
        self._wall = wall
        self._until = self._wall_until = float("-inf")
        self._unable_since: float | None = None
        self.fence: int | None = None
        self.took: Callable[[], None] = lambda: None
        self.lost: Callable[[], None] = lambda: None
        self.regained: Callable[[], None] = lambda: None
        self.others: Callable[[], None] = lambda: None

    @property
    def on(self) -> bool:
        """Nobody else was heard to have taken over. While Postgres is away this may last longer than the lease."""
        return self.fence is not None

    @property
    def held(self) -> bool:
        """Nobody else can have taken over yet: what changes anything at the switch may be written."""
        return self.fence is not None and self._clock() < self._until and self._wall() < self._wall_until

    def run(self) -> None:
        """Until killed."""
        while True:
            self.ask()
            gevent.sleep(self._lease_s * (RENEW if self.on else POLL))

    def ask(self) -> None:
        """Renews the duty, or takes it when it is free. Without Postgres nothing changes but the time."""
        asked, wall = self._clock(), self._wall()
        if self._able():
            self._unable_since = None
        elif self._unable_since is None:
            self._unable_since = asked
        unable_s = 0.0 if self._unable_since is None else asked - self._unable_since
        if self._unable_since is not None and (not self.on or unable_s > self._lease_s * UNABLE):
            self._give_up("no way to the switch")
            return
        try:
            with gevent.Timeout(self._lease_s, TimeoutError("no answer within a lease")):
                fence = self._book.take()
        except (psycopg.Error, OSError) as error:
            log.warning("duty not renewed", extra={"on": self.on, "error": str(error)})
            return
        lapsed = not self.held
        if fence is None:
            self.others()
        else:
            # The lease began when the server answered, which was after we asked.
            self._until, self._wall_until = asked + self._lease_s * COUNTS, wall + self._lease_s * COUNTS
        if fence == self.fence:
            if lapsed and self.held:
                log.info("on duty again", extra={"fence": fence})
                self.regained()
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
        self._give_up("stopping")
        self._book.close()

    def _give_up(self, why: str) -> None:
        was, self.fence = self.fence, None
        if was is None:
            return
        log.warning("duty given up", extra={"fence": was, "why": why})
        self.lost()
        try:
            with gevent.Timeout(self._lease_s, TimeoutError("no answer within a lease")):
                self._book.leave()
        except (psycopg.Error, OSError) as error:
            log.warning("duty not given up; it will run out", extra={"error": str(error)})


class Alone:
    """The duty of a controller that has no other beside it (tools, tests of a part)."""

    fence: int | None = None
    on = held = True


class Heard(Generic[T]):
    """What was heard while standing by. It is kept until whoever is on duty must have written it down: for ``keep_s``, of
    which only counts what was before the last moment at which we were ``sure`` that another is on duty.
    """

    def __init__(self, keep_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_s = keep_s
        self._clock = clock
        self._sure = float("-inf")
        self._kept: deque[tuple[float, T]] = deque(maxlen=KEPT_MAX)

    def sure(self) -> None:
        """Another is on duty, now."""
        self._sure = self._clock()
        while self._kept and self._kept[0][0] < self._sure - self._keep_s:
            self._kept.popleft()

    def add(self, item: T) -> None:
        self._kept.append((self._clock(), item))

    def take(self) -> list[T]:
        """All of it, in order; nothing is left."""
        kept = [item for _, item in self._kept]
        self._kept.clear()
        return kept
