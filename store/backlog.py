"""What waits: how many attempts each tenant has queued, counted exactly and without a row that all accepting waits for.

A trigger appends +1 or -1 to ``queue_deltas`` as an attempt enters or leaves ``queued``; :func:`fold` moves the deltas into
``queue_counts``. The two together are the truth at any moment, however long nobody has folded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID
from weakref import WeakKeyDictionary

from store.pool import Conn, Database
from store.queries import load

_SQL = load("backlog")
_BATCHES = load("batches")

#: Between the two moments from which is told how fast a queue empties: a rate older than three of it is not used.
SAMPLE = timedelta(seconds=15)
#: s; told while nothing is known of how fast the queue empties.
RETRY_UNKNOWN_S = 5
#: s; the longest wait told: what is further off nobody can know.
RETRY_LONGEST_S = 3600
#: More than can be accepted at the same time for one tenant, by all web processes (each: STROKES times MOST of
#: web/api/together.py). Only so near to the bound do those who accept take turns.
NEAR = 1_000
#: A batch that leaves less room than this keeps others out until it is committed: as much as ten batches at once.
MARGIN = NEAR + 100_000

#: Deltas folded after which the table is vacuumed.
VACUUM_AFTER = 10_000
#: Folded by this process since then.
_dead: WeakKeyDictionary[Database, int] = WeakKeyDictionary()


class QueueFull(RuntimeError):
    """The tenant has as many calls queued as it may: ``limit`` and ``current`` calls, ``retry_after_s`` seconds until
    room is likely.
    """

    def __init__(self, limit: int, current: int, leaving_per_s: float = 0.0) -> None:
        super().__init__(f"max_queued: {current} calls are queued, {limit} may be: send it again later")
        self.limit = limit
        self.current = current
        self.retry_after_s = retry_after_s(limit, current, leaving_per_s)


@dataclass(frozen=True, slots=True)
class Backlog:
    """``queued`` attempts now, ``max_queued`` the tenant's own bound (None: the setting), ``leaving_per_s`` attempts that
    left the queue per second of late (0: none, or not known).
    """

    queued: int
    max_queued: int | None
    leaving_per_s: float


def retry_after_s(limit: int, current: int, leaving_per_s: float) -> int:
    """Whole seconds until one more fits, at the pace at which the queue has been emptying."""
    if leaving_per_s <= 0:
        return RETRY_UNKNOWN_S
    return max(1, min(RETRY_LONGEST_S, ceil((current - limit + 1) / leaving_per_s)))


def fold(db: Database, *, now: datetime | None = None, limit: int = 100_000) -> int:
    """Move at most ``limit`` deltas into the counts; returns how many. Safe by several at once. ``now`` None: the
    database's clock.
    """
    with db.connection() as conn:
        row = conn.execute(_SQL["fold"], {"now": now, "sample": SAMPLE, "limit": limit}).fetchone()
    assert row is not None
    folded = int(row[0])
    _dead[db] = _dead.get(db, 0) + folded
    if _dead[db] >= VACUUM_AFTER:
        _dead[db] = 0
        _vacuum(db)
    return folded


def _vacuum(db: Database) -> None:
    """Clear away what was folded; until then every count walks over it, and the server's own round is once a minute."""
    with db.connection() as conn:
        conn.autocommit = True  # refused inside a transaction
        try:
            conn.execute(_SQL["vacuum"], prepare=False)
        finally:
            conn.autocommit = False


def queued(db: Database, tenant_id: UUID) -> int:
    """Attempts of the tenant that are queued, retries and those with a later ``due_at`` too; 0 for an unknown tenant."""
    found = look(db, tenant_id)
    return 0 if found is None else found.queued


def all_queued(db: Database) -> dict[UUID, int]:
    """:func:`queued` of every tenant that has ever had something queued."""
    with db.connection() as conn:
        return {tenant_id: int(n) for tenant_id, n in conn.execute(_SQL["all"])}


def look(db: Database, tenant_id: UUID, *, now: datetime | None = None) -> Backlog | None:
    """The tenant's queue and its bound; None: no such tenant. ``now`` None: the database's clock."""
    with db.connection() as conn:
        return look_in(conn, tenant_id, now=now)


def look_in(conn: Conn, tenant_id: UUID, *, now: datetime | None = None) -> Backlog | None:
    """:func:`look` inside the caller's transaction."""
    return ask(conn, tenant_id, now=now)()


def ask(conn: Conn, tenant_id: UUID, *, now: datetime | None = None) -> Callable[[], Backlog | None]:
    """Ask as :func:`look_in` does, in the caller's pipeline; the result waits for the answer."""
    asked = conn.execute(_SQL["look"], {"tenant_id": tenant_id, "now": now, "sample": SAMPLE})

    def answer() -> Backlog | None:
        row = asked.fetchone()
        return None if row is None else Backlog(*row)

    return answer


def near(found: Backlog, more: int, default: int) -> bool:
    """Whether ``more`` attempts of one transaction would leave the tenant less room than MARGIN."""
    limit = default if found.max_queued is None else found.max_queued
    return found.queued + more > limit - MARGIN


def room(conn: Conn, tenant_id: UUID, default: int) -> tuple[int, QueueFull]:
    """How many more attempts of the tenant fit now, and how to say that no more do."""
    found = look_in(conn, tenant_id)
    assert found is not None, "the tenant was seen in this transaction"
    limit = default if found.max_queued is None else found.max_queued
    return limit - found.queued, QueueFull(limit, found.queued, found.leaving_per_s)


def after_batch(conn: Conn, tenant_id: UUID) -> Backlog | None:
    """Wait until a batch of the tenant's that may fill its queue up is committed, and look again."""
    conn.execute(_BATCHES["enter_beside"], {"tenant_id": tenant_id})
    return look_in(conn, tenant_id)


def places(
    conn: Conn, tenant_id: UUID, found: Backlog | None, more: int, default: int
) -> tuple[int, Callable[[int], QueueFull]]:
    """How many of ``more`` attempts of the tenant fit, and how to say to one behind so many that it does not. ``found`` was
    seen in this transaction.

    ``default``: the bound of a tenant that has none of its own. Near the bound it takes the tenant's turn until the
    transaction ends and looks again, so that any number of them together stay within it.
    """
    assert found is not None, "the tenant was seen in this transaction"
    limit = default if found.max_queued is None else found.max_queued
    if more and limit - NEAR <= found.queued < limit:
        conn.execute(_SQL["take_turns"], {"tenant_id": tenant_id})
        # Only a statement that starts in our turn sees what those before us have committed.
        found = look_in(conn, tenant_id) or found
    queued, leaving_per_s = found.queued, found.leaving_per_s
    return max(0, min(more, limit - queued)), lambda before: QueueFull(limit, queued + before, leaving_per_s)
