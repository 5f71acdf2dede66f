"""Why calls were not accepted, as the problems that are answered: the same for one call and for many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from store.calls import QueueFull
from web.api import idempotency
from web.auth import tenant
from web.problems import too_many


@contextmanager
def accepting() -> Iterator[None]:
    """Around what accepts calls. Raises ``Problem`` 429 where the queue has no room, and what
    :func:`web.api.idempotency.keyed` raises.
    """
    with idempotency.keyed():
        try:
            yield
        except QueueFull as full:
            raise too_many(
                "queue_full",
                f"Your account has {full.current} calls queued and may have {full.limit}.",
                name=tenant().name,
                limit=full.limit,
                current=full.current,
                retry_after_s=full.retry_after_s,
            ) from None
