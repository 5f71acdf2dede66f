"""A change and its line in the audit ledger, in one transaction: both are kept or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from store import audit
from store.joined import Joined
from store.pool import Conn, Database


@dataclass(frozen=True, slots=True)
class Change:
    """``database``: for the functions that change something. ``actor``: operator:<name>, key:<prefix> or cli:<user>."""

    actor: str
    database: Joined
    _conn: Conn

    def note(self, action: str, subject: str, data: Mapping[str, Any]) -> None:
        """What was done: ``<kind>.<verb>``, to ``<kind>:<name>``, with what; no secret."""
        audit.record(self._conn, actor=self.actor, action=action, subject=subject, data=data)


@contextmanager
def changing(db: Database, actor: str) -> Iterator[Change]:
    """A transaction, kept when the block ends without an error."""
    with db.connection() as conn:
        yield Change(actor, Joined(conn), conn)
