"""What a request changes, with its line in the audit ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store import changes
from store.changes import Change
from store.pool import Database
from web.api.outcome import told_truly
from web.runtime import runtime


@contextmanager
def changing(actor: str, remedy: str, database: Database | None = None) -> Iterator[Change]:
    """A transaction, kept when the block ends without an error. ``remedy``: as :func:`web.api.outcome.told_truly`'s.
    ``database``: of the transaction that it is to take part in; None: one of its own.
    """
    with told_truly(remedy), changes.changing(database or runtime().database, actor) as change:
        yield change
