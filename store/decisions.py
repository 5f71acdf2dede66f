"""What the rules decided of each attempt that was dialed, or that they ended, goes into the ledger: its hash and the
attempt's id, some hundred in one entry.

Read is from the calls' events, behind whoever writes them, so a claim pays nothing for it. None is left out: of what is
numbered up to a mark everything is committed, or never will be, once the transactions are over that were under way when the
mark was set; and a claim has begun to write before its event draws its number.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from calls.ledger import Entry, Fault, canonical
from store import audit
from store.pool import Conn, Database
from store.queries import load

_SQL = load("decisions")
ACTION = "attempts.decided"
#: Events looked through in one transaction, and decisions in one entry.
PORTION, MOST = 5000, 500


def record(db: Database) -> int:
    """Put down what was decided since the last time, as far as it is certain; returns of how many dials and ends. Raises
    ``psycopg.Error``.
    """
    return db.run(_record)


def _record(conn: Conn) -> int:
    turn = conn.execute(_SQL["turn"]).fetchone()
    if turn is None or not turn[0]:
        return 0  # another process is at it
    row = conn.execute(_SQL["read_until"]).fetchone()
    assert row is not None, "the migration put it there"
    read_id, until_id, certain = row
    if read_id >= until_id:
        last = conn.execute(_SQL["last_event"]).fetchone()
        assert last is not None
        if last[0] > until_id:
            conn.execute(_SQL["read_further"], {"until_id": last[0]})
        return 0
    if not certain:
        return 0
    until = min(until_id, read_id + PORTION)
    found = conn.execute(_SQL["decided"], {"after": read_id, "until": until}).fetchall()
    for start in range(0, len(found), MOST):
        told = [[str(attempt), _word(dialed), hash_of(said)] for _, attempt, dialed, said in found[start : start + MOST]]
        audit.record(conn, actor="system", action=ACTION, subject="attempts", data={"decisions": told})
    conn.execute(_SQL["read_so_far"], {"read_id": until})
    return len(found)


def _word(dialed: bool) -> str:
    return "dialed" if dialed else "blocked"


def hash_of(decision: Any) -> str | None:
    """SHA-256 of the decision in the form in which the ledger hashes; None: there is none."""
    return None if decision is None else hashlib.sha256(canonical(decision)).hexdigest()


def verify(db: Database) -> list[Fault]:
    """Attempts whose decision is another than the last that was put down of them.

    Nothing is said of one whose claim was taken back: it may be asked again at any time. Nor of one of which more was
    decided than is sealed yet.
    """
    wrong: dict[UUID, tuple[Fault, int]] = {}
    for entry in _entries(db):
        told = {UUID(attempt): said for attempt, _, said in entry.data["decisions"]}
        with db.connection() as conn:
            kept = conn.execute(_SQL["of_attempts"], {"ids": list(told)}).fetchall()
        for attempt in told:
            wrong.pop(attempt, None)
        for attempt, decision, times, taken_back in kept:
            if not taken_back and hash_of(decision) != told[attempt]:
                what = f"attempt {attempt}: its decision is not what was put down"
                wrong[attempt] = Fault(entry.place or 0, what), times
    sealed = _times_told(db, {attempt: fault.place for attempt, (fault, _) in wrong.items()})
    return [fault for attempt, (fault, times) in wrong.items() if times <= sealed[attempt]]


def _times_told(db: Database, until: Mapping[UUID, int]) -> Counter[UUID]:
    """How often something was put down of each of these, up to a place of the ledger."""
    found: Counter[UUID] = Counter()
    for entry in _entries(db) if until else ():
        told = (UUID(attempt) for attempt, _, _ in entry.data["decisions"])
        found.update(attempt for attempt in told if attempt in until and (entry.place or 0) <= until[attempt])
    return found


def _entries(db: Database) -> Iterator[Entry]:
    return (entry for entry in audit.sealed(db) if entry.action == ACTION)
