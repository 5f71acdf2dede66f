"""A call that is asked for, and what becomes of it when it is accepted: how it is told, how it stands in its rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from calls.consent import Consent
from calls.ids import new_uuid7
from calls.lanes import lane_with_seats
from calls.places import Recipient
from calls.rules import RetryRules
from calls.windows import RecipientWindow, Window
from store.records import clean
from store.rows import Call


class UnknownAgent(LookupError):
    """The tenant has no agent of that id."""


class UnknownTenant(LookupError):
    """There is no tenant of that id."""


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call as it was asked for, already validated. Times are aware; ``*_s`` are seconds.

    ``retry``: the rules it goes by, None: the platform's, whatever they will be. ``due_at`` lies in its ``window``, and a
    dial may begin until ``dial_until``. ``recording``: start, notice, days; None: it is not recorded.
    ``test``: of a test key, by the test route. ``seats``: what it takes of the fleet (``desk``, ``desk:at_answer``).
    ``decision``: what the rules said to it (calls/verdict.py). The ids are the caller's, so that accepting the same NewCall
    again after a lost connection is harmless.
    """

    tenant_id: UUID
    agent_id: UUID
    to_number: str
    from_number: str
    route: str
    due_at: datetime
    expires_at: datetime
    max_attempts: int
    ring_timeout_s: int
    max_duration_s: int
    priority: str = "normal"
    metadata: dict[str, Any] = field(default_factory=dict)
    agent_variables: dict[str, Any] = field(default_factory=dict)
    client_reference: str | None = None
    webhook_url: str | None = None
    retry: RetryRules | None = None
    window: Window | RecipientWindow | None = None
    dial_until: datetime | None = None
    recording: dict[str, Any] | None = None
    recipient: Recipient | None = None
    consent: Consent | None = None
    decision: dict[str, Any] | None = None
    webhook: dict[str, Any] | None = None  # {"endpoint_id", "events"}, where it asks for its own
    test: bool = False
    seats: str | None = None
    id: UUID = field(default_factory=new_uuid7)
    attempt_id: UUID = field(default_factory=new_uuid7)


@dataclass(frozen=True, slots=True)
class Accepted:
    """``replay`` is what the first request with this key was answered, None for a call accepted now. ``held``: its agent is
    paused, so it is not to be laned.
    """

    call: Call
    attempt_id: UUID
    lane: str
    replay: dict[str, Any] | None
    held: bool = False


def queued_call(new: NewCall, now: datetime, batch_id: UUID | None = None) -> Call:
    """The call as a row, before what the database knows of its tenant (:func:`placed`). ``batch_id``: posted with others."""
    return Call(
        id=new.id,
        tenant_id=new.tenant_id,
        agent_id=new.agent_id,
        to_number=new.to_number,
        from_number=new.from_number,
        priority=new.priority,
        route=new.route,
        lane=lane_with_seats(new.priority, new.tenant_id, new.route, new.seats),
        status="queued",
        status_at=now,
        end_reason=None,
        sip_code=None,
        q850_cause=None,
        hangup_by=None,
        answered_by=None,
        attempt_count=1,
        max_attempts=new.max_attempts,
        ring_timeout_s=new.ring_timeout_s,
        max_duration_s=new.max_duration_s,
        cancel_requested=False,
        due_at=new.due_at,
        expires_at=new.expires_at,
        metadata=new.metadata,
        agent_variables=new.agent_variables,
        client_reference=clean(new.client_reference),
        webhook_url=new.webhook_url,
        recording=new.recording,
        sequence=0,
        created_at=now,
        answered_at=None,
        ended_at=None,
        retry=None if new.retry is None else new.retry.as_dict(),
        dial_window=None if new.window is None else new.window.as_dict(),
        recipient=None if new.recipient is None else new.recipient.as_dict(),
        consent=None if new.consent is None else new.consent.as_dict(),
        batch_id=batch_id,
        test=new.test,
    )


def placed(
    call: Call, hook: str | None, canceled_before: datetime | None, clock: datetime, now: datetime
) -> tuple[Call, str | None]:
    """The call as it is written, and where its webhooks go. ``hook``: the tenant's address, ``clock``: the database's."""
    url = call.webhook_url or hook
    created_at, due_at = call.created_at, call.due_at
    if canceled_before is not None and created_at <= canceled_before:
        # Accepted after all was canceled, by a host whose clock is behind: the mark is not meant for it.
        created_at = canceled_before + timedelta(microseconds=1)
    if due_at <= now:
        # Due at once, by the clock that the claim will go by: one of ours that is ahead must not delay it.
        due_at = min(due_at, clock)
    if url or created_at != call.created_at or due_at != call.due_at:
        call = replace(call, sequence=1 if url else 0, created_at=created_at, due_at=due_at)
    return call, url
