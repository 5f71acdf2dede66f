"""The rows of a call as typed, frozen dataclasses. Times are aware and in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Call:
    """What the enterprise asked, and how far it got. ``attempt_count`` counts towards ``max_attempts``; ``sequence`` is
    the last webhook sequence given out; ``webhook_url`` None: the tenant's. ``retry``: its own rules (calls.rules), None:
    the platform's; ``dial_window`` None: at any time. ``recording``: start, notice, days; None: it is not recorded.
    """

    id: UUID
    tenant_id: UUID
    agent_id: UUID
    to_number: str
    from_number: str
    priority: str
    route: str
    lane: str
    status: str
    status_at: datetime
    end_reason: str | None
    sip_code: int | None
    q850_cause: int | None
    hangup_by: str | None
    answered_by: str | None
    attempt_count: int
    max_attempts: int
    ring_timeout_s: int
    max_duration_s: int
    cancel_requested: bool
    due_at: datetime
    expires_at: datetime
    metadata: dict[str, Any]
    agent_variables: dict[str, Any]
    client_reference: str | None
    webhook_url: str | None
    sequence: int
    created_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    retry: dict[str, Any] | None = None
    dial_window: Any = None  # as stored; calls.windows.Window.read says whether it can be read
    recording: dict[str, Any] | None = None
    direction: str = "outbound"  # inbound: from_number called to_number, which is one of the tenant's own
    recipient: Any = None  # where its callee is: calls.places.Recipient.read
    consent: Any = None  # on what ground it is made: calls.consent.Consent.read
    test: bool = False  # placed with a test key: dialed in the laboratory alone
    batch_id: UUID | None = None  # posted with others; None: alone
    answered_by_ms: int | None = None  # ms from the answer to the verdict
    recording_ids: list[UUID] = field(default_factory=list)
    transfer_of: UUID | None = None  # the call whose party is put through to this one's

    @property
    def ended(self) -> bool:
        """No further attempt will be made."""
        return self.status not in LIVE_STATUSES


LIVE_STATUSES = frozenset({"queued", "dialing", "early", "ringing", "in_progress"})
STATUSES = LIVE_STATUSES | {"completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dial; ``id`` is the RQ job, the lease, the channel UUID and the SIP Call-ID. ``number`` counts from 1."""

    id: UUID
    call_id: UUID
    number: int
    lane: str
    state: str
    due_at: datetime
    deadline_at: datetime | None
    probes: int
    pushed_epoch: int | None
    pushed_at: datetime | None
    switch: str | None
    carrier_id: UUID | None
    gateway: str | None
    fence: int | None
    epoch: int | None
    claimed_at: datetime | None
    ringing_at: datetime | None
    early_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    evidence: str | None
    evidence_key: str | None
    outcome: str | None
    end_reason: str | None
    retry_class: str | None
    uncertain: bool
    cause: str | None
    q850_cause: int | None
    sip_code: int | None
    sip_phrase: str | None
    disposition: str | None
    local: bool
    requested_by: str | None
    note: str | None
    hangup_by: str | None
    decided: str | None
    created_at: datetime
    dial_until: datetime | None = None
    said: str | None = None
    inbound: bool = False
    agent_heard_at: datetime | None = None  # the callee began to hear the agent
    carrier: str | None = None  # the carrier's name
    menu: str | None = None  # what the callee chose in an announcement's menu


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One thing that was seen or decided. ``at`` is the witness's time, ``recorded_at`` ours."""

    id: int
    call_id: UUID
    attempt_id: UUID | None
    source: str
    type: str
    at: datetime
    data: dict[str, Any]
    recorded_at: datetime


def queued_attempt(
    attempt_id: UUID, call: Call, *, number: int, due_at: datetime, now: datetime, dial_until: datetime | None = None
) -> Attempt:
    """An attempt that has not been dialed, as a row; writes nothing."""
    values: dict[str, Any] = {
        **dict.fromkeys(Attempt.__dataclass_fields__),
        "id": attempt_id,
        "call_id": call.id,
        "number": number,
        "lane": call.lane,
        "state": "queued",
        "due_at": due_at,
        "dial_until": dial_until,
        "probes": 0,
        "uncertain": False,
        "local": False,
        "inbound": False,
        "created_at": now,
    }
    return Attempt(**values)
