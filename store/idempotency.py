"""An Idempotency-Key: what it is, and when a request under it is refused. What the first one was answered is kept by
store/accepting.py (a call) and store/request_keys.py (anything else).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg


class IdempotencyMismatch(ValueError):
    """The key was used for a request with another body: use a new key."""


class IdempotencyInFlight(RuntimeError):
    """A request with the same key is being worked on: repeat this one a little later."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """``key`` as the client sent it, ``fingerprint`` of the canonical body; remembered for ``ttl_s`` seconds."""

    key: str
    fingerprint: bytes
    ttl_s: int = 72 * 3600

    def since(self, now: datetime) -> datetime:
        """What was answered before it is forgotten."""
        return now - timedelta(seconds=self.ttl_s)

    def require_same(self, fingerprint: bytes | memoryview) -> None:
        """Errors: :class:`IdempotencyMismatch` where the earlier request had another body."""
        if bytes(fingerprint) != self.fingerprint:
            raise IdempotencyMismatch("Idempotency-Key: it was used for a request with another body: use a new key")


def require_turn(lock: psycopg.Cursor[Any]) -> None:
    """Errors: :class:`IdempotencyInFlight` where ``lock`` answers that another holds the key's lock."""
    got = lock.fetchone()
    if got is None or not got[0]:
        raise in_flight()


def in_flight() -> IdempotencyInFlight:
    """What is said to a second request."""
    return IdempotencyInFlight("Idempotency-Key: a request with this key is in flight: repeat it in a second")
