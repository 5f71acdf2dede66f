"""The public form of a call: what the API answers and every webhook carries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from calls.ids import agent_ref, batch_ref, call_ref, recording_ref
from calls.timings import NONE, timings
from store.rows import Attempt, Call


def stamp(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with a fraction and ``Z``."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def snapshot(call: Call, dial: Attempt | None = None) -> dict[str, Any]:
    """The whole call as JSON types. ``agent_variables`` stay inside: they are the agent's business, and large.

    ``dial``: the attempt that was answered, else the call's latest; None: of a call that was never dialed.
    """
    return {
        "id": call_ref(call.id),
        "direction": call.direction,
        "status": call.status,
        "status_at": stamp(call.status_at),
        "to": call.to_number,
        "from": call.from_number,
        "agent_id": agent_ref(call.agent_id),
        "priority": call.priority,
        "end_reason": call.end_reason,
        "hangup_by": call.hangup_by,
        "answered_by": call.answered_by,
        "answered_by_ms": call.answered_by_ms,
        "sip_code": call.sip_code,
        "q850_cause": call.q850_cause,
        "carrier": None if dial is None else dial.carrier,
        **(NONE if dial is None else timings(dial))._asdict(),
        "menu": None if dial is None else dial.menu,
        "attempt_count": call.attempt_count,
        "max_attempts": call.max_attempts,
        "retry": _retry(call),
        "window": call.dial_window,
        "recipient": given_recipient(call.recipient),
        "consent": _consent(call),
        "recording": _recording(call),
        "recording_ids": [recording_ref(id_) for id_ in call.recording_ids],
        "ring_timeout_s": call.ring_timeout_s,
        "max_duration_s": call.max_duration_s,
        "cancel_requested": call.cancel_requested,
        "due_at": stamp(call.due_at),
        "expires_at": stamp(call.expires_at),
        "created_at": stamp(call.created_at),
        "answered_at": stamp(call.answered_at),
        "ended_at": stamp(call.ended_at),
        "client_reference": call.client_reference,
        "batch_id": None if call.batch_id is None else batch_ref(call.batch_id),
        "test": call.test,
        "transfer_of": None if call.transfer_of is None else call_ref(call.transfer_of),
        "metadata": call.metadata,
        "sequence": call.sequence,
    }


#: What of a call's rules is its enterprise's business; the rest is the platform's.
_RETRY = (
    "per_day",
    "number_per_day",
    "on_unknown",
    "on_declined",
    "busy_gaps_s",
    "no_answer_gaps_s",
    "carrier_gaps_s",
)


def _retry(call: Call) -> dict[str, Any] | None:
    rules = call.retry
    return None if rules is None else {"max_attempts": call.max_attempts, **{name: rules.get(name) for name in _RETRY}}


def given_recipient(recipient: Any) -> dict[str, Any] | None:
    """What was given; what its tenant's hours were is no business of the call's."""
    kept = recipient if isinstance(recipient, dict) else {}
    given = {name: kept.get(name) for name in ("timezone", "country")}
    return given if any(given.values()) else None


def _consent(call: Call) -> dict[str, Any] | None:
    given = call.consent
    if not isinstance(given, dict):
        return None
    try:
        at = stamp(datetime.fromisoformat(given["at"]))
    except (KeyError, TypeError, ValueError):
        at = None
    return {"basis": given.get("basis"), "at": at, "reference": given.get("reference")}


def _recording(call: Call) -> dict[str, Any] | None:
    asked = call.recording
    return None if asked is None else {name: asked.get(name) for name in ("start", "notice")}


def attempt_snapshot(attempt: Attempt) -> dict[str, Any]:
    """One dial as JSON types; shown in webhooks and in the call's list of attempts."""
    return {
        "id": str(attempt.id),
        "number": attempt.number,
        "state": attempt.state,
        "outcome": attempt.outcome,
        "evidence": attempt.evidence,
        "end_reason": attempt.end_reason,
        "uncertain": attempt.uncertain,
        "cause": attempt.cause,
        "q850_cause": attempt.q850_cause,
        "sip_code": attempt.sip_code,
        "sip_phrase": attempt.sip_phrase,
        "hangup_by": attempt.hangup_by,
        "carrier": attempt.carrier,
        "menu": attempt.menu,
        **timings(attempt)._asdict(),
        "due_at": stamp(attempt.due_at),
        "dialed_at": stamp(attempt.claimed_at),
        "ringing_at": stamp(attempt.ringing_at),
        "early_at": stamp(attempt.early_at),
        "answered_at": stamp(attempt.answered_at),
        "agent_heard_at": stamp(attempt.agent_heard_at),
        "ended_at": stamp(attempt.ended_at),
    }


def webhook_body(kind: str, at: datetime, call: Call, attempt: Attempt, latest: Attempt | None = None) -> dict[str, Any]:
    """Standard Webhooks body ``{type, timestamp, data}``; ``call.sequence`` must be the one of this event.

    ``attempt`` is what it is about; ``latest``, the call's latest one, None where that is the same.
    """
    dial = attempt if latest is None or attempt.answered_at is not None else latest
    return {
        "type": kind,
        "timestamp": stamp(at),
        "api_version": "v1",
        "data": {**snapshot(call, dial), "attempt": attempt_snapshot(attempt)},
    }
