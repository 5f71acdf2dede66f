"""From a well-formed request to a call that can be accepted: the checks that need the clock, the routes and the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from calls.lanes import Priority
from settings import Settings
from store import carriers
from store.calls import NewCall
from store.pool import Database
from store.tenants import Tenant
from web.problems import FieldError

#: Stands in for the route of a number that has none; such a call is never committed.
NO_ROUTE = "none"


def plan(
    args: Mapping[str, Any], tenant: Tenant, settings: Settings, database: Database, now: datetime
) -> tuple[NewCall, list[FieldError]]:
    """The call that ``args`` ask for at ``now``, and what speaks against accepting it now (empty: nothing)."""
    due_at = max(now, args.get("not_before", now))
    expires_at = args.get("expires_at", due_at + timedelta(seconds=settings.default_expires_s))
    route = carriers.route_for(database, args["to"])
    faults = list(_time_faults(args, settings.max_ahead_s, now, due_at, expires_at))
    if route is None:
        faults.append(FieldError("/to", "no_route", "no carrier of this system leads to this number"))
    priority: Priority = args.get("priority", "normal")
    new = NewCall(
        tenant_id=tenant.id,
        agent_id=args["agent_id"],
        to_number=args["to"],
        from_number=args["from_"],
        route=route or NO_ROUTE,
        due_at=due_at,
        expires_at=expires_at,
        max_attempts=args.get("max_attempts", settings.max_attempts),
        ring_timeout_s=args.get("ring_timeout_s", settings.ring_timeout_s),
        max_duration_s=args.get("max_duration_s", settings.max_duration_s),
        priority=priority,
        metadata=args.get("metadata", {}),
        agent_variables=args.get("agent_variables", {}),
        client_reference=args.get("client_reference"),
        webhook_url=args.get("webhook_url"),
    )
    return new, faults


def _time_faults(
    args: Mapping[str, Any], max_ahead_s: int, now: datetime, due_at: datetime, expires_at: datetime
) -> Iterator[FieldError]:
    if due_at > now + timedelta(seconds=max_ahead_s):
        yield FieldError("/not_before", "too_far", f"lies more than {max_ahead_s} s ahead")
    if "expires_at" not in args:
        return
    if expires_at <= now:
        yield FieldError("/expires_at", "in_the_past", "lies in the past; such a call could never be dialed")
    elif expires_at <= due_at:
        yield FieldError("/expires_at", "before_not_before", "must lie after not_before")
    elif expires_at > now + timedelta(seconds=2 * max_ahead_s):
        yield FieldError("/expires_at", "too_far", f"lies more than {2 * max_ahead_s} s ahead")
