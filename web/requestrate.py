"""How many requests a tenant, or an operator's key, may send: counted in Redis for all web processes together, per process
while Redis is away.

A sliding window: the last window counts by as much of it as still lies within the window's length. Its times are Redis'
own, so web hosts need not agree on theirs. Every answer to a key that is known carries ``RateLimit-Limit``, ``-Remaining``
and ``-Reset``; one request too many is 429 ``request_rate``. Redis being away never refuses a request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID
from weakref import WeakValueDictionary

from flask import Flask, Response, g
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import Redis

from budget.requests import count
from store.operator_keys import OperatorKey
from store.tenants import Tenant
from store.together import BrokenOff, NotBegun, Together
from web.problems import too_many
from web.redisgate import RedisGate
from web.runtime import runtime

#: s; a rate of whole requests is counted within one, another one over at most so many if that gives it more exactly.
LONGEST_EXACT_S = 10
#: Requests counted in one round trip; and round trips of one asker at once: while one of them tries whether Redis is back,
#: the others go by the other way.
MOST, STROKES = 100, 2


@dataclass(frozen=True, slots=True)
class Rate:
    """How a tenant stands after a request: ``limit`` requests per ``window_s`` seconds, ``remaining`` of them, more in
    ``reset_s`` seconds. ``shared``: counted for all processes together.
    """

    allowed: bool
    limit: int
    window_s: int
    remaining: int
    reset_s: int
    shared: bool


@lru_cache(maxsize=1024)
def window(requests_per_s: float) -> RateLimitItemPerSecond:
    """The most whole requests over the shortest time that are never more than ``requests_per_s``."""
    longest = max(LONGEST_EXACT_S, math.ceil(1 / requests_per_s))
    best = max(range(1, longest + 1), key=lambda seconds: (math.floor(requests_per_s * seconds) / seconds, -seconds))
    return RateLimitItemPerSecond(math.floor(requests_per_s * best), best, namespace="api")


class RequestRates:
    """Counts requests; one per process, sharing its connections to Redis. One round trip, for as many as come meanwhile."""

    def __init__(self, redis: Redis, gate: RedisGate) -> None:
        self._redis = redis
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._gate = gate
        self._desks: WeakValueDictionary[UUID, Together[float, Rate]] = WeakValueDictionary()

    def ahead(self, asker: UUID, requests_per_s: float, came: int) -> Sequence[Rate | None]:
        """Count so many at once, each unless it is one too many, where Redis answers. None: it does not, and :meth:`hit` is
        what counts the request; only there one waits for a Redis that may be away, and the others do not.
        """
        item = window(requests_per_s)
        nobody: list[Rate | None] = [None] * came
        if not self._gate.open:
            return nobody
        return self._gate.ask(lambda: [*self._shared(item, asker, came)], lambda: nobody)

    def _shared(self, item: RateLimitItemPerSecond, asker: UUID, came: int) -> list[Rate]:
        counted = count(self._redis, asker.hex, item.amount, item.get_expiry(), came)
        return [_rate(item, *one, shared=True) for one in counted]

    def hit(self, asker: UUID, requests_per_s: float) -> Rate:
        """Count one request of the tenant (or operator's key), unless it is one too many; raises nothing."""
        desk = self._desks.get(asker)
        if desk is None:
            desk = self._desks[asker] = Together(
                lambda rates: self._count(asker, rates), most=MOST, strokes=STROKES, look=True
            )
        try:
            return desk.do(requests_per_s)
        except (BrokenOff, NotBegun):  # counted twice at worst
            return self._count(asker, [requests_per_s])[0]

    def _count(self, asker: UUID, rates: Sequence[float]) -> list[Rate]:
        # They came within a millisecond: where the asker's rate was changed just then, the latest is it.
        item = window(rates[-1])
        return self._gate.ask(
            lambda: self._shared(item, asker, len(rates)), lambda: [self._hit(item, asker.hex) for _ in rates]
        )

    def _hit(self, item: RateLimitItemPerSecond, key: str) -> Rate:
        allowed = self._own.hit(item, key)
        stats = self._own.get_window_stats(item, key)
        return _rate(item, allowed, stats.remaining, stats.reset_time - time.time(), shared=False)


def _rate(item: RateLimitItemPerSecond, allowed: bool, remaining: int, reset_s: float, *, shared: bool) -> Rate:
    # Another one may have taken the rest, or left it, since the hit.
    left = min(remaining, item.amount - 1) if allowed else 0
    reset = min(max(1, math.ceil(reset_s)), item.get_expiry())
    return Rate(allowed, item.amount, item.get_expiry(), left, reset, shared)


def requests_per_s(tenant: Tenant) -> float:
    """The tenant's own rate, else the setting."""
    return runtime().settings.requests_per_s if tenant.requests_per_s is None else tenant.requests_per_s


def register(app: Flask) -> None:
    """Count every request whose key is known, before anything else is done for it."""

    def check() -> None:
        known = vars(g)
        tenant: Tenant | None = known.get("tenant")
        operator: OperatorKey | None = known.get("operator")
        asker = tenant or operator
        if asker is None:
            return
        rate: Rate | None = known.get("rate")  # of a tenant's, if it was counted with others when its key was looked up
        if rate is None:
            ours = runtime()
            most = ours.settings.operator_requests_per_s if tenant is None else requests_per_s(tenant)
            g.rate = rate = ours.rates.hit(asker.id, most)
        if not rate.allowed:
            whose = "this operator's key" if tenant is None else "your account"
            raise too_many(
                "request_rate",
                f"These are too many requests: {rate.limit} in {rate.window_s} s are allowed for {whose}.",
                name=asker.name,
                limit=rate.limit,
                current=rate.limit - rate.remaining,
                retry_after_s=rate.reset_s,
            )

    def tell(response: Response) -> Response:
        rate: Rate | None = g.get("rate")
        if rate is not None:
            headers = response.headers
            headers["RateLimit-Limit"] = str(rate.limit)
            headers["RateLimit-Remaining"] = str(rate.remaining)
            headers["RateLimit-Reset"] = str(rate.reset_s)
        return response

    app.before_request(check)
    app.after_request(tell)
