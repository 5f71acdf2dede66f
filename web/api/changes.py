"""A change and its line in the audit ledger, in one transaction: both are kept or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from store import audit
from store.joined import Joined
from store.pool import Conn
from web.api.outcome import told_truly
from web.runtime import runtime


@dataclass(frozen=True, slots=True)
class Change:
    """``database``: give it to the functions that change something."""

    actor: str
    database: Joined
    _conn: Conn

    def note(self, action: str, subject: str, data: Mapping[str, Any]) -> None:
        """What was done: ``<kind>.<verb>``, to ``<kind>:<name>``, with what; no secret."""
        audit.record(self._conn, actor=self.actor, action=action, subject=subject, data=data)


@contextmanager
def changing(actor: str, remedy: str) -> Iterator[Change]:
    """A transaction, kept when the block ends without an error. ``remedy``: as :func:`web.api.outcome.told_truly`'s."""
    with told_truly(remedy), runtime().database.connection() as conn:
        yield Change(actor, Joined(conn), conn)
