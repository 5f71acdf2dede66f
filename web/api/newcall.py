"""From a well-formed request to a call that can be accepted: the checks that need the clock, the routes and the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from calls import script
from calls.ids import new_uuid7
from calls.lanes import Priority
from calls.outbound_rules import LOOK_AHEAD
from calls.permission import Facts, Verdict, facts_of, first, judge
from calls.places import NOWHERE, Recipient, numbered, place_of
from calls.rules import RetryRules
from calls.windows import Limits, Opening, Opens, RecipientWindow, Window, zone
from settings import Settings
from store.calls import NewCall
from store.permission import Known
from store.tenants import Tenant
from web.api.lookups import Lookups
from web.api.recording_fields import recording_for
from web.api.webhook_part import webhook_faults, webhook_for
from web.problems import FieldError

NEVER_OPEN = (
    "leaves no moment between not_before and expires_at from which the {} s of a dial, time to ring included, end inside;"
    " widen it, or let the call expire later"
)
NOWHERE_TO = FieldError("/to", "no_route", "no carrier of this system leads to this number")
NO_LAB = FieldError(
    "/to",
    "test_lab_not_set_up",
    "this system has no laboratory for calls of test keys; whoever operates it can set one up (trunkline lab setup)",
)
NO_RECORDING = FieldError("/recording", "not_with_a_test_key", "the laboratory records nothing; leave it out")
#: Of a call and of its first attempt.
Ids: TypeAlias = tuple[UUID, UUID]
#: Stands in for the route of a number that has none; such a call is never committed.
NO_ROUTE = "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """A call as it would be accepted, and what speaks against that (empty: nothing); and what was known and said of it."""

    new: NewCall
    faults: list[FieldError]
    known: Known
    verdict: Verdict
    opening: Opening | None


def weigh(args: Mapping[str, Any], tenant: Tenant, settings: Settings, lookups: Lookups, now: datetime) -> Plan:
    """The call that ``args`` ask for at ``now``. What the database knows of it is asked by ``lookups``: one question, and of
    the rows of a batch one for many.
    """
    return weighing(args, tenant, settings, lookups, now)(lookups.known(args))


def weighing(
    args: Mapping[str, Any], tenant: Tenant, settings: Settings, lookups: Lookups, now: datetime, ids: Ids | None = None
) -> Callable[[Known], Plan]:
    """:func:`weigh` in two steps: what is seldom asked is asked here; the result, given what is known, asks nobody.
    ``ids``: of the call and its first attempt; None: fresh ones.
    """
    recording, against = _unrecorded(args) if lookups.test else recording_for(args, tenant, settings, lookups)
    against = [*against, *webhook_faults(args, lookups)]

    def weighed(known: Known) -> Plan:
        planned = prepare(args, tenant, settings, now, known, recording, ids)
        planned.faults.extend(against)
        return planned

    return weighed


def _unrecorded(args: Mapping[str, Any]) -> tuple[None, list[FieldError]]:
    """Nothing is recorded in the laboratory, whatever the account has; who asks for it is told so."""
    return None, [NO_RECORDING] if args.get("recording", {}).get("enabled", "recording" in args) else []


def prepare(
    args: Mapping[str, Any],
    tenant: Tenant,
    settings: Settings,
    now: datetime,
    known: Known,
    recording: dict[str, Any] | None,
    ids: Ids | None = None,
) -> Plan:
    """The same of what is known already: asks nobody, so that many can be prepared after one question."""
    due_at = max(now, args.get("not_before", now))
    ring_timeout_s = args.get("ring_timeout_s", settings.ring_timeout_s)
    given: Recipient = args.get("recipient", NOWHERE)
    recipient = replace(given, hours=known.standing.hours, otherwise=known.standing.time_zone)
    facts = _facts(args, settings, known, recipient, ring_timeout_s)
    verdict = judge(facts, due_at)
    opening: Opening | None = Opening(due_at)
    if not verdict.refusing:
        opening = first(facts, due_at, args.get("expires_at", due_at + LOOK_AHEAD), verdict)
    first_at = due_at if opening is None else opening.at
    expires_at = args.get("expires_at", first_at + timedelta(seconds=settings.default_expires_s))
    faults = list(_time_faults(args, settings.max_ahead_s, now, due_at, expires_at))
    faults += _retry_faults(args)
    faults += _variable_faults(args, known)
    faults += [FieldError(one.pointer, one.code, one.words) for one in verdict.refusing]
    webhook_url, webhook = webhook_for(args)
    if opening is None and not faults:
        faults.append(_never(verdict, settings.pdd_s + ring_timeout_s))
    if known.route is None:
        faults.append(NO_LAB if known.standing.test else NOWHERE_TO)
    priority: Priority = args.get("priority", "normal")
    call_id, attempt_id = ids or (new_uuid7(), new_uuid7())
    new = NewCall(
        tenant_id=tenant.id,
        agent_id=args["agent_id"],
        to_number=args["to"],
        from_number=args["from_"],
        route=known.route or NO_ROUTE,
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
        retry=_rules(args, settings, facts),
        window=args.get("window"),
        dial_until=None if opening is None else opening.until,
        recording=recording,
        recipient=replace(recipient, number=numbered(args["to"])),
        consent=args.get("consent"),
        decision=verdict.as_dict(),
        test=known.standing.test,
        seats=known.seats,
        id=call_id,
        attempt_id=attempt_id,
    )
    return Plan(new, faults, known, verdict, opening)


def _facts(args: Mapping[str, Any], settings: Settings, known: Known, recipient: Recipient, ring_timeout_s: int) -> Facts:
    """What is known of a call before it is one."""
    window: Window | RecipientWindow | None = args.get("window")
    place = place_of(args["to"], recipient)
    opens: Opens | None = window if isinstance(window, Window) else None
    if isinstance(window, RecipientWindow) and place.zones:
        opens = window.at(place.zones)
    return facts_of(
        to=args["to"],
        caller=args["from_"],
        agent_kind=known.agent_kind or "",
        standing=known.standing,
        limits=Limits(zone(settings.recipient_time_zone), timedelta(seconds=settings.pdd_s + ring_timeout_s), opens),
        recipient=recipient,
        consent=args.get("consent"),
        window_is_recipients=isinstance(window, RecipientWindow),
    )


def _never(verdict: Verdict, need_s: int) -> FieldError:
    """Nothing forbids the call, but no moment that is left is open."""
    found = verdict.first
    if found is None or found.rule == "window":
        return FieldError("/window", "never_open", NEVER_OPEN.format(need_s))
    return FieldError(found.pointer, "never_open", f"{found.words}; no moment that is left is open")


def _rules(args: Mapping[str, Any], settings: Settings, facts: Facts) -> RetryRules:
    """The platform's rules with what the call asks otherwise; its days are those of its window."""
    asked = {name: value for name, value in args.get("retry", {}).items() if name != "max_attempts"}
    window = args.get("window")
    if isinstance(window, Window):
        asked["time_zone"] = window.zone.key
    elif window is not None and facts.place.zones:
        asked["time_zone"] = facts.place.zones[0]
    return RetryRules.of(settings).with_(asked)


def _max_attempts(args: Mapping[str, Any], settings: Settings) -> int:
    asked = args.get("retry", {}).get("max_attempts", args.get("max_attempts"))
    return settings.max_attempts if asked is None else int(asked)


def _retry_faults(args: Mapping[str, Any]) -> Iterator[FieldError]:
    asked = args.get("retry", {}).get("max_attempts")
    if asked is not None and args.get("max_attempts", asked) != asked:
        yield FieldError("/retry/max_attempts", "conflict", "differs from max_attempts; give one of the two")


def _variable_faults(args: Mapping[str, Any], known: Known) -> Iterator[FieldError]:
    """What the agent's texts say of the call must be there, and be something that can be said."""
    given = args.get("agent_variables", {})
    for name in known.needs:
        try:
            script.value(name, given)
        except script.NotSpeakable as error:
            pointer = f"/agent_variables/{name}"
            if name in given:
                yield FieldError(pointer, "not_speakable", str(error))
            else:
                yield FieldError(pointer, "missing_variable", str(error))


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
