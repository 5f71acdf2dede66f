"""Of why we are not dialing: tenants with a cap that is used up for all their calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from calls.caps import held
from store import caps
from store.pool import Database
from trunkline.why_words import span


def used_up(db: Database, queued: Mapping[UUID, int], names: Mapping[UUID, str]) -> Iterator[tuple[str, str]]:
    """What holds, and what to do: for each tenant that has something queued and a cap that lets none of it through now."""
    for tenant_id in caps.all_caps(db):
        used = caps.used(db, tenant_id, least=True) if tenant_id in queued else None
        found = None if used is None else held(used, used.moment)
        if used is None or found is None or found.until is None:
            continue
        name = names.get(tenant_id, str(tenant_id))
        wait = span(max(0.0, (found.until - used.moment).total_seconds()))
        what = f"tenant {name}: {found.cap} is used up ({found.current} of {found.limit}), asked again in {wait}"
        yield what, f"wait, or trunkline tenants caps {name}"
