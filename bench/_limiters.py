"""Who says when a dialer may send: our permits, or one of the libraries. Used by bench/_dialer.py, one object a process."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from uuid import UUID, uuid4

from redis import Redis

from budget import permits
from budget.connect import connect
from budget.line import Line
from settings import Settings

CARRIER = UUID(int=1)
#: s; a refused dialer of a library asks again after this.
POLL_S = 0.005
#: s; a dialer of ours that is to be woken looks again after this.
IDLE_S = 0.05

Send = Callable[[str], None]


class Limiter(ABC):
    """``asked``: requests to Redis that asked for permission; ``granted`` of them said yes; ``burned``: not used in time."""

    def __init__(self) -> None:
        self.asked = self.granted = self.burned = 0

    @abstractmethod
    def turn(self, send: Send) -> None:
        """Ask once, send what is allowed, sleep until it is worth asking again."""


class Ours(Limiter):
    """Permits as a controller takes them: the slot is counted from the monotonic clock before the request."""

    def __init__(self, settings: Settings, switch: str) -> None:
        super().__init__()
        self._settings, self._switch = settings, switch
        self._redis = connect(settings)
        self._line = Line(self._redis, settings, CARRIER, switch)
        self._grace_s = settings.slot_grace_ms / 1000
        self._round_trip_s = settings.round_trip_ms / 1000
        self._warm()

    def _warm(self) -> None:
        """The first run of a script reads it from its file and loads it into Redis; as a controller does before its work."""
        nobody = UUID(int=0)
        permits.grant(self._redis, self._settings, nobody, self._switch)
        permits.mark_claimed(self._redis, nobody, 0)
        permits.release(self._redis, nobody, 0)
        permits.requeue(self._redis, nobody, 0)

    def turn(self, send: Send) -> None:
        asked = time.monotonic()
        answer = self._line.grant()
        late = time.monotonic() - asked > self._round_trip_s
        self.asked += 1
        for grant in answer.grants:
            self.granted += 1
            target = asked + grant.slot_us / 1e6
            if not late and _reached(target, self._grace_s):
                send(str(grant.attempt_id))
                permits.mark_claimed(self._redis, grant.attempt_id, grant.fence)
                permits.release(self._redis, grant.attempt_id, grant.fence)
            else:
                self.burned += 1
                permits.requeue(self._redis, grant.attempt_id, grant.fence)
        wait = IDLE_S if answer.next_us is None else answer.next_us / 1e6
        time.sleep(max(0.0, asked + wait - time.monotonic()))


def _reached(target: float, grace_s: float) -> bool:
    """Sleeps until the slot; whether it is still time to use it."""
    time.sleep(max(0.0, target - time.monotonic()))
    return time.monotonic() <= target + grace_s


class Library(Limiter):
    """Ask; when refused ask again soon. That is all these libraries offer to several processes."""

    def __init__(self, hit: Callable[[], bool]) -> None:
        super().__init__()
        self._hit = hit

    def turn(self, send: Send) -> None:
        self.asked += 1
        if self._hit():
            self.granted += 1
            send(str(uuid4()))
        else:
            time.sleep(POLL_S)


def limits_strategy(name: str) -> Callable[[str, int], Limiter]:
    """A strategy class of `limits` by its name, `N per second`."""

    def build(url: str, rate: int) -> Limiter:
        import limits

        strategy = getattr(limits.strategies, name)(limits.storage.RedisStorage(url))
        item = limits.RateLimitItemPerSecond(rate)
        return Library(lambda: bool(strategy.hit(item, "carrier")))

    return build


def pyrate_log(url: str, rate: int) -> Limiter:
    """pyrate-limiter's RedisBucket: a log of all in the last second."""
    import pyrate_limiter as pyrate

    bucket = pyrate.RedisBucket.init([pyrate.Rate(rate, pyrate.Duration.SECOND)], Redis.from_url(url), "carrier")
    assert isinstance(bucket, pyrate.RedisBucket)
    limiter = pyrate.Limiter(bucket)
    return Library(lambda: bool(limiter.try_acquire("carrier", blocking=False)))


def pyrate_gcra(burst: int | None) -> Callable[[str, int], Limiter]:
    """pyrate-limiter's GCRA in Redis; `burst` None is its default, which is the whole limit."""

    def build(url: str, rate: int) -> Limiter:
        import pyrate_limiter as pyrate

        store = pyrate.RedisStateStore(Redis.from_url(url), "carrier")
        rates = [pyrate.Rate(rate, pyrate.Duration.SECOND, burst)]
        limiter = pyrate.Limiter(pyrate.StateBucket(rates, pyrate.GCRA(), store))
        return Library(lambda: bool(limiter.try_acquire("carrier", blocking=False)))

    return build


#: By the name in the report.
LIBRARIES: dict[str, Callable[[str, int], Limiter]] = {
    "limits FixedWindow": limits_strategy("FixedWindowRateLimiter"),
    "limits MovingWindow": limits_strategy("MovingWindowRateLimiter"),
    "pyrate log": pyrate_log,
    "pyrate GCRA": pyrate_gcra(None),
    "pyrate GCRA burst 1": pyrate_gcra(1),
}
OURS = "ours"
