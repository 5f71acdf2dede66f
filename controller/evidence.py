"""What the switch said, as evidence: events, dumps and refused originates become :mod:`calls.evidence`. Pure.

Sources: the recorded traces and switch_channel.c / mod_sofia. All texts come from strangers, so each is bounded and
taken only when it is what it should be. Times are the switch's own, microseconds since 1970, UTC; 0 means never.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from controller.commands import REQUESTERS
from controller.esl_errors import refusal
from controller.frames import Event, EventError, parse_plain, text_of

_STATES = {
    "CHANNEL_CREATE": State.DIALING,
    "CHANNEL_PROGRESS": State.RINGING,
    "CHANNEL_PROGRESS_MEDIA": State.EARLY,
    "CHANNEL_ANSWER": State.IN_PROGRESS,
    "CHANNEL_HANGUP_COMPLETE": State.ENDED,
}
#: When the state began: the header, else the event's own time.
_BEGAN = {
    State.DIALING: "Caller-Channel-Created-Time",
    State.RINGING: "Caller-Channel-Progress-Time",
    State.EARLY: "Caller-Channel-Progress-Media-Time",
    State.IN_PROGRESS: "Caller-Channel-Answered-Time",
    State.ENDED: "Caller-Channel-Hangup-Time",
}
#: originate says these only before an INVITE exists. DESTINATION_OUT_OF_ORDER is one of four things: a duplicate of
#: a live channel, the switch's sessions per second, its most sessions, or its pause.
LOCAL_CAUSES = frozenset({"GATEWAY_DOWN", "INVALID_GATEWAY", "INVALID_PROFILE", "INVALID_URL", "CHAN_NOT_IMPLEMENTED"})
AMBIGUOUS_CAUSE = "DESTINATION_OUT_OF_ORDER"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = re.compile(r"[1-9][0-9]{14,16}")  # 2001 to the year 5138
_NUMBER = re.compile(r"[0-9]{1,3}")
_SEQUENCE = re.compile(r"[0-9]{1,20}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]+")
_PHRASE_CHARS = 200


@dataclass(frozen=True, slots=True)
class LocalRefusal:
    """BACKGROUND_JOB of our originate says ``-ERR``. Only a candidate: with a channel, the channel's own end tells more.

    ``certain``: the cause alone proves that no INVITE left the switch. Else ask ``uuid_exists`` (and whether
    CHANNEL_CREATE was seen) before ``evidence`` is recorded; it ranks below the channel's own end in any case.
    """

    attempt_id: UUID
    cause: str
    certain: bool
    evidence: Evidence


def from_event(event: Event) -> Evidence | LocalRefusal | None:
    """What an event says of an attempt; None when it says nothing (another event, an inbound call, no UUID, no time)."""
    name = text_of(event, "Event-Name")
    if name == "BACKGROUND_JOB":
        return _refusal(event)
    state = _STATES.get(name or "")
    attempt = _uuid(event, "Unique-ID")
    if state is None or attempt is None or text_of(event, "Call-Direction") == "inbound":
        return None
    at = _micros(event, _BEGAN[state]) or _micros(event, "Event-Date-Timestamp")
    if at is None:
        return None
    end = _end(event, at) if state is State.ENDED else None
    return Evidence(attempt, _key(event, attempt, at), Source.EVENT, state, at, end)


def from_dump(attempt_id: UUID, reply: str, now: datetime) -> Evidence | None:
    """How far a live channel is, from ``uuid_dump``; None when there is no such channel (any more)."""
    if refusal(reply):
        return None
    try:
        event = parse_plain(reply.encode())
    except EventError:
        return None
    if _uuid(event, "Unique-ID") != attempt_id:
        return None
    for state in (State.IN_PROGRESS, State.EARLY, State.RINGING):
        at = _micros(event, _BEGAN[state])
        if at is not None:
            break
    else:
        state, at = State.DIALING, _micros(event, _BEGAN[State.DIALING]) or now
    return Evidence(attempt_id, f"dump:{attempt_id}:{state}", Source.RECONCILE, state, at)


def _refusal(event: Event) -> LocalRefusal | None:
    attempt = _uuid(event, "Job-UUID")
    body = (text_of(event, "_body") or "").strip()
    at = _micros(event, "Event-Date-Timestamp")
    if attempt is None or at is None or text_of(event, "Job-Command") != "originate" or not refusal(body):
        return None
    words = body.split()
    cause = words[1] if body.startswith("-ERR") and len(words) == 2 and _WORD.fullmatch(words[1]) else "usage"
    certain = cause in LOCAL_CAUSES or cause == "usage"
    end = End(cause, at, local=certain or cause == AMBIGUOUS_CAUSE)
    # Below the channel's own end: should one come after all, it wins.
    evidence = Evidence(attempt, _key(event, attempt, at), Source.RECONCILE, State.ENDED, at, end)
    return LocalRefusal(attempt, cause, certain, evidence)


def _end(event: Event, at: datetime) -> End:
    cause = text_of(event, "Hangup-Cause") or text_of(event, "variable_hangup_cause") or ""
    disposition = text_of(event, "variable_sip_hangup_disposition")
    answered_at = _micros(event, "Caller-Channel-Answered-Time")
    sip_code, sip_phrase = _final_answer(event, disposition)
    if sip_code is None and answered_at is not None:
        sip_code = 200  # noted only when the far end hangs up; an answered INVITE had no other
    requested_by = text_of(event, "variable_trunkline_hangup_by")
    note = text_of(event, "variable_trunkline_end_reason")
    q850 = _number(event, "variable_hangup_cause_q850", 1, 127)
    return End(
        cause=cause if _WORD.fullmatch(cause) else "NORMAL_UNSPECIFIED",
        at=at,
        q850_cause=q850,
        sip_code=sip_code,
        sip_phrase=sip_phrase,
        disposition=disposition if disposition and _WORD.fullmatch(disposition) else None,
        ringing_at=_micros(event, "Caller-Channel-Progress-Time"),
        early_at=_micros(event, "Caller-Channel-Progress-Media-Time"),
        answered_at=answered_at,
        requested_by=requested_by if requested_by in REQUESTERS else None,
        note=note if note and _WORD.fullmatch(note) else None,
    )


def _final_answer(event: Event, disposition: str | None) -> tuple[int | None, str | None]:
    """The carrier's final answer to the INVITE and its words.

    For a CANCEL of its own the switch notes 487 "CANCEL", also when the carrier said something else (302) or nothing.
    """
    failure = _number(event, "variable_sip_invite_failure_status", 200, 699)
    phrase = text_of(event, "variable_sip_invite_failure_phrase")
    own_cancel = disposition == "send_cancel" or (failure == 487 and phrase == "CANCEL")
    protocol = text_of(event, "variable_proto_specific_hangup_cause") or ""
    noted = _NUMBER.fullmatch(protocol.removeprefix("sip:")) if protocol.startswith("sip:") else None
    for code in (
        _number(event, "variable_sip_term_status", 200, 699),
        failure,
        int(noted[0]) if noted and 200 <= int(noted[0]) <= 699 else None,
    ):
        if code is not None and not (code == 487 and own_cancel):
            return code, _phrase(phrase) if code == failure else None
    return None, None


def _phrase(text: str | None) -> str | None:
    return " ".join(_UNPRINTABLE.sub(" ", text or "").split())[:_PHRASE_CHARS] or None


def _key(event: Event, attempt: UUID, at: datetime) -> str:
    """Unique for the observation: core id and sequence stand on every event."""
    core, sequence = _uuid(event, "Core-UUID"), text_of(event, "Event-Sequence") or ""
    if core is not None and _SEQUENCE.fullmatch(sequence):
        return f"{core}:{sequence}"
    return f"{attempt}:{text_of(event, 'Event-Name')}:{at.isoformat()}"


def _uuid(event: Event, name: str) -> UUID | None:
    text = text_of(event, name)
    if text is None or len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def _micros(event: Event, name: str) -> datetime | None:
    text = text_of(event, name)
    if text is None or _MICROS.fullmatch(text) is None:
        return None
    return _EPOCH + timedelta(microseconds=int(text))


def _number(event: Event, name: str, low: int, high: int) -> int | None:
    text = text_of(event, name)
    if text is None or _NUMBER.fullmatch(text) is None:
        return None
    return int(text) if low <= int(text) <= high else None
