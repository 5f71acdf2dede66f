"""trunkline carriers test-call: one call through one carrier, the way every call goes, and what SIP said of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from calls.ids import call_ref
from settings import get_settings
from store import calls, trial
from store.hangup import request_hangup
from store.pool import Database
from store.rows import Attempt
from trunkline.cli.common import agent, tenant

_LOOK_S = 0.2


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
    owner, whom = tenant(db, wanted.tenant), agent(db, wanted.tenant, wanted.agent)
    settings = get_settings()
    what = trial.Trial(
        carrier=wanted.carrier,
        carrier_id=wanted.carrier_id,
        number=wanted.number,
        caller=wanted.caller,
        tenant_id=owner.id,
        agent_id=whom.id,
        ring_timeout_s=settings.ring_timeout_s,
        pdd_s=settings.pdd_s,
        time_zone=settings.recipient_time_zone,
        talk_s=wanted.talk_s,
        expires_s=wanted.wait_s,
    )
    now = datetime.now(UTC)
    call_id = calls.accept_call(db, trial.prepare(db, what, now), idempotency=None, now=now).call.id
    say(f"{call_ref(call_id)} through {wanted.carrier}")
    return _follow(db, owner.id, call_id, wanted.wait_s, say)


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
