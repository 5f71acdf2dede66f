"""One call through one carrier, the way every call goes: by a route of the carrier's own that no number leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from calls.consent import Consent
from calls.numbers import parse_caller_id, parse_destination
from calls.permission import Finding, Verdict, facts_of, judge
from calls.retry import RetryRules
from calls.windows import Limits, zone
from store import carriers, permission
from store.calls import NewCall
from store.pool import Database

#: In a test call's metadata: the name of its carrier.
MARK = "test_call"
#: Whoever places it calls a phone of theirs.
OWN_PHONE = Consent("express", reference="test call of the operator")


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try. Times in seconds; ``expires_s``: not dialed after that; ``time_zone``: whose days a cap counts by."""

    carrier: str
    carrier_id: UUID
    number: str
    caller: str
    tenant_id: UUID
    agent_id: UUID
    ring_timeout_s: int
    pdd_s: float
    time_zone: str
    talk_s: int
    expires_s: float


class Forbidden(ValueError):
    """The tenant's own rules forbid the call; ``findings`` say why."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("the tenant may not place this call: " + "; ".join(one.words for one in findings))
        self.findings = tuple(findings)


def route_of(carrier: str, carrier_id: UUID) -> str:
    """``trial-<carrier>-<end of its id>``, as a route's name may be."""
    return f"trial-{carrier[:13].replace('_', '-')}-{carrier_id.hex[-12:]}"


def prepare(db: Database, wanted: Trial, now: datetime) -> NewCall:
    """The call, to be accepted (``calls.accept_call``); its route is there then. Errors: ``NumberError``,
    :class:`Forbidden`.
    """
    to, caller = parse_destination(wanted.number), parse_caller_id(wanted.caller)
    verdict, seats = _judged(db, wanted, to.e164, caller.e164, now)
    if not verdict.permitted:
        raise Forbidden(verdict.findings)
    route = route_of(wanted.carrier, wanted.carrier_id)
    if not any(known.name == route and known.carriers == (wanted.carrier_id,) for known in carriers.list_routes(db)):
        carriers.put_route(db, name=route, prefixes=[_nobodys(wanted.carrier_id)], carriers=[wanted.carrier_id])
    return NewCall(
        tenant_id=wanted.tenant_id,
        agent_id=wanted.agent_id,
        to_number=to.e164,
        from_number=caller.e164,
        route=route,
        due_at=now,
        expires_at=now + timedelta(seconds=wanted.expires_s),
        max_attempts=1,
        ring_timeout_s=wanted.ring_timeout_s,
        max_duration_s=wanted.talk_s,
        priority="urgent",
        metadata={MARK: wanted.carrier},
        consent=OWN_PHONE,
        decision=verdict.as_dict(),
        seats=seats,
        # Rules of its own, with which it is in the index of who calls a number: whoever suppresses that finds it.
        retry=RetryRules(),
    )


def _judged(db: Database, wanted: Trial, to: str, caller: str, now: datetime) -> tuple[Verdict, str | None]:
    """What the rules that hold for the tenant say to it now, and what it takes of the fleet."""
    known = permission.ask(db, wanted.tenant_id, wanted.agent_id, to, caller)
    need = timedelta(seconds=wanted.pdd_s + wanted.ring_timeout_s)
    facts = facts_of(
        to=to,
        caller=caller,
        agent_kind=known.agent_kind or "",
        standing=known.standing,
        limits=Limits(zone(wanted.time_zone), need),
        consent=OWN_PHONE,
    )
    return judge(facts, now), known.seats


def _nobodys(carrier_id: UUID) -> str:
    """A prefix that no number has, for no country code begins with 0; another one for each carrier."""
    return f"0{carrier_id.int % 10**14:014d}"
