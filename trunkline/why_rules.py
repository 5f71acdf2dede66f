"""What the rules about outbound calls hold or ended, in words for the operator: docs/rules.md."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from calls.cause_table import END_REASONS
from store import outbound
from store.pool import Database


def unset(db: Database, queued: Mapping[UUID, int]) -> list[tuple[str, str]]:
    """Tenants whose calls wait because nothing was ever set for them: what it is, and what to do. ``queued``: by tenant."""
    found = []
    for tenant_id, name in outbound.without_rules(db):
        if count := queued.get(tenant_id):
            waits = "call waits" if count == 1 else "calls wait"
            what = f"tenant {name}: nothing was set that it may dial or show, {count} {waits} for that"
            found.append((what, f"trunkline tenants rules suggest {name}"))
    return found


def blocked(db: Database) -> list[str]:
    """Which rules ended calls of late."""
    return [
        f"Of the newest {outbound.NEWEST} calls {count} ended as {reason}: {END_REASONS.get(reason, 'a rule forbade them')}"
        for reason, count in outbound.blocked(db)
    ]
