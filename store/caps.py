"""What tenants may do at most, as their operators set it, and how much of it is used (docs/caps.md).

Counted is in the claim's own transaction, under the row of the tenant's caps (take_caps in migration 0021), so that claims
of any number of controllers together do not exceed them. A tenant without caps has no such row, and nothing is asked of it.
What calls cost: store/prices.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb

from calls.caps import KNOWN_FOR, LIMITS, PREFIX_DIGITS, SETTLE_AFTER, Caps, Used
from calls.guard_rules import USED_UP
from store import audit
from store.limits import QUIET
from store.pool import Conn, Database
from store.queries import load
from store.ranges import OUT_OF_RANGE, refused
from store.records import one_row, record

_SQL = load("caps")
#: Parameters of the part ``caps``.
ASKED: dict[str, Any] = {
    "quiet": QUIET,
    "prefix_digits": PREFIX_DIGITS,
    "settle_after": SETTLE_AFTER,
    "known_for": KNOWN_FOR,
}
_PASSING = ["calls_per_minute", "minutes_per_day", "new_prefixes", "spend_per_day", "tenant_number_per_day"]
#: Calls that wait for a cap, brought back in one transaction when caps are changed.
PORTION = 500
_NOBODY = UUID(int=0)
_RANGES = {
    "calls_per_minute": "1 or more",
    "number_per_day": "1 or more",
    "minutes_per_day": "0 or more",
    "spend_per_day": "0 or more",
    "new_prefixes_per_hour": "0 or more",
    "reserve_s": "0 to 14400",
    "time_zone": "an IANA time zone",
}


def get_caps(db: Database, tenant_id: UUID) -> Caps:
    """The tenant's caps; none of it set: it has none."""
    with db.connection() as conn:
        return one_row(conn, Caps, _SQL["get"], {"tenant_id": tenant_id}) or Caps()


def all_caps(db: Database) -> dict[UUID, Caps]:
    """The caps of every tenant that has some."""
    with db.connection() as conn:
        found = conn.execute(_SQL["get_all"]).fetchall()
    return {row[0]: Caps(*row[1:]) for row in found}


def set_caps(db: Database, tenant_id: UUID, *, actor: str, **changes: object) -> Caps:
    """Change only what is named, of :class:`calls.caps.Caps`; None takes a cap away, and with the last of them all that was
    counted. What is dialed from now on counts. Calls that wait for a cap are looked at again at once.

    Errors: ``ValueError`` naming the field, or that there is no such tenant; ``TypeError`` for what is no cap.
    """
    unknown = changes.keys() - Caps.__dataclass_fields__.keys()
    if unknown:
        raise TypeError(f"a tenant has no cap {', '.join(sorted(unknown))}")
    if "time_zone" in changes:
        Caps(time_zone=str(changes["time_zone"]))

    def unit(conn: Conn) -> Caps:
        params = {"tenant_id": tenant_id, **ASKED}
        if conn.execute(_SQL["ensure"], params).rowcount:
            conn.execute(_SQL["seed"], params)
        caps = one_row(conn, Caps, _SQL["update"], {**params, "changes": record(changes)})
        assert caps is not None, "it was put there"
        if caps.none:
            conn.execute(_SQL["remove"], params)
        conn.execute(_SQL["mark"], {**params, "capped": not caps.none})
        audit.record(conn, actor=actor, action="tenant.caps_changed", subject=f"tenant:{tenant_id}", data=dict(changes))
        return caps

    try:
        caps = db.run(unit)
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"tenant: there is no tenant {tenant_id}") from error
    except OUT_OF_RANGE as error:
        raise refused("caps", "tenant_caps", _RANGES, error) from error
    bring_back(db, tenant_id)
    return caps


def used(db: Database, tenant_id: UUID, clock: datetime | None = None, *, least: bool = False) -> Used | None:
    """How much of its caps the tenant has used; None: it has none. ``clock`` None: the database's. ``least``: and what the
    cheapest dial would count with, which is for operators: a tenant's request sees no prices.
    """
    with db.connection() as conn:
        params = {**ASKED, "tenant_id": tenant_id, "nobody": _NOBODY, "clock": clock}
        row = conn.execute(_SQL["used"], params).fetchone()
        cheapest = conn.execute(_SQL["least"], params).fetchone() if least else None
    if row is None:
        return None
    found = Used.read(row[0])
    return found if cheapest is None else replace(found, reserve_micros=cheapest[0])


def settle_in(conn: Conn, attempt_ids: Sequence[UUID], clock: datetime | None) -> None:
    """What the calls of these attempts' tenants count with is looked at again, if it was not just now; in the caller's
    transaction. A claim does so itself, but one that is refused is rolled back.
    """
    conn.execute(_SQL["settle"], {**ASKED, "ids": list(attempt_ids), "nobody": _NOBODY, "clock": clock})


def hold_in(conn: Conn, attempts: Sequence[tuple[UUID, UUID]], said: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Of these (tenant, attempt), by what the rules ``said`` of each: whose cap is used up for all its calls is not laned
    until it has room. In the caller's transaction.
    """
    until: dict[UUID, datetime] = {}
    for tenant_id, attempt_id in attempts:
        for finding in said.get(attempt_id, {}).get("findings", ()):
            if finding["code"] == USED_UP and finding["until"] is not None:
                passes = datetime.fromisoformat(finding["until"])
                until[tenant_id] = max(until.get(tenant_id, passes), passes)
    if until:
        conn.execute(_SQL["hold"], {"tenants": list(until), "until": list(until.values())})


def bring_back(db: Database, tenant_id: UUID) -> int:
    """The tenant's calls that wait for a later moment because of a cap are due now: their claims ask again. How many."""
    with db.connection() as conn:
        lanes = [row[0] for row in conn.execute(_SQL["lanes"], {"hex": tenant_id.hex}).fetchall()]

    def unit(conn: Conn) -> int:
        params = {"tenant_id": tenant_id, "lanes": lanes, "caps": Jsonb(_PASSING), "limit": PORTION}
        found = conn.execute(_SQL["held_calls"], params).fetchall()
        if found:
            conn.execute(_SQL["lock_calls"], {"calls": [row[1] for row in found]})
            conn.execute(_SQL["bring_back"], {"ids": [row[0] for row in found]})
        return len(found)

    done = 0
    while lanes and (moved := db.run(unit)):
        done += moved
    return done


def shown(caps: Caps) -> dict[str, int]:
    """The caps that are set."""
    return {name: value for name in LIMITS if (value := getattr(caps, name)) is not None}
