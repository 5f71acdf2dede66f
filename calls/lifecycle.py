"""The life of an attempt: what is known after any evidence, in any order, however often.

:func:`apply` is a join. Each part of :class:`AttemptFacts` only ever moves one way, so order and duplication cannot
matter and losing an observation loses only what it alone proved:

- ``state`` is the highest seen; ENDED is the top.
- ``ringing_at``, ``early_at``, ``answered_at`` are the earliest that any witness gives, ends included. An end whose
  witness followed the call carries all three itself, so the row is the same whether or not the states were seen live;
  an end that knows less (a question's answer, a passed deadline) is completed by what was seen before it.
- the end is the best single one: :data:`calls.evidence.SOURCE_RANK`, then the one that knows more of the leg, then a
  fixed order over its content and key. Its cause, codes and time are kept whole, never mixed with another end's.
- the verdict is computed from that end and those times, so a late proof of an answer makes the attempt completed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from calls.causes import OWN_CAUSES, Verdict, classify, normalize
from calls.evidence import SOURCE_RANK, End, Evidence, Outcome, Rank, RetryClass, Source, State


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """All that is known of an attempt; the row of ``attempts`` holds the same fields. Times carry a time zone.

    The fields from ``outcome`` to ``hangup_by`` follow from the others; whoever builds facts from a row may leave them
    out and call :func:`refresh`.
    """

    state: State = State.QUEUED
    ringing_at: datetime | None = None  # first 18x without media
    early_at: datetime | None = None  # first 183 with media
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    # The best end: who saw it, and all it said.
    evidence: Source | None = None
    evidence_key: str | None = None
    cause: str | None = None
    q850_cause: int | None = None
    sip_code: int | None = None
    sip_phrase: str | None = None
    disposition: str | None = None
    local: bool = False
    requested_by: str | None = None
    note: str | None = None
    said: str | None = None
    inbound: bool = False  # the caller rang us; known from the row, whoever tells of it
    # What it means.
    outcome: Outcome | None = None
    end_reason: str | None = None
    retry_class: RetryClass | None = None
    uncertain: bool = False
    hangup_by: str | None = None

    @property
    def ended(self) -> bool:
        return self.state is State.ENDED

    @property
    def verdict(self) -> Verdict | None:
        """The meaning of the end, None while there is none."""
        if self.outcome is None or self.end_reason is None or self.retry_class is None:
            return None
        return Verdict(self.outcome, self.end_reason, self.retry_class, self.uncertain, self.hangup_by)


def apply(facts: AttemptFacts, evidence: Evidence) -> AttemptFacts:
    """``facts`` after one more observation of the same attempt. Unchanged (equal) when it adds nothing."""
    return join(facts, _facts_of(evidence))


def fold(facts: AttemptFacts, evidences: Iterable[Evidence]) -> AttemptFacts:
    """``facts`` after all of ``evidences``; the same for every order, repetition and grouping of them."""
    for evidence in evidences:
        facts = apply(facts, evidence)
    return facts


def join(one: AttemptFacts, other: AttemptFacts) -> AttemptFacts:
    """What both together prove: commutative, associative, idempotent."""
    best = one if _end_order(one) >= _end_order(other) else other
    merged = replace(
        best,
        state=max(one.state, other.state, key=Rank.of),
        ringing_at=_earliest(one.ringing_at, other.ringing_at),
        early_at=_earliest(one.early_at, other.early_at),
        answered_at=_earliest(one.answered_at, other.answered_at),
        inbound=one.inbound or other.inbound,
    )
    return refresh(merged)


def refresh(facts: AttemptFacts) -> AttemptFacts:
    """``facts`` with the verdict computed anew from the end and the times."""
    end = best_end(facts)
    if end is None:
        return facts
    verdict = classify(end)
    return replace(
        facts,
        outcome=verdict.outcome,
        end_reason=verdict.end_reason,
        retry_class=verdict.retry_class,
        uncertain=verdict.uncertain,
        hangup_by=verdict.hangup_by,
    )


def best_end(facts: AttemptFacts) -> End | None:
    """The best end with all times that are known, None while there is none."""
    if facts.cause is None or facts.ended_at is None:
        return None
    return End(
        cause=facts.cause,
        at=facts.ended_at,
        q850_cause=facts.q850_cause,
        sip_code=facts.sip_code,
        sip_phrase=facts.sip_phrase,
        disposition=facts.disposition,
        ringing_at=facts.ringing_at,
        early_at=facts.early_at,
        answered_at=facts.answered_at,
        local=facts.local,
        requested_by=facts.requested_by,
        note=facts.note,
        said=facts.said,
        inbound=facts.inbound,
    )


def call_status(facts: AttemptFacts) -> str:
    """The status that this attempt, if it is the latest, gives its call."""
    if facts.ended:
        assert facts.outcome is not None, "an ended attempt has a verdict"
        return facts.outcome.value
    return facts.state.value


def _facts_of(evidence: Evidence) -> AttemptFacts:
    """What a single observation proves."""
    end = evidence.end
    if end is None:
        return AttemptFacts(
            state=evidence.state,
            ringing_at=evidence.at if evidence.state is State.RINGING else None,
            early_at=evidence.at if evidence.state is State.EARLY else None,
            answered_at=evidence.at if evidence.state is State.IN_PROGRESS else None,
        )
    end = normalize(end)
    return AttemptFacts(
        state=State.ENDED,
        ringing_at=end.ringing_at,
        early_at=end.early_at,
        answered_at=end.answered_at,
        ended_at=end.at,
        evidence=evidence.source,
        evidence_key=evidence.key,
        cause=end.cause,
        q850_cause=end.q850_cause,
        sip_code=end.sip_code,
        sip_phrase=end.sip_phrase,
        disposition=end.disposition,
        local=end.local,
        requested_by=end.requested_by,
        note=end.note,
        said=end.said,
        inbound=end.inbound,
    )


def _end_order(facts: AttemptFacts) -> tuple[int | bool | float | str, ...]:
    """Orders ends, higher is better; equal only for ends that say the same. Times are left out: they are joined."""
    return (
        SOURCE_RANK[facts.evidence] if facts.evidence is not None else -1,
        not facts.local,  # a local refusal of a live call's duplicate must not end the call
        facts.cause is not None and facts.cause not in OWN_CAUSES,
        facts.disposition is not None,
        facts.sip_code is not None,
        facts.requested_by is not None,
        facts.note is not None,
        facts.said is not None,
        # Nothing is left to prefer: any fixed order will do, so long as it tells all differences apart.
        facts.evidence_key or "",
        facts.ended_at.timestamp() if facts.ended_at is not None else 0.0,
        *_total(facts.cause),
        *_total(facts.q850_cause),
        *_total(facts.sip_code),
        *_total(facts.sip_phrase),
        *_total(facts.disposition),
        *_total(facts.requested_by),
        *_total(facts.note),
        *_total(facts.said),
    )


def _total(value: str | int | None) -> tuple[bool, str]:
    """``value`` in an order that has a place for None."""
    return value is not None, "" if value is None else str(value)


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
