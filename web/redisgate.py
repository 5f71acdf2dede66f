"""The way to Redis for whoever can do without it: after a failure nobody waits for it again but one request at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import TypeVar

from redis.exceptions import RedisError

T = TypeVar("T")

#: s; after a failure Redis is left alone for so long.
HOLD_S = 2.0
#: Questions under way in one process, at most: with more than Redis' client has connections it would seem to be away.
AT_ONCE = 64

log = logging.getLogger("trunkline.web")


class RedisGate:
    """One per process. A Redis that hangs costs ``redis_timeout_s`` once, not every request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shut_until: float | None = None
        self._places = BoundedSemaphore(AT_ONCE)

    @property
    def open(self) -> bool:
        """Whether Redis answered when it was asked last."""
        return self._shut_until is None

    def ask(self, question: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """What Redis answers to ``question``; what ``otherwise`` says while it is away. Raises no ``RedisError``."""
        if not self._may_pass():
            return otherwise()
        tries = self._shut_until is not None
        with self._places:
            if self._shut_until is not None and not tries:
                return otherwise()  # it turned out to be away while this one waited for a place
            return self._ask(question, otherwise)

    def _ask(self, question: Callable[[], T], otherwise: Callable[[], T]) -> T:
        try:
            answer = question()
        except RedisError as error:
            if self._shut_until is None:
                log.warning("redis is away: %s", type(error).__name__)
            self._shut_until = self._clock() + HOLD_S
            return otherwise()
        if self._shut_until is not None:
            log.info("redis is back")
            self._shut_until = None
        return answer

    def _may_pass(self) -> bool:
        if self._shut_until is None:
            return True
        now = self._clock()
        if now < self._shut_until:
            return False
        # This one tries; the others go on without until it knows.
        self._shut_until = now + HOLD_S
        return True
