"""Between the row of an attempt and what calls.lifecycle reasons about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from calls.evidence import End, Evidence, Outcome, Source, State
from calls.lifecycle import AttemptFacts
from calls.retry import CallFacts, RetryRules, may_have_rung
from store.classes import read, written
from store.limits import Past, Unreadable, classes, dials, limits_of, rules_of
from store.records import clean
from store.rows import Attempt, Call

_SAME = tuple(field.name for field in fields(AttemptFacts))
_HANGUP_BY = frozenset({"callee", "caller", "agent", "platform", "carrier", "operator", "customer"})
_INT4_MAX = (1 << 31) - 1


class Timers(Protocol):
    """What the deadlines need; :class:`settings.Settings` is one. Seconds."""

    @property
    def pdd_s(self) -> int: ...
    @property
    def ring_grace_s(self) -> float: ...
    @property
    def duration_grace_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class FixedTimers:
    """:class:`Timers` with values of one's own; seconds."""

    pdd_s: int = 0
    ring_grace_s: float = 0.0
    duration_grace_s: float = 0.0


#: For an end, which has no deadline.
NO_TIMERS = FixedTimers()


def facts_of(attempt: Attempt) -> AttemptFacts:
    """The row as facts."""
    return AttemptFacts(
        state=State(attempt.state),
        ringing_at=attempt.ringing_at,
        early_at=attempt.early_at,
        answered_at=attempt.answered_at,
        ended_at=attempt.ended_at,
        evidence=Source(attempt.evidence) if attempt.evidence else None,
        evidence_key=attempt.evidence_key,
        cause=attempt.cause,
        q850_cause=attempt.q850_cause,
        sip_code=attempt.sip_code,
        sip_phrase=attempt.sip_phrase,
        disposition=attempt.disposition,
        local=attempt.local,
        requested_by=attempt.requested_by,
        note=attempt.note,
        said=attempt.said,
        inbound=attempt.inbound,
        outcome=Outcome(attempt.outcome) if attempt.outcome else None,
        end_reason=attempt.end_reason,
        retry_class=read(attempt.retry_class, attempt.end_reason, inbound=attempt.inbound),
        uncertain=attempt.uncertain,
        hangup_by=attempt.hangup_by,
    )


def with_facts(attempt: Attempt, facts: AttemptFacts, **changes: Any) -> Attempt:
    """The row that holds ``facts``, and ``changes`` of other columns."""
    same = {name: getattr(facts, name) for name in _SAME}
    return replace(attempt, **{**same, "retry_class": written(facts.retry_class)}, **changes)


def call_facts(
    call: Call,
    attempt: Attempt,
    past: Sequence[Past],
    others: Sequence[datetime],
    platform: RetryRules,
    pdd_s: float,
) -> tuple[CallFacts, RetryRules]:
    """What the retry policy must know of the call whose latest attempt this is, ended as the row says; and the rules that
    the call goes by.
    """
    past = [one for one in past if one.number < attempt.number]
    rang = dials(past)
    if attempt.claimed_at is not None and may_have_rung(facts_of(attempt)):
        rang.append(attempt.claimed_at)
    rules, limits, unreadable = platform, None, None
    try:
        rules = rules_of(call, platform)
        limits = limits_of(call, rules, pdd_s, rang, others)
    except Unreadable as error:
        unreadable = str(error)
    facts = CallFacts(
        attempts_counted=call.attempt_count,
        attempts_made=attempt.number,
        max_attempts=call.max_attempts,
        expires_at=call.expires_at,
        ring_timeout_s=call.ring_timeout_s,
        cancel_requested=call.cancel_requested,
        earlier=classes(past),
        limits=limits,
        unreadable=unreadable,
    )
    return facts, rules


def hangup_by(facts: AttemptFacts) -> str | None:
    """Who hung up, if it is one that the table knows."""
    return facts.hangup_by if facts.hangup_by in _HANGUP_BY else None


def deadline(state: State, call: Call, attempt: Attempt, timers: Timers, now: datetime) -> datetime | None:
    """When silence becomes failure, for an attempt that comes into ``state``.

    Counted from ``now``, not from the witness's clock: a switch whose clock is wrong must not make a call wait for ever.
    Early media ends the wait for a first sign of life and begins the ring time, since many networks play the ring tone in it
    and tell of no other; a ring that is told after it begins the ring time anew.
    """
    if state is State.ENDED or state is State.QUEUED:
        return None
    if state is State.IN_PROGRESS:
        return now + timedelta(seconds=call.max_duration_s + timers.duration_grace_s)
    if state is State.DIALING:
        return attempt.deadline_at or now + timedelta(seconds=timers.pdd_s)
    return now + timedelta(seconds=call.ring_timeout_s + timers.ring_grace_s)


def storable(evidence: Evidence) -> Evidence:
    """The same observation with texts and numbers that columns can hold; whatever a carrier puts into its phrases."""
    end = evidence.end
    key = clean(evidence.key) or ""
    if end is None:
        return evidence if key == evidence.key else replace(evidence, key=key)
    plain = {
        "cause": clean(end.cause) or "",
        "sip_phrase": clean(end.sip_phrase),
        "disposition": clean(end.disposition),
        "requested_by": clean(end.requested_by),
        "note": clean(end.note),
        "said": clean(end.said),
        "q850_cause": _small(end.q850_cause),
        "sip_code": _small(end.sip_code),
    }
    if key == evidence.key and all(getattr(end, name) == value for name, value in plain.items()):
        return evidence
    return replace(evidence, key=key, end=replace(end, **plain))  # type: ignore[arg-type]


def _small(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= _INT4_MAX else None


def end_data(end: End) -> dict[str, object]:
    """The end as the data of its event; only what is known."""
    return {name: value for name in End.__dataclass_fields__ if (value := getattr(end, name)) not in (None, False)}
