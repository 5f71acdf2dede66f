"""From a well-formed request to a call that can be accepted: the checks that need the clock, the routes and the limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from calls.lanes import Priority
from calls.rules import RetryRules
from calls.windows import Opening
from settings import Settings
from store import carriers
from store.calls import NewCall
from store.pool import Database
from store.tenants import Tenant
from web.api.recording_fields import recording_for
from web.api.webhook_part import webhook_faults, webhook_for
from web.problems import FieldError

#: A window that does not open within so long never opens for this call.
LOOK_AHEAD = timedelta(days=15)
NEVER_OPEN = (
    "leaves no moment between not_before and expires_at from which the {} s of a dial, time to ring included, end inside;"
    " widen it, or let the call expire later"
)
#: Stands in for the route of a number that has none; such a call is never committed.
NO_ROUTE = "none"


def plan(
    args: Mapping[str, Any], tenant: Tenant, settings: Settings, database: Database, now: datetime
) -> tuple[NewCall, list[FieldError]]:
    """The call that ``args`` ask for at ``now``, and what speaks against accepting it now (empty: nothing)."""
    due_at = max(now, args.get("not_before", now))
    window, rules = args.get("window"), _rules(args, settings)
    ring_timeout_s = args.get("ring_timeout_s", settings.ring_timeout_s)
    opening: Opening | None = Opening(due_at)
    if window is not None:
        need = timedelta(seconds=settings.pdd_s + ring_timeout_s)
        opening = window.opening(due_at, need, args.get("expires_at", due_at + LOOK_AHEAD))
    first_at = due_at if opening is None else opening.at
    expires_at = args.get("expires_at", first_at + timedelta(seconds=settings.default_expires_s))
    route = carriers.route_for(database, args["to"])
    faults = list(_time_faults(args, settings.max_ahead_s, now, due_at, expires_at))
    faults += _retry_faults(args)
    recording, against = recording_for(args, tenant, settings, database)
    faults += against
    faults += webhook_faults(args, tenant.id, database)
    webhook_url, webhook = webhook_for(args)
    if opening is None and not faults:
        faults.append(FieldError("/window", "never_open", NEVER_OPEN.format(settings.pdd_s + ring_timeout_s)))
    if route is None:
        faults.append(FieldError("/to", "no_route", "no carrier of this system leads to this number"))
    priority: Priority = args.get("priority", "normal")
    new = NewCall(
        tenant_id=tenant.id,
        agent_id=args["agent_id"],
        to_number=args["to"],
        from_number=args["from_"],
        route=route or NO_ROUTE,
        due_at=first_at,
        expires_at=expires_at,
        max_attempts=_max_attempts(args, settings),
        ring_timeout_s=ring_timeout_s,
        max_duration_s=args.get("max_duration_s", settings.max_duration_s),
        priority=priority,
        metadata=args.get("metadata", {}),
        agent_variables=args.get("agent_variables", {}),
        client_reference=args.get("client_reference"),
        webhook_url=webhook_url,
        webhook=webhook,
        retry=rules,
        window=window,
        dial_until=None if opening is None else opening.until,
        recording=recording,
    )
    return new, faults


def _rules(args: Mapping[str, Any], settings: Settings) -> RetryRules:
    """The platform's rules with what the call asks otherwise; its days are those of its window."""
    asked = {name: value for name, value in args.get("retry", {}).items() if name != "max_attempts"}
    window = args.get("window")
    if window is not None:
        asked["time_zone"] = window.zone.key
    return RetryRules.of(settings).with_(asked)


def _max_attempts(args: Mapping[str, Any], settings: Settings) -> int:
    asked = args.get("retry", {}).get("max_attempts", args.get("max_attempts"))
    return settings.max_attempts if asked is None else int(asked)


def _retry_faults(args: Mapping[str, Any]) -> Iterator[FieldError]:
    asked = args.get("retry", {}).get("max_attempts")
    if asked is not None and args.get("max_attempts", asked) != asked:
        yield FieldError("/retry/max_attempts", "conflict", "differs from max_attempts; give one of the two")


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
