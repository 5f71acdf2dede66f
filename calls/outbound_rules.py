"""The rules about what is dialed, from where, when and on what ground. Each a function of the facts and a moment. Pure.

Every sentence names the remedy; what only the operator of the house can change is said to be theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from calls.consent import HUMAN_KINDS, demand
from calls.destinations import against
from calls.numbers import NumberError, parse_destination
from calls.verdict import Facts, Finding

#: A window that does not open within so long never opens for this call.
LOOK_AHEAD = timedelta(days=15)
#: How long a call of a tenant for which nothing was set waits until it is looked at again.
UNSET_WAIT = timedelta(minutes=5)
_OPERATOR = "whoever operates this system can change that"


def unset(facts: Facts, at: datetime) -> Iterator[Finding]:
    """An account for which nothing was ever set dials nothing; what it has queued waits for whoever sets it."""
    if not facts.standing.configured:
        yield Finding(
            "unset",
            "account_not_set_up",
            "/to",
            "no destinations and caller ids were set for your account",
            f"{_OPERATOR} (trunkline tenants destinations)",
            at + UNSET_WAIT,
            again=True,
        )


def number(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Emergency, premium, short codes, satellite and the like are never dialed, whatever a tenant is allowed. Asked once of
    a number: what was found of it is kept with the call.
    """
    refused = None if facts.recipient.number is not None else _refused(facts.to)
    if refused is not None:
        yield Finding("number", refused[0], "/to", refused[1], "call another number")


@lru_cache(maxsize=4096)
def _refused(e164: str) -> tuple[str, str] | None:
    """Code and words of a number that is never dialed."""
    try:
        parse_destination(e164)
    except NumberError as error:
        return error.code, error.detail.rstrip(".")
    return None


def trunk(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Who is behind a trunk is rung by its agent alone, while the trunk may be had: asked of second legs at the claim."""
    if facts.standing.more.get("trunk_lost"):
        detail = "the trunk, or who is behind it, is not the agent's any more, or the trunk is another account's"
        yield Finding("trunk", "trunk_lost", "/to", detail, "ask for the transfer again: it goes as the agent says now")


def destination(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Deny by default: only what is on the tenant's list or on everybody's, up to the class of risk it is there for."""
    if not facts.standing.configured:
        return  # told as such
    try:
        found = against(facts.to, facts.place.country, facts.standing.destinations, facts.standing.house)
    except ValueError as error:
        found = "destination_not_allowed", f"the list of destinations cannot be read ({error})"
    if found is not None:
        yield Finding("destination", found[0], "/to", found[1], _OPERATOR)


def caller_id(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Deny by default: only a number that is verified for the tenant or assigned to it is shown."""
    if facts.standing.configured and facts.standing.caller_id is None:
        yield Finding(
            "caller_id",
            "caller_id_not_allowed",
            "/from",
            "this number is neither verified for your account nor assigned to it",
            f"use one that GET /v1/caller_ids lists; {_OPERATOR}",
        )


def consent(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Where a country asks for it: on what ground a machine calls somebody."""
    given = facts.consent or facts.standing.consent
    for country in facts.place.countries:
        asked = demand(country)
        if asked is None or facts.agent_kind in HUMAN_KINDS:
            continue
        if given is None:
            yield Finding(
                "consent",
                "consent_required",
                "/consent",
                f"calls of a machine's voice to {country} need the callee's consent",
                f"give consent with a basis ({', '.join(sorted(asked.bases))}) and where its proof is",
            )
        elif given.basis not in asked.bases:
            yield Finding(
                "consent",
                "consent_basis_not_enough",
                "/consent/basis",
                f"{given.basis} is no ground for calls of a machine's voice to {country}",
                f"it takes one of {', '.join(sorted(asked.bases))}",
            )


def zone(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Whoever must not be called at night is not called where nobody knows when it is night."""
    needed = facts.standing.hours == "country" or facts.window_is_recipients
    if needed and not facts.place.zones:
        yield Finding(
            "zone",
            "zone_unknown",
            "/recipient/timezone",
            "nobody knows what time it is where this number rings",
            "give recipient.timezone, an IANA time zone such as America/Chicago",
        )


def times(facts: Facts, at: datetime) -> Iterator[Finding]:
    """The call's window, the hours of the callee's country, the dials of a local day: the ring has to end inside."""
    why = facts.limits.against(at)
    if why is None:
        return
    opening = facts.limits.first(at, at + LOOK_AHEAD)
    # What never opens lets the call expire, as a window always has: it is no rule against the call.
    until = at + LOOK_AHEAD if opening is None else opening.at
    need = f"the {facts.limits.need.total_seconds():g} s of a dial, time to ring included, must end inside"
    if why == "window":
        yield Finding("window", "outside_window", "/window", "it is outside of the call's window", need, until)
    elif why == "hours":
        where = ", ".join(facts.place.countries)
        detail = f"it is outside of the hours in which people in {where} are called, by the clock of "
        zones = facts.place.zones
        detail += zones[0] if len(zones) == 1 else f"each of {len(zones)} zones in which the number may be"
        remedy = need if len(zones) == 1 else f"{need}; recipient.timezone says in which of them it is"
        yield Finding("hours", "outside_hours", "/recipient", detail, remedy, until)
    else:
        yield Finding(
            why, why, f"/retry/{why}", "the dials of the local day are used up", "it waits for the next day", until
        )
