"""What the switch said, as evidence: events, dumps and refused originates become :mod:`calls.evidence`. Pure.

Sources: the recorded traces and switch_channel.c / mod_sofia. How an end is worded is in calls/switch_words.py, which reads
CDRs too. Times are the switch's own, microseconds since 1970, UTC; 0 means never.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from calls import switch_words
from calls.evidence import End, Evidence, Source, State
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

#: A caller's media begins with the answer, which the switch calls progress as well.
_NOT_OF_CALLERS = frozenset({State.EARLY})

_SEQUENCE = re.compile(r"[0-9]{1,20}")


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
    """What an event says of an attempt; None when it says nothing (another event, a caller whom our dialplan has not
    announced, no UUID, no time).
    """
    name = text_of(event, "Event-Name")
    if name == "BACKGROUND_JOB":
        return _refusal(event)
    state = _STATES.get(name or "")
    attempt = _uuid(event, "Unique-ID")
    inbound = text_of(event, "Call-Direction") == "inbound"
    if state is None or attempt is None or (inbound and not _announced(event, attempt)):
        return None
    if inbound and state in _NOT_OF_CALLERS:
        return None
    at = _micros(event, _BEGAN[state]) or _micros(event, "Event-Date-Timestamp")
    if at is None:
        return None
    end = _end(event, at, inbound=inbound) if state is State.ENDED else None
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
    inbound = text_of(event, "Call-Direction") == "inbound"
    for state in (State.IN_PROGRESS, State.RINGING, State.EARLY):
        if inbound and state in _NOT_OF_CALLERS:
            continue
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
    named = switch_words.word(words[1]) if body.startswith("-ERR") and len(words) == 2 else None
    cause = named or "usage"
    certain = cause in LOCAL_CAUSES or cause == "usage"
    end = End(cause, at, local=certain or cause == AMBIGUOUS_CAUSE)
    # Below the channel's own end: should one come after all, it wins.
    evidence = Evidence(attempt, _key(event, attempt, at), Source.RECONCILE, State.ENDED, at, end)
    return LocalRefusal(attempt, cause, certain, evidence)


def _announced(event: Event, attempt: UUID) -> bool:
    return _uuid(event, "variable_trunkline_attempt") == attempt


def _end(event: Event, at: datetime, *, inbound: bool) -> End:
    return switch_words.end_of(
        lambda name: text_of(event, f"variable_{name}"),
        at=at,
        cause=text_of(event, "Hangup-Cause"),
        ringing_at=_micros(event, "Caller-Channel-Progress-Time"),
        early_at=_micros(event, "Caller-Channel-Progress-Media-Time"),
        answered_at=_micros(event, "Caller-Channel-Answered-Time"),
        inbound=inbound,
    )


def _key(event: Event, attempt: UUID, at: datetime) -> str:
    """Unique for the observation: core id and sequence stand on every event."""
    core, sequence = _uuid(event, "Core-UUID"), text_of(event, "Event-Sequence") or ""
    if core is not None and _SEQUENCE.fullmatch(sequence):
        return f"{core}:{sequence}"
    return f"{attempt}:{text_of(event, 'Event-Name')}:{at.isoformat()}"


def _uuid(event: Event, name: str) -> UUID | None:
    return switch_words.uuid_of(text_of(event, name))


def _micros(event: Event, name: str) -> datetime | None:
    return switch_words.micros(text_of(event, name))
