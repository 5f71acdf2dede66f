"""What a request changes, with its line in the audit ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store import changes
from store.changes import Change
from web.api.outcome import told_truly
from web.runtime import runtime


@contextmanager
def changing(actor: str, remedy: str) -> Iterator[Change]:
    """A transaction, kept when the block ends without an error. ``remedy``: as :func:`web.api.outcome.told_truly`'s."""
    with told_truly(remedy), changes.changing(runtime().database, actor) as change:
        yield change
