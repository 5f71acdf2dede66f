"""What the callee of an announcement chose by a key, kept with the attempt; who opts out is called no more, at once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.numbers import NumberError, parse_destination
from calls.script import Outcome
from store import suppressions
from store.pool import Database
from store.queries import load
from store.suppressions import Provenance

_SQL = load("menus")


def chosen(db: Database, attempt_id: UUID, outcome: Outcome, key: str | None, at: datetime, now: datetime) -> None:
    """Write it down; said twice, nothing more. ``key``: which was pressed; None: none in time.

    An opt-out is a suppression of the tenant's for the number (origin ``keypad``) before it is anything else: whatever
    fails after that, nobody calls again. Calls of test keys suppress nobody.
    """
    if outcome == "opted_out":
        with db.connection() as conn:
            row = conn.execute(_SQL["who"], {"attempt_id": attempt_id}).fetchone()
        if row is not None:
            tenant_id, call_id, number, agent = row
            try:
                e164 = parse_destination(number).e164
            except NumberError:
                e164 = None  # a caller who showed none cannot be called either
            if e164 is not None:
                told = f"key {key} in the call"
                whence = Provenance("keypad", told, at, f"agent:{agent}", call_id=call_id)
                suppressions.add(db, tenant_id, e164, whence, now)
    params = {
        "attempt_id": attempt_id,
        "outcome": outcome,
        "at": at,
        "dedupe": f"menu:{attempt_id}",
        "data": Jsonb({"outcome": outcome, "key": key}),
    }
    with db.connection() as conn:
        conn.execute(_SQL["chosen"], params)
