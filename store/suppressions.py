"""Numbers that are not called: a tenant's own, and those that nobody of this house calls (docs/suppressions.md).

Whoever adds one commits it and looks for calls to it after that. So a call cannot slip through: one that was accepted before
the commit is found by that look, and ended under its own lock, before its claim or after it; one that was accepted after it
meets the entry at its claim. A second look (:class:`SecondLook`, the watchdog's) follows a little later, and does the rest
where whoever added it did not come so far. Lifted entries are kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from calls.ids import new_uuid7
from store import audit
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row, recordset
from store.suppressed_calls import Wish, ending
from store.webhook_notice import SUPPRESSED, tell_suppressed

log = logging.getLogger("trunkline.store")
_SQL = load("suppressions")
IMPORT_MOST = 10_000
#: Waiting calls ended before whoever adds numbers is answered; those that remain are refused at their claim, and ended by
#: the watchdog.
AT_ONCE = 400
#: So long after an entry was written no claim is under way that has not seen it: longer than a statement may run.
REST = timedelta(seconds=7)
#: Entries looked after together, in one walk over the calls.
LOOKED_AFTER = 100_000
#: s; of one look of the watchdog, which has to judge calls as well.
SECOND_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Suppression:
    """``tenant_id`` None: nobody calls the number. ``origin``: api, import, operator, agent or keypad; ``source``: where the
    wish was told or is written, ``obtained_at``: when. ``call_id``: the call in which it was told. ``lifted_at`` set: it
    holds no more.
    """

    id: UUID
    tenant_id: UUID | None
    number: str
    origin: str
    source: str
    list_name: str | None
    obtained_at: datetime
    note: str | None
    call_id: UUID | None
    created_by: str
    created_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_reason: str | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where numbers come from; ``by``: who adds them, as the ledger names them (``tenant:acme``, ``operator:ops``)."""

    origin: str
    source: str
    obtained_at: datetime
    by: str
    list_name: str | None = None
    note: str | None = None
    call_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """``new`` of the numbers were not suppressed before; ``ended``: calls canceled, or being hung up, so far."""

    new: int
    known: int
    ended: int


def add(db: Database, tenant_id: UUID | None, number: str, whence: Provenance, now: datetime) -> tuple[Suppression, Added]:
    """Nobody calls the number from now on: of the tenant, or (None) of this house. Its calls that wait are canceled, and
    those that are dialed or ring are hung up. A number that is suppressed already keeps its entry.

    Errors: ``psycopg.errors.CheckViolation`` for what validation let through; ``ForeignKeyViolation``: no such tenant.
    """

    def unit(conn: Conn) -> tuple[int, Suppression | None]:
        new = _put(conn, tenant_id, [number], whence, now)
        return new, one_row(conn, Suppression, _SQL["holding"], {"tenant_id": tenant_id, "number": number})

    new, kept = db.run(unit)
    while kept is None:  # it was there, and somebody lifted it before it was looked at: then there is room for ours
        new, kept = db.run(unit)
    return kept, Added(new, 1 - new, _end_some(db, tenant_id, [number], now))


def add_all(db: Database, tenant_id: UUID | None, numbers: Sequence[str], whence: Provenance, now: datetime) -> Added:
    """:func:`add` of up to :data:`IMPORT_MOST` numbers in one transaction; what of them was named twice counts once."""
    wanted = list(dict.fromkeys(numbers))
    if len(wanted) > IMPORT_MOST:
        raise ValueError(f"numbers: at most {IMPORT_MOST} at once, not {len(wanted)}: send them in parts")
    new = db.run(lambda conn: _put(conn, tenant_id, wanted, whence, now))
    return Added(new, len(wanted) - new, _end_some(db, tenant_id, wanted, now))


def _put(conn: Conn, tenant_id: UUID | None, wanted: Sequence[str], whence: Provenance, now: datetime) -> int:
    rows = [_row(tenant_id, number, whence, now) for number in wanted]
    found = conn.execute(_SQL["add"], {"rows": recordset(rows)}).fetchall()
    if found:
        told = {"origin": whence.origin, "source": whence.source, "list": whence.list_name, "new": len(found)}
        entries = [(row[0], row[2]) for row in found]
        _put_down(conn, SUPPRESSED, tenant_id, whence.by, told, entries)
        if tenant_id is not None:
            tell_suppressed(conn, tenant_id, entries, whence.origin, whence.source, now)
    return len(found)


def _end_some(db: Database, tenant_id: UUID | None, numbers: Sequence[str], now: datetime) -> int:
    """The first look. Its entries are committed: if it fails that is no failure of theirs, the second look does the rest."""
    ended = 0
    try:
        for done in ending(db, [Wish(number, tenant_id) for number in numbers], lambda: now, AT_ONCE):
            ended += done
    except psycopg.Error as error:
        log.warning("suppressed, but not all calls were ended at once", extra={"error": str(error)})
    return ended


def lift(
    db: Database, tenant_id: UUID | None, suppression_id: UUID, *, by: str, reason: str, now: datetime
) -> Suppression | None:
    """The number may be called again, by decision of ``by`` for ``reason``, which are kept. An entry lifted already stays as
    it is. None: there is no such entry of that tenant.
    """

    def unit(conn: Conn) -> Suppression | None:
        params = {"id": suppression_id, "tenant_id": tenant_id, "by": by, "reason": reason, "now": now}
        lifted = one_row(conn, Suppression, _SQL["lift"], params)
        if lifted is None:
            return one_row(conn, Suppression, _SQL["get"], params)
        _put_down(conn, "suppression.lifted", tenant_id, by, {"reason": reason}, [(lifted.id, lifted.number)])
        return lifted

    return db.run(unit)


def get(db: Database, tenant_id: UUID | None, suppression_id: UUID) -> Suppression | None:
    """The entry of that tenant (None: of the house), lifted or not."""
    with db.connection() as conn:
        return one_row(conn, Suppression, _SQL["get"], {"id": suppression_id, "tenant_id": tenant_id})


def list_page(
    db: Database,
    tenant_id: UUID | None,
    limit: int,
    *,
    before: UUID | None = None,
    number: str | None = None,
    lifted: bool = False,
) -> list[Suppression]:
    """The latest entries first, behind ``before``; ``lifted``: those that hold no more too."""
    params = {"tenant_id": tenant_id, "limit": limit, "before": before, "number": number, "lifted": lifted}
    with db.connection() as conn:
        return all_rows(conn, Suppression, _SQL["list" if tenant_id is None else "list_own"], params)


class SecondLook:
    """One process's look at what was added at least :data:`REST` ago, a piece at a time: it goes on where it stopped. What a
    process did not come to is found again by the next.
    """

    def __init__(self, db: Database, rest: timedelta = REST) -> None:
        self._db, self._rest = db, rest
        self._now: datetime  # of the look that is under way
        self._entries: list[UUID] = []
        self._steps: Iterator[int] | None = None  # of the entries that are looked after now

    def look(self, now: datetime, most_s: float = SECOND_LOOK_S, clock: Callable[[], float] = time.monotonic) -> int:
        """No new step after ``most_s``; a step is a transaction. Returns how many entries it is done with.

        Raises ``psycopg.Error``; then it begins anew, and what was done until then stands.
        """
        self._now, until, done = now, clock() + most_s, 0
        while self._steps is not None or self._begin():
            steps, self._steps = self._steps, None
            assert steps is not None
            for _ in steps:
                if clock() >= until:
                    self._steps = steps
                    return done
            with self._db.connection() as conn:
                conn.execute(_SQL["swept"], {"ids": self._entries, "now": now})
            done += len(self._entries)
            if clock() >= until:
                break
        return done

    def _begin(self) -> bool:
        with self._db.connection() as conn:
            found = conn.execute(_SQL["unswept"], {"now": self._now, "rest": self._rest, "limit": LOOKED_AFTER}).fetchall()
        self._entries = [row[0] for row in found]
        if found:
            self._steps = ending(self._db, [Wish(row[2], row[1]) for row in found], lambda: self._now)
        return bool(found)


def _row(tenant_id: UUID | None, number: str, whence: Provenance, now: datetime) -> dict[str, Any]:
    return {
        "id": new_uuid7(),
        "tenant_id": tenant_id,
        "number": number,
        "origin": whence.origin,
        "source": whence.source,
        "list_name": whence.list_name,
        "obtained_at": whence.obtained_at,
        "note": whence.note,
        "call_id": whence.call_id,
        "created_by": whence.by,
        "created_at": now,
    }


def _put_down(
    conn: Conn, action: str, tenant_id: UUID | None, by: str, told: dict[str, Any], entries: Sequence[tuple[UUID, str]]
) -> None:
    """One entry of the ledger a thousand numbers; the numbers themselves can be erased."""
    subject = "suppressions:global" if tenant_id is None else f"suppressions:{tenant_id}"
    for some in _portions(entries, 1000):
        data = {**told, "ids": [entry for entry, _ in some]}
        personal = {"numbers": [number for _, number in some]}
        audit.record(conn, actor=by, action=action, subject=subject, data=data, personal=personal)


def _portions(items: Sequence[tuple[UUID, str]], most: int) -> Iterator[Sequence[tuple[UUID, str]]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
