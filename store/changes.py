"""A change and its line in the audit ledger, in one transaction: both are kept or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from store import audit
from store.joined import Joined, join
from store.pool import Database


@dataclass(frozen=True, slots=True)
class Change:
    """``database``: for the functions that change something. ``actor``: operator:<name>, key:<prefix> or cli:<user>."""

    actor: str
    database: Joined

    def note(self, action: str, subject: str, data: Mapping[str, Any], *, personal: Mapping[str, Any] | None = None) -> None:
        """What was done: ``<kind>.<verb>``, to ``<kind>:<name>``, with what; no secret. ``personal``: what of it is
        somebody's own and can be erased: numbers (``numbers``), texts in which people are named.
        """
        audit.record(self.database.conn, actor=self.actor, action=action, subject=subject, data=data, personal=personal)


@contextmanager
def changing(db: Database, actor: str) -> Iterator[Change]:
    """A transaction, kept when the block ends without an error."""
    with join(db) as joined:
        yield Change(actor, joined)
