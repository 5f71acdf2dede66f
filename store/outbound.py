"""What an operator sets for a tenant's outbound calls: destinations, caller ids, calling hours, consent. The rules that go
by it are in calls/outbound_rules.py; a change acts on the next accept and on the next claim.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb

from calls.consent import REFERENCE_MAX, Consent
from calls.destinations import Entry, bound
from calls.hours import POLICIES
from calls.numbers import NumberError, parse_caller_id
from calls.place_zones import place_zone
from calls.risks import of_country
from calls.windows import WindowError
from store.pool import Database
from store.queries import load
from store.records import all_rows, one_row, record

_SQL = load("outbound")
#: Digits of a block at least: no operator is given a whole area.
BLOCK_LEAST = 5
#: Calls that are looked at to tell what rules end.
NEWEST = 10_000


class NoTenant(LookupError):
    """There is no tenant of that id."""


@dataclass(frozen=True, slots=True)
class TenantRules:
    """``destinations``: match -> ``{allow, risk}`` (calls/destinations.py). ``hours``: country, or none with the
    ``hours_reason`` of whoever attests it. ``time_zone``: of callees whose zone nobody knows. ``consent``: as
    :meth:`calls.consent.Consent.as_dict`, for calls that name none.
    """

    destinations: dict[str, dict[str, Any]]
    hours: str
    hours_reason: str | None
    time_zone: str | None
    consent: dict[str, Any] | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class CallerId:
    """``block``: every number that begins with ``number``. ``how``: verified, assigned, or inbound (the tenant is called on
    it). ``reference``: where the proof is.
    """

    number: str
    block: bool
    how: str
    reference: str | None
    created_at: datetime


def get(db: Database, tenant_id: UUID) -> TenantRules | None:
    """None: nothing was ever set, and the tenant dials nothing."""
    with db.connection() as conn:
        return one_row(conn, TenantRules, _SQL["get"], {"tenant_id": tenant_id})


def allow(db: Database, tenant_id: UUID, entries: Sequence[Entry]) -> TenantRules:
    """Adds entries to the tenant's list, or sets those anew that are there. ``ValueError`` for one that is none, and for
    more than fit (:class:`calls.destinations.TooManyEntries`): nothing is added then; :class:`NoTenant`.
    """
    params = {"tenant_id": tenant_id, "entries": Jsonb(readable(entries))}
    with db.connection() as conn:
        before = one_row(conn, TenantRules, _SQL["get"], {"tenant_id": tenant_id})
        after = one_row(conn, TenantRules, _SQL["put_destinations"], params)
        if after is None:
            raise NoTenant(f"there is no tenant {tenant_id}")
        bound("the tenant's list", 0 if before is None else len(before.destinations), len(after.destinations))
    return after


def readable(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Entries as they are kept, by what they match. ``ValueError`` for one that is none."""
    for one in entries:
        if not one.match.startswith("+") and of_country(one.match) is None:
            raise ValueError(f"destination: {one.match!r:.40} is neither a country (DE) nor a prefix (+4930, or + for all)")
    return {one.match: Entry.read(one.match, one.as_dict()).as_dict() for one in entries}


def forget(db: Database, tenant_id: UUID, matches: Sequence[str]) -> TenantRules | None:
    """Takes entries from the list; what is not on it is no error. None: the tenant has no rules."""
    with db.connection() as conn:
        return one_row(conn, TenantRules, _SQL["remove_destinations"], {"tenant_id": tenant_id, "matches": list(matches)})


def update(db: Database, tenant_id: UUID, **changes: Any) -> TenantRules:
    """Change only what is named: hours with hours_reason, time_zone, consent (:class:`calls.consent.Consent` or None).

    Errors: ``ValueError`` naming the field; ``TypeError`` for anything else to change; :class:`NoTenant`.
    """
    unknown = changes.keys() - {"hours", "hours_reason", "time_zone", "consent"}
    if unknown:
        raise TypeError(f"a tenant's rules have no {', '.join(sorted(unknown))}")
    written = dict(changes)
    if "hours" in changes:
        written |= _hours(changes["hours"], changes.get("hours_reason"))
    elif "hours_reason" in changes:
        raise ValueError("hours_reason: belongs to hours none; give both")
    if changes.get("time_zone") is not None:
        try:
            place_zone(changes["time_zone"])
        except WindowError as error:
            raise ValueError(str(error)) from None
    if changes.get("consent") is not None:
        written["consent"] = _consent(changes["consent"])
    return _written(db, "set", {"tenant_id": tenant_id, "changes": record(written)})


def told(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Of the changes that :func:`update` takes: what the ledger keeps for good, and what may name people, who attests and
    where a proof is; None: nothing does.
    """
    data = {field: value.as_dict() if isinstance(value, Consent) else value for field, value in changes.items()}
    personal: dict[str, Any] = {}
    if data.get("hours_reason") is not None:
        personal["hours_reason"] = data.pop("hours_reason")
    if data.get("consent") is not None:
        personal["reference"] = data["consent"].pop("reference")
    return data, personal or None


def _hours(hours: object, reason: object) -> Mapping[str, Any]:
    if hours not in POLICIES:
        raise ValueError(f"hours: must be one of {', '.join(POLICIES)}")
    if hours == "country":
        if reason is not None:
            raise ValueError("hours_reason: belongs to hours none")
        return {"hours": hours, "hours_reason": None}
    if not isinstance(reason, str) or not 1 <= len(reason.strip()) <= 500:
        raise ValueError(
            "hours_reason: with hours none, say who attests that these calls solicit nobody, and on what ground (1 to 500"
            " characters)"
        )
    return {"hours": hours, "hours_reason": reason.strip()}


def _consent(consent: Consent) -> dict[str, Any]:
    if not consent.reference or len(consent.reference) > REFERENCE_MAX:
        raise ValueError(f"consent: a tenant's own needs a reference of 1 to {REFERENCE_MAX} characters: where its proof is")
    checked = Consent.read(consent.as_dict())
    assert checked is not None
    return checked.as_dict()


def put_caller_id(
    db: Database,
    tenant_id: UUID,
    number: str,
    *,
    block: bool = False,
    how: str = "assigned",
    reference: str | None = None,
    block_least: int = BLOCK_LEAST,
) -> CallerId:
    """A number that the tenant may show, or a block of them: ``number`` is then what they begin with, ``block_least`` digits
    at least (fewer: laboratories alone).

    Errors: ``ValueError`` naming what is wrong; :class:`NoTenant`.
    """
    if how not in ("verified", "assigned"):
        raise ValueError("how: must be verified or assigned")
    if block and not re.fullmatch(rf"[+][1-9][0-9]{{{block_least - 1},14}}", number, re.ASCII):
        raise ValueError(f"number: a block begins with at least {block_least} digits, 15 at most, such as +4930123456")
    if not block:
        try:
            number = parse_caller_id(number).e164
        except NumberError as error:
            raise ValueError(f"number: {error.detail}") from None
    params = {"tenant_id": tenant_id, "number": number, "block": block, "how": how, "reference": reference}
    try:
        with db.connection() as conn:
            made = one_row(conn, CallerId, _SQL["put_caller_id"], params)
    except errors.CheckViolation:
        raise ValueError("reference: must have 1 to 255 characters") from None
    if made is None:
        raise NoTenant(f"there is no tenant {tenant_id}")
    return made


def remove_caller_id(db: Database, tenant_id: UUID, number: str) -> bool:
    """False: it was not there. A number on which the tenant is called is taken away with that (store/numbers.py)."""
    with db.connection() as conn:
        return conn.execute(_SQL["remove_caller_id"], {"tenant_id": tenant_id, "number": number}).rowcount == 1


def get_caller_id(db: Database, tenant_id: UUID, number: str) -> CallerId | None:
    """As it was added, or is the tenant's because it is called on it; None: it is not the tenant's."""
    with db.connection() as conn:
        return one_row(conn, CallerId, _SQL["get_caller_id"], {"tenant_id": tenant_id, "number": number})


def list_caller_ids(db: Database, tenant_id: UUID, limit: int = 1000, after: str | None = None) -> list[CallerId]:
    """What the tenant may show, in the order of the numbers, from behind ``after`` on."""
    params = {"tenant_id": tenant_id, "limit": limit, "after": after}
    with db.connection() as conn:
        return all_rows(conn, CallerId, _SQL["list_caller_ids"], params)


def without_rules(db: Database) -> list[tuple[UUID, str]]:
    """Tenants for which nothing was ever set, by name."""
    with db.connection() as conn:
        return [(row[0], row[1]) for row in conn.execute(_SQL["without_rules"]).fetchall()]


def blocked(db: Database) -> list[tuple[str, int]]:
    """Of the :data:`NEWEST` calls of all tenants: end reason and count of those that a rule ended, the most first."""
    with db.connection() as conn:
        return [(row[0], row[1]) for row in conn.execute(_SQL["blocked"], {"limit": NEWEST}).fetchall()]


def used(db: Database, tenant_id: UUID, limit: int = 10_000) -> list[tuple[str, str]]:
    """``(to, from)`` of the tenant's newest calls."""
    with db.connection() as conn:
        return [(row[0], row[1]) for row in conn.execute(_SQL["used"], {"tenant_id": tenant_id, "limit": limit}).fetchall()]


def _written(db: Database, statement: str, params: dict[str, Any]) -> TenantRules:
    with db.connection() as conn:
        made = one_row(conn, TenantRules, _SQL[statement], params)
    if made is None:
        raise NoTenant(f"there is no tenant {params['tenant_id']}")
    return made
