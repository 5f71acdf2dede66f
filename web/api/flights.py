"""Requests under way in this process, by their Idempotency-Key: a second one with the same key is told so at once.

The key's lock in Postgres is what makes it true for all processes. This only keeps a thousand copies of one request from
waiting in line for a connection, one after the other, to be told the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store.request_keys import Owner
from web.api.idempotency import in_flight

_under_way: set[tuple[Owner, str, str]] = set()


@contextmanager
def only_one(owner: Owner, scope: str, key: str | None) -> Iterator[None]:
    """Around the work of a request. Raises ``Problem`` 409 while another one of the key is inside; None: it has none."""
    if key is None:
        yield
        return
    name = (owner, scope, key)
    if name in _under_way:
        raise in_flight()
    _under_way.add(name)
    try:
        yield
    finally:
        _under_way.discard(name)
