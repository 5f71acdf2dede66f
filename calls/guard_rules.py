"""The rules that guard people and money: numbers that are not called, and a tenant's caps. Pure.

Both read their member of the tenant's standing; caps are there only where the tenant has some and they were counted, which
is at the claim: a call is accepted and waits, however much of them is used up.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from calls.caps import Held, Used, held
from calls.verdict import Facts, Finding

#: How long a call waits whose tenant's caps cannot be read.
UNREADABLE_WAIT = timedelta(minutes=5)
#: Code of a finding that holds of every call of the tenant: until it passes nothing of it is laned.
USED_UP = "cap_used_up"
_OPERATOR = "whoever operates this system can change that"
_WORDS: dict[str, str] = {
    "calls_per_minute": "the account's calls per minute are used up",
    "tenant_number_per_day": "the account's calls of the day to this number are used up",
    "minutes_per_day": "the account's minutes of the day are used up, or reserved by calls on the line",
    "spend_per_day": "the account's spend of the day is used up, or reserved by calls on the line",
    "new_prefixes": "the account has begun to call as many new destinations within the hour as it may",
}


def suppressed(facts: Facts, _: datetime) -> Iterator[Finding]:
    """Whoever does not want to be called is not called."""
    entry = facts.standing.more.get("suppressed")
    if entry is None:
        return
    whose = "this system's" if isinstance(entry, dict) and entry.get("everybody") else "your account's"
    remedy = "do not call it" if whose == "this system's" else "do not call it; GET /v1/suppressions?number= says why"
    yield Finding(
        "suppressed", "suppressed", "/to", f"this number is on {whose} list of numbers that are not called", remedy
    )


def caps(facts: Facts, at: datetime) -> Iterator[Finding]:
    """No more of anything than the tenant may."""
    document = facts.standing.more.get("caps")
    if document is None:
        return
    try:
        used = Used.read(document)
    except (ValueError, TypeError, KeyError, AttributeError):
        until = at + UNREADABLE_WAIT
        yield Finding("caps", "caps_unreadable", "/to", "the account's caps cannot be read", _OPERATOR, until, again=True)
        return
    found = held(used, at)
    if found is not None:
        yield _finding(found)


def _finding(found: Held) -> Finding:
    if found.cap == "no_price":
        detail = "the account's spend is capped, and there is no price for this number"
        return Finding("no_price", "no_price", "/to", detail, _OPERATOR)
    detail = f"{_WORDS[found.cap]} ({found.current} of {found.limit})"
    code = USED_UP if found.all_calls else "cap_reached"
    return Finding(found.cap, code, "/to", detail, f"it waits; {_OPERATOR}", found.until)
