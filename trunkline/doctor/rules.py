"""Whether every tenant has rules for its outbound calls: one that has none dials nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from trunkline.doctor.finding import Finding, fail, warn

#: So many are told by name.
MOST = 10


def judge_tenants(without: Sequence[tuple[UUID, str]], waiting: Mapping[UUID, int]) -> list[Finding]:
    """``without``: tenants for which nothing was ever set, by name; ``waiting``: calls that are queued, by tenant."""
    found = []
    for tenant_id, name in without[:MOST]:
        queued = waiting.get(tenant_id, 0)
        about, remedy = f"tenant {name}", f"trunkline tenants rules suggest {name}; docs/rules.md"
        if queued:
            found.append(fail(about, f"nothing was set that it may dial or show: {queued} calls wait for that", remedy))
        else:
            found.append(warn(about, "nothing was set that it may dial or show: its calls are refused", remedy))
    if len(without) > MOST:
        found.append(warn("tenants", f"{len(without) - MOST} more have no rules", "docs/rules.md"))
    return found
