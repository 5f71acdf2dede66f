"""The audit ledger: who did what, in a chain that shows whatever is changed or taken away later (docs/audit.md).

An entry is written in the transaction of what it tells of, and waits for nobody. Whoever seals (:func:`seal`, the watchdog
does) gives it its place and its hash a moment later, one process at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from calls import ledger
from calls.ids import new_uuid7
from calls.ledger import GENESIS, Entry, Fault
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, clean, one_row

_SQL = load("audit")
#: Entries sealed in one transaction, and read at once by whoever looks through all of them.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Head:
    """The last sealed entry. Noted elsewhere it proves that nothing up to it was changed or cut off since."""

    place: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.place}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> Head:
        """From ``place:hash``. Errors: ``ValueError``."""
        place, _, digits = text.strip().partition(":")
        if not place.isdecimal() or len(digits) != 64 or int(place) < 1:
            raise ValueError("head: must be PLACE:HASH as 'trunkline audit verify' prints it, 64 hexadecimal digits")
        try:
            return cls(int(place), bytes.fromhex(digits))
        except ValueError:
            raise ValueError("head: the hash must be 64 hexadecimal digits") from None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``faults`` empty: every one of the ``sealed`` entries is what was sealed. ``waiting``: entries without a place yet,
    of which nothing is proved. ``erased``: entries whose personal data are gone, as they may.
    """

    head: Head | None
    sealed: int
    waiting: int
    erased: int
    faults: tuple[Fault, ...]


def record(
    conn: Conn,
    *,
    actor: str,
    action: str,
    subject: str,
    data: Mapping[str, Any],
    personal: Mapping[str, Any] | None = None,
) -> None:
    """Put down what is done in this transaction. ``actor``: ``operator:<name>``, ``tenant:<name>``, ``key:<prefix>``,
    ``system``; ``action``: lower-case words, as ``carrier.changed``; ``subject``: ``<kind>:<name or id>``. Whatever is
    somebody's own (numbers, names of people) goes into ``personal``, which can be erased; telephone numbers that stand
    elsewhere all the same are put there, as its ``numbers``.

    Errors: ``ValueError`` for data that are no JSON; ``psycopg.errors.CheckViolation`` for an action of another form.
    """
    own = None if personal is None else ledger.plain(personal, "personal")
    given = [] if own is None else own.get("numbers", [])
    subject, told, numbers = ledger.apart(clean(subject) or "", ledger.plain(data), given)
    texts = {name: value for name, value in (own or {}).items() if name != "numbers"}
    _, _, numbers = ledger.apart("", texts, numbers)  # so that they are found by what is erased
    if len(numbers) > len(given):
        own = {**(own or {}), "numbers": numbers}
    params: dict[str, Any] = {
        "id": new_uuid7(),
        "actor": (clean(actor) or "")[:200] or "unknown",
        "action": action,
        "subject": subject[:200] or "unknown",
        "data": Jsonb(told),
        "personal_id": None,
        "personal_hash": None,
    }
    if own is not None:
        salt = os.urandom(32)
        params |= {
            "personal_id": new_uuid7(),
            "salt": salt,
            "personal": Jsonb(own),
            "personal_hash": ledger.hash_personal(salt, own),
        }
        conn.execute(_SQL["record_personal"], params)
    conn.execute(_SQL["record"], params)


def note(
    db: Database,
    *,
    actor: str,
    action: str,
    subject: str,
    data: Mapping[str, Any],
    personal: Mapping[str, Any] | None = None,
) -> None:
    """:func:`record` in a transaction of its own, for what is no change of the database."""
    with db.connection() as conn:
        record(conn, actor=actor, action=action, subject=subject, data=data, personal=personal)


def seal(db: Database) -> int:
    """Give the entries that have none a place and a hash, in the order of their ids, up to :data:`BATCH`; returns how many.

    0 also when another process is at it. Raises ``psycopg.Error``.
    """

    def unit(conn: Conn) -> int:
        if not _has_turn(conn):
            return 0
        waiting = all_rows(conn, Entry, _SQL["unsealed"], {"limit": BATCH})
        if waiting:
            place, previous = _head(conn)
            rows = list(ledger.seal(waiting, place, previous))
            columns = dict(zip(("ids", "places", "previous", "hashes"), map(list, zip(*rows, strict=True)), strict=True))
            conn.execute(_SQL["seal"], columns)
        return len(waiting)

    return db.run(unit)


def _has_turn(conn: Conn) -> bool:
    row = conn.execute(_SQL["turn"]).fetchone()
    return row is not None and bool(row[0])


def _head(conn: Conn) -> tuple[int, bytes]:
    row = conn.execute(_SQL["head"]).fetchone()
    return (0, GENESIS) if row is None else (row[0], bytes(row[1]))


def head(db: Database) -> Head | None:
    """The last sealed entry; None: nothing was ever sealed."""
    with db.connection() as conn:
        place, own = _head(conn)
    return Head(place, own) if place else None


def sealed(db: Database, after: int = 0) -> Iterator[Entry]:
    """Every sealed entry behind the one at ``after``, in order, however many."""
    while True:
        with db.connection() as conn:
            found = all_rows(conn, Entry, _SQL["sealed_after"], {"after": after, "limit": BATCH})
        yield from found
        if len(found) < BATCH:
            return
        after = found[-1].place or after


def verify(db: Database, noted: Head | None = None, most: int = 100) -> Verdict:
    """Look through the whole ledger. ``noted``: a head that was written down elsewhere; that entry must still be there as it
    was. At most ``most`` faults are told.
    """
    found: list[Fault] = []
    last: Entry | None = None
    erased, met = 0, noted is None

    def watched() -> Iterator[Entry]:
        nonlocal last, erased, met
        batch: list[Entry] = []
        for entry in sealed(db):
            batch.append(entry)
            if len(batch) == BATCH:
                erased += _check_personal(db, batch, found)
                batch = []
            met = met or (noted is not None and entry.place == noted.place and entry.hash == noted.hash)
            last = entry
            yield entry
        erased += _check_personal(db, batch, found)

    for fault in ledger.faults(watched()):
        found.append(fault)
    if noted is not None and not met:
        found.append(Fault(noted.place, "the head that was noted is not there: entries were cut off or written anew"))
    with db.connection() as conn:
        row = conn.execute(_SQL["waiting"]).fetchone()
    assert row is not None
    end = None if last is None or last.place is None or last.hash is None else Head(last.place, bytes(last.hash))
    found.sort(key=lambda fault: fault.place)
    return Verdict(end, 0 if end is None else end.place, row[0], erased, tuple(found[:most]))


def _check_personal(db: Database, batch: list[Entry], found: list[Fault]) -> int:
    """Adds what does not hold of the personal data of these; returns how many were erased."""
    ids = [entry.personal_id for entry in batch if entry.personal_id is not None]
    if not ids:
        return 0
    with db.connection() as conn:
        rows = {row[0]: row[1:] for row in conn.execute(_SQL["personal"], {"ids": ids}).fetchall()}
    erased = 0
    for entry in batch:
        if entry.personal_id is None or entry.place is None:
            continue
        salt, data, erased_at = rows.get(entry.personal_id, (None, None, None))
        if erased_at is not None:
            erased += 1
        elif salt is None or ledger.hash_personal(bytes(salt), data) != entry.personal_hash:
            found.append(Fault(entry.place, "its personal data are not what was recorded, and were not erased"))
    return erased


def export(db: Database, after: int = 0, *, personal: bool = False) -> Iterator[dict[str, Any]]:
    """Each sealed entry behind ``after``, in order, with all that its hash is made of. ``personal``: and what of it is
    personal, with its salt, where it was not erased.
    """
    for entry in sealed(db, after):
        assert entry.previous is not None
        assert entry.hash is not None
        line = {**ledger.shown(entry, entry.place or 0), "previous": entry.previous.hex(), "hash": entry.hash.hex()}
        if personal and entry.personal_id is not None:
            with db.connection() as conn:
                row = conn.execute(_SQL["personal"], {"ids": [entry.personal_id]}).fetchone()
            if row is not None and row[1] is not None:
                line |= {"personal_salt": bytes(row[1]).hex(), "personal_data": row[2]}
        yield line


def list_entries(
    db: Database,
    limit: int,
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
) -> list[Entry]:
    """The latest entries first, sealed or not."""
    params = {"limit": limit, "actor": actor, "action": action, "subject": subject, "since": since}
    with db.connection() as conn:
        return all_rows(conn, Entry, _SQL["list"], params)


def personal_of(db: Database, entries: list[Entry]) -> dict[UUID, dict[str, Any]]:
    """By entry its personal data, where it has some that were not erased."""
    owner = {entry.personal_id: entry.id for entry in entries if entry.personal_id is not None}
    with db.connection() as conn:
        rows = conn.execute(_SQL["personal"], {"ids": list(owner)}).fetchall()
    return {owner[row[0]]: row[2] for row in rows if row[2] is not None}


def erase(db: Database, *, actor: str, entry: UUID | None = None, holding: Mapping[str, Any] | None = None) -> int:
    """Erase the personal data of one entry, or of all that hold these members; returns of how many. The chain holds on, and
    that it was done becomes an entry (which does not name what was erased).
    """
    if entry is None and not holding:
        raise ValueError("erase: say which entry, or which members its personal data hold")

    def unit(conn: Conn) -> int:
        params = {"id": entry, "holding": Jsonb(ledger.plain(holding)) if holding else None}
        gone = [str(row[0]) for row in conn.execute(_SQL["erase"], params).fetchall()]
        if gone:
            record(conn, actor=actor, action="audit.personal_erased", subject="audit", data={"entries": sorted(gone)})
        return len(gone)

    return db.run(unit)


def by_place(db: Database, place: int) -> Entry | None:
    """The sealed entry at that place."""
    with db.connection() as conn:
        return one_row(conn, Entry, _SQL["entry_at"], {"place": place})
