"""How fast one receiver may be sent to: fewer at once where it is overloaded, nothing while it rests, then one to see.

It rests when of its latest tries, :data:`LATEST` within :data:`WINDOW_S` at most, four in five failed and :data:`FAILURES`
at least (a circuit breaker), or when it asked for that (``Retry-After``). After a rest one try goes out alone: if that is
taken all is as before, if not the next rest is longer. One that fails now and then goes on as it is: each event has its
schedule.
Pure: no clock; ``now`` is monotonic seconds throughout.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

#: Failures at least, of how many latest tries and within how many s: what makes it rest. And what part of those it must be.
FAILURES, LATEST, WINDOW_S, SHARE = 5, 20, 30.0, 0.8
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
    _tries: deque[tuple[float, bool]] = field(
        default_factory=lambda: deque(maxlen=LATEST), init=False
    )  # when, whether taken
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
        normal = self._cap == self.most and not self._alone and all(taken for _, taken in self._tries)
        return normal or now > max(self._until, self._failed_at) + REST_MAX_S

    @property
    def doubtful(self) -> bool:
        """Whether its latest three tries failed."""
        return len(self._tries) >= 3 and not any(taken for _, taken in list(self._tries)[-3:])

    def succeeded(self, now: float) -> None:
        self._tries.append((now, True))
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
        self._tries.append((now, False))
        latest = [taken for at, taken in self._tries if now - at <= WINDOW_S]
        failures = latest.count(False)
        if self._alone or (failures >= FAILURES and failures >= SHARE * len(latest)):
            self._until = now + min(REST_MAX_S, REST_S * 2**self._rests)
            self._rests = min(self._rests + 1, 16)
            self._alone = True
            self._tries.clear()
