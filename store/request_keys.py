"""Idempotency keys of requests that make something else than one call: what the first request was answered, to the byte.

A key belongs to its owner, a tenant or the name of an operator's key, and to a scope, the method and path of the request.
Whoever works under a key holds its lock until its transaction ends, and writes the answer down in that transaction: so there
is an answer exactly if the work stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from store.idempotency import IdempotencyKey, require_turn
from store.joined import Joined
from store.pool import Conn, Database
from store.queries import load

_SQL = load("request_keys")
_OPERATORS = {"try": _SQL["operator_try"], "find": _SQL["operator_find"], "remember": _SQL["operator_remember"]}

#: A tenant's id, or the name of an operator's key.
Owner: TypeAlias = UUID | str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a request was answered: ``body`` as it was sent, ``location`` the header, None: it had none."""

    status: int
    location: str | None
    body: bytes


def ask(conn: Conn, owner: Owner, scope: str, key: IdempotencyKey, now: datetime) -> Callable[[], Remembered | None]:
    """Take the key's lock until the transaction ends, and ask for an earlier answer, in the caller's pipeline; the result
    waits for both. It raises ``IdempotencyInFlight`` where another holds the lock,
    ``IdempotencyMismatch`` where the answer was to another body.
    """
    params = _params(owner, scope, key, now)
    lock = conn.execute(_of(owner)["try"], params)
    earlier = conn.execute(_of(owner)["find"], params)

    def answer() -> Remembered | None:
        require_turn(lock)
        return _same(earlier.fetchone(), key)

    return answer


def once(
    db: Database,
    owner: Owner,
    scope: str,
    key: IdempotencyKey,
    now: datetime,
    work: Callable[[Database], Remembered],
) -> tuple[Remembered, bool]:
    """What ``work`` answers, done and remembered in one transaction; or the answer of an earlier request, and True. Raises
    as :func:`ask` does, and what ``work`` raises, which is then undone.
    """

    def unit(conn: Conn) -> tuple[Remembered, bool]:
        earlier = ask(conn, owner, scope, key, now)()
        if earlier is not None:
            return earlier, True
        answer = work(Joined(conn))
        remember(conn, owner, scope, key, answer, now)
        return answer, False

    return db.run(unit, attempts=3)


def find(db: Database, owner: Owner, scope: str, key: IdempotencyKey, now: datetime) -> Remembered | None:
    """An earlier answer, if there is one already; raises ``IdempotencyMismatch``. None proves nothing: ask under the
    lock before anything is done.
    """
    with db.connection() as conn:
        return _same(conn.execute(_of(owner)["find"], _params(owner, scope, key, now)).fetchone(), key)


def remember(conn: Conn, owner: Owner, scope: str, key: IdempotencyKey, answer: Remembered, now: datetime) -> None:
    """Write down, in the transaction of the work, what it is answered. The key's lock is held."""
    conn.execute(
        _of(owner)["remember"],
        {
            "owner": owner,
            "scope": scope,
            "key": key.key,
            "fingerprint": key.fingerprint,
            "status": answer.status,
            "location": answer.location,
            "body": answer.body,
            "now": now,
        },
    )


def forget(db: Database, before: datetime, limit: int) -> int:
    """Delete answers older than ``before``, the oldest first, at most ``limit`` of tenants and of operators;
    returns of whom more were, how many.
    """
    with db.connection() as conn:
        params = {"before": before, "limit": limit}
        return max(conn.execute(_SQL[name], params).rowcount for name in ("forget", "operator_forget"))


def _of(owner: Owner) -> Mapping[str, bytes]:
    return _OPERATORS if isinstance(owner, str) else _SQL


def _params(owner: Owner, scope: str, key: IdempotencyKey, now: datetime) -> dict[str, object]:
    return {"owner": owner, "scope": scope, "key": key.key, "since": key.since(now)}


def _same(row: tuple[object, ...] | None, key: IdempotencyKey) -> Remembered | None:
    if row is None:
        return None
    fingerprint, status, location, body = row
    assert isinstance(fingerprint, bytes | memoryview)
    assert isinstance(status, int)
    assert isinstance(body, bytes | memoryview)
    key.require_same(fingerprint)
    return Remembered(status, None if location is None else str(location), bytes(body))
