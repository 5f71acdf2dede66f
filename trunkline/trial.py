"""trunkline carriers test-call: one call through one carrier, the way every call goes, and what SIP said of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from calls.consent import Consent
from calls.ids import call_ref
from calls.numbers import parse_caller_id, parse_destination
from calls.permission import facts_of, judge
from calls.windows import Limits, zone
from settings import get_settings
from store import calls, carriers, permission
from store.hangup import request_hangup
from store.pool import Database
from store.rows import Attempt
from trunkline.cli.common import agent, tenant

_LOOK_S = 0.2
#: Whoever runs the command calls a phone of theirs.
OWN_PHONE = Consent("express", reference="test call of the operator")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to try: names as the command line has them; seconds."""

    carrier: str
    carrier_id: UUID
    number: str
    caller: str
    tenant: str
    agent: str
    wait_s: float
    talk_s: int


def place(db: Database, wanted: Wanted, say: Callable[[str], None]) -> bool:
    """Whether it was answered. Errors: ``ValueError`` naming what is wrong before anything was dialed."""
    to, caller = parse_destination(wanted.number), parse_caller_id(wanted.caller)
    owner, whom = tenant(db, wanted.tenant), agent(db, wanted.tenant, wanted.agent)
    now, settings = datetime.now(UTC), get_settings()
    decision = _permitted(db, wanted, owner.id, whom.id, (to.e164, caller.e164), now)
    with _route(db, wanted, to.e164) as route:
        accepted = calls.accept_call(
            db,
            calls.NewCall(
                tenant_id=owner.id,
                agent_id=whom.id,
                to_number=to.e164,
                from_number=caller.e164,
                route=route,
                due_at=now,
                expires_at=now + timedelta(seconds=wanted.wait_s),
                max_attempts=1,
                ring_timeout_s=settings.ring_timeout_s,
                max_duration_s=wanted.talk_s,
                priority="urgent",
                metadata={"test_call": wanted.carrier},
                consent=OWN_PHONE,
                decision=decision,
            ),
            idempotency=None,
            now=now,
        )
        call_id = accepted.call.id
        say(f"{call_ref(call_id)} through {wanted.carrier}")
        return _follow(db, owner.id, call_id, wanted.wait_s, say)


def _permitted(
    db: Database, wanted: Wanted, tenant_id: UUID, agent_id: UUID, numbers: tuple[str, str], now: datetime
) -> dict[str, Any]:
    """The decision of the rules that hold for the tenant; ``ValueError`` in their words."""
    settings = get_settings()
    known = permission.ask(db, tenant_id, agent_id, *numbers)
    need = timedelta(seconds=settings.pdd_s + settings.ring_timeout_s)
    facts = facts_of(
        to=numbers[0],
        caller=numbers[1],
        agent_kind=known.agent_kind or "",
        standing=known.standing,
        limits=Limits(zone(settings.recipient_time_zone), need),
        consent=OWN_PHONE,
    )
    verdict = judge(facts, now)
    if not verdict.permitted:
        raise ValueError(
            f"tenant {wanted.tenant} may not place this call: " + "; ".join(one.words for one in verdict.findings)
        )
    return verdict.as_dict()


@contextmanager
def _route(db: Database, wanted: Wanted, e164: str) -> Iterator[str]:
    """A route of its own for this one number, while the call lasts."""
    name = f"test-{wanted.carrier}"[:32].replace("_", "-").rstrip("-")
    if any(route.name == name for route in carriers.list_routes(db)):
        raise ValueError(f"route {name!r} exists: another test call is under way; if not: trunkline routes remove {name}")
    carriers.put_route(db, name=name, prefixes=[e164.removeprefix("+")], carriers=[wanted.carrier_id])
    try:
        yield name
    finally:
        carriers.remove_route(db, name)


def _follow(db: Database, tenant_id: UUID, call_id: UUID, wait_s: float, say: Callable[[str], None]) -> bool:
    deadline = time.monotonic() + wait_s + 5
    told: dict[UUID, str] = {}
    while True:
        call = calls.get_call(db, tenant_id, call_id)
        assert call is not None
        for attempt in calls.list_attempts(db, tenant_id, call_id):
            if attempt.state != "queued" and told.get(attempt.id) != attempt.state:
                told[attempt.id] = attempt.state
                say(_line(attempt))
        if call.ended:
            say(f"{call.status}: {call.end_reason or 'no reason'}")
            return call.status == "completed"
        if time.monotonic() >= deadline:
            request_hangup(db, tenant_id, call_id, "operator", datetime.now(UTC))
            say(f"not over after {wait_s:g} s; it is being hung up")
            return False
        time.sleep(_LOOK_S)


def _line(attempt: Attempt) -> str:
    """One state of an attempt: where, and what SIP said at the end."""
    line = f"  {attempt.state:<12} {attempt.switch} {attempt.gateway} Call-ID {attempt.id}"
    if attempt.state == "dialing" or attempt.claimed_at is None:
        return line
    times = {"ring": attempt.ringing_at or attempt.early_at, "answer": attempt.answered_at, "end": attempt.ended_at}
    after = [f"{name} {(at - attempt.claimed_at).total_seconds():.1f} s" for name, at in times.items() if at is not None]
    code = "" if attempt.sip_code is None else f" SIP {attempt.sip_code} {attempt.sip_phrase or ''}".rstrip()
    cause = f" ({attempt.cause})" if attempt.cause else ""
    return f"{line}{code}{cause}: {', '.join(after)}"
