"""Whether a call may be dialed at a moment: every rule about outbound calls, in one place. Pure.

The same code runs when a call is accepted (web/api/newcall.py) and again in the claim's transaction (store/claim.py), on
facts that were read there. It fails closed: what cannot be read, or is not known, is not dialed.

A rule is a function of :class:`calls.verdict.Facts` and a moment that yields :class:`calls.verdict.Finding`; it has no clock
and no memory of its own. To add one: a module with the function, its name in :data:`RULES`, its word in
``calls.cause_table.BLOCKED_BY``, and what it looks at in ``Facts`` or ``Standing.more``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from calls import guard_rules, outbound_rules
from calls.consent import Consent
from calls.data import ruleset
from calls.hours import legal
from calls.places import NOWHERE, Recipient, place_of
from calls.standing import Standing
from calls.test_rules import number as test_number
from calls.verdict import Facts, Finding, Verdict
from calls.windows import Limits, Opening

__all__ = ["RULES", "Facts", "Finding", "Verdict", "facts_of", "first", "judge"]

Rule = Callable[[Facts, datetime], Iterable[Finding]]

#: In the order in which their findings are told.
RULES: tuple[Rule, ...] = (
    outbound_rules.unset,
    outbound_rules.number,
    outbound_rules.trunk,
    guard_rules.suppressed,
    outbound_rules.destination,
    outbound_rules.caller_id,
    outbound_rules.consent,
    outbound_rules.zone,
    outbound_rules.times,
    guard_rules.caps,
)
#: Of a call placed with a test key, in place of those: who pays for nothing and reaches nobody needs no more.
TEST_RULES: tuple[Rule, ...] = (test_number, outbound_rules.zone, outbound_rules.times)
#: Rules that pass by turns: so often the next moment is looked for before it is said that there is none.
_TURNS = 1000


def facts_of(
    *,
    to: str,
    caller: str,
    agent_kind: str,
    standing: Standing,
    limits: Limits,
    recipient: Recipient = NOWHERE,
    consent: Consent | None = None,
    window_is_recipients: bool = False,
) -> Facts:
    """The facts of one call, its place and the hours there worked out. ``limits``: without hours."""
    place = place_of(to, recipient, standing.time_zone)
    hours = legal(place.countries, place.zones) if standing.hours == "country" and place.zones else None
    return Facts(
        to=to,
        caller=caller,
        agent_kind=agent_kind,
        standing=standing,
        place=place,
        limits=replace(limits, hours=hours),
        consent=consent,
        recipient=recipient,
        window_is_recipients=window_is_recipients,
    )


def judge(facts: Facts, at: datetime) -> Verdict:
    """What every rule says to a dial at ``at``."""
    findings = tuple(finding for rule in (TEST_RULES if facts.standing.test else RULES) for finding in rule(facts, at))
    return Verdict(at, ruleset(), facts, findings)


def first(facts: Facts, at: datetime, until: datetime, said: Verdict | None = None) -> Opening | None:
    """The first moment from ``at`` on, before ``until``, at which every rule permits a dial; None: there is none. The
    opening's own ``until`` is that of the clock's rules alone. ``said``: what was said at ``at`` already.
    """
    for _ in range(_TURNS):
        if at >= until:
            return None
        verdict, said = said or judge(facts, at), None
        if verdict.permitted:
            return facts.limits.first(at, until)
        if verdict.until is None or verdict.until <= at:
            return None
        if any(one.again for one in verdict.findings):
            return Opening(verdict.until) if verdict.until < until else None
        at = verdict.until
    return None
