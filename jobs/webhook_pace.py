"""How fast one receiver may be sent to: fewer at once where it is overloaded, nothing while it rests, then one to see.

It rests when :data:`FAILURES` tries in a row failed within :data:`WINDOW_S` (a circuit breaker), or when it asked for that
(``Retry-After``). After a rest one try goes out alone: if that is taken all is as before, if not the next rest is longer.
Pure: no clock; ``now`` is monotonic seconds throughout.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

#: Failures in a row, and s within which: what makes it rest.
FAILURES, WINDOW_S = 5, 30.0
#: s; the first rest and the longest; each is twice the one before.
REST_S, REST_MAX_S = 10.0, 300.0
#: Answers that say: less, please.
OVERLOADED = frozenset({429, 502, 503, 504})
#: s; a receiver that asks for a longer rest gets this one.
RETRY_AFTER_MAX_S = 3600.0


@dataclass(slots=True)
class Pace:
    """``most``: deliveries in flight when all is well."""

    most: int
    _cap: int = field(init=False)
    _failures: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES), init=False)
    _until: float = field(default=0.0, init=False)
    _rests: int = field(default=0, init=False)
    _alone: bool = field(default=False, init=False)
    _failed_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._cap = self.most

    def rest(self, now: float) -> float:
        """s; until it may be tried again; 0: now."""
        return max(0.0, self._until - now)

    def places(self, now: float) -> int:
        """How many may be in flight now."""
        if now < self._until:
            return 0
        return 1 if self._alone else self._cap

    def forgettable(self, now: float) -> bool:
        """Whether there is nothing to remember of it, or nobody has needed that for long."""
        normal = self._cap == self.most and not self._alone and not self._failures
        return normal or now > max(self._until, self._failed_at) + REST_MAX_S

    def succeeded(self) -> None:
        self._failures.clear()
        self._rests = 0
        self._alone = False
        self._cap = min(self.most, self._cap + 1)

    def failed(self, now: float, code: int | None, retry_after_s: float | None) -> None:
        self._failed_at = now
        if code in OVERLOADED:
            self._cap = max(1, self._cap // 2)
        if retry_after_s is not None:
            self._until = max(self._until, now + min(retry_after_s, RETRY_AFTER_MAX_S))
            self._alone = True
        if self._alone and now < self._until:
            return  # one that was under way when the rest began: it is no verdict on the time after it
        self._failures.append(now)
        in_a_row = len(self._failures) == FAILURES and now - self._failures[0] <= WINDOW_S
        if self._alone or in_a_row:
            self._until = now + min(REST_MAX_S, REST_S * 2**self._rests)
            self._rests = min(self._rests + 1, 16)
            self._alone = True
            self._failures.clear()
