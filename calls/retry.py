"""The one owner of retry: what follows an attempt's end.

One budget over all reasons: ``max_attempts`` counts every attempt that may have reached a person. What is proven to
have reached nobody because a trunk was full, our switch refused, or nothing was sent uses up none of it; such tries are
bounded by the call's ``expires_at``, a growing gap and a count. An attempt whose outcome is unknown is never redialed.

Only this module makes a :data:`Decision`: the store function that writes a new attempt demands one.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta
from typing import Protocol

from calls.evidence import Outcome, RetryClass
from calls.lifecycle import AttemptFacts

_SEAL = object()


def _check_seal(seal: object) -> None:
    if seal is not _SEAL:
        raise TypeError("a retry decision is made by calls.retry.apply_retry_policy alone")


@dataclass(frozen=True, slots=True)
class Stop:
    """The call ends with this ``status``."""

    status: Outcome
    end_reason: str
    why: str  # for people: what the policy said
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    def __str__(self) -> str:
        return f"stop: {self.why}"


@dataclass(frozen=True, slots=True)
class Retry:
    """A new attempt, not before ``due_at``. ``counts``: whether it uses up one of the call's attempts."""

    due_at: datetime
    counts: bool
    reason: str  # the end_reason that is retried
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    def __str__(self) -> str:
        return f"retry at {self.due_at.isoformat()}: {self.reason}{'' if self.counts else ', uses up no attempt'}"


Decision = Stop | Retry


class Gaps(Protocol):
    """What the rules need of the platform; :class:`settings.Settings` is one. Seconds."""

    @property
    def retry_busy_s(self) -> int: ...
    @property
    def retry_no_answer_s(self) -> int: ...
    @property
    def retry_carrier_s(self) -> int: ...
    @property
    def retry_capacity_s(self) -> int: ...


@dataclass(frozen=True, slots=True)
class RetryRules:
    """The gaps in seconds and the bounds. Errors: ValueError for a gap under 1 s or a bound under 0."""

    max_attempts: int = 10  # over the call's own number, whatever it asks
    busy_s: int = 120
    no_answer_s: int = 600
    carrier_s: int = 5  # after a proven fault, nobody rang
    capacity_s: int = 2  # first gap of a try that uses up no attempt; doubles each time
    capacity_max_s: int = 60
    max_free: int = 100  # tries that use up no attempt, at most

    def __post_init__(self) -> None:
        for name in ("busy_s", "no_answer_s", "carrier_s", "capacity_s", "capacity_max_s", "max_attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1")
        if self.max_free < 0:
            raise ValueError("max_free: must be at least 0")

    @classmethod
    def of(cls, gaps: Gaps) -> RetryRules:
        """The rules with a platform's gaps, the bounds as they are. Everybody who decides reads them here."""
        return cls(
            busy_s=gaps.retry_busy_s,
            no_answer_s=gaps.retry_no_answer_s,
            carrier_s=gaps.retry_carrier_s,
            capacity_s=gaps.retry_capacity_s,
        )


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the policy must know of the call. The attempt that just ended is in both counts."""

    attempts_counted: int  # attempts that count towards max_attempts (calls.attempt_count)
    attempts_made: int  # all attempts (the number of the latest)
    max_attempts: int
    expires_at: datetime
    ring_timeout_s: int
    cancel_requested: bool = False


#: Reached nobody for reasons of ours or of the trunk: the next try replaces this one.
FREE = frozenset({RetryClass.CARRIER_CAPACITY, RetryClass.SWITCH_LOCAL, RetryClass.NOT_SENT})


def apply_retry_policy(call: CallFacts, attempt: AttemptFacts, rules: RetryRules, now: datetime) -> Decision:
    """What follows the end of ``attempt``, the call's latest. ValueError if it has not ended.

    What cuts a call short that would be tried again names its end: ``canceled`` if the customer asked, ``expired`` if
    the next try would be due at or after ``expires_at``. Otherwise the call ends as its last attempt did.
    """
    verdict = attempt.verdict
    if not attempt.ended or verdict is None:
        raise ValueError("attempt: has not ended, so there is nothing to decide")

    def stop(why: str) -> Stop:
        return Stop(verdict.outcome, verdict.end_reason, why, seal=_SEAL)

    free = verdict.retry_class in FREE
    gap = _gap_s(call, verdict.retry_class, rules)
    if gap is None:
        return stop(f"{verdict.retry_class.value} is not retried")
    if free:
        if _free_tries(call) >= rules.max_free:
            return stop(f"{rules.max_free} tries that reached nobody")
    elif call.attempts_counted >= min(call.max_attempts, rules.max_attempts):
        return stop(f"all {call.attempts_counted} attempts used")
    if call.cancel_requested:
        return Stop(Outcome.CANCELED, "canceled", "a hangup was asked for", seal=_SEAL)
    # Where our CANCEL may have crossed an answer, the callee may still be on the line until the ring time is over.
    due_at = now + timedelta(seconds=max(gap, call.ring_timeout_s) if verdict.uncertain else gap)
    if due_at >= call.expires_at:
        return Stop(
            Outcome.EXPIRED,
            "expired",
            f"the next try would be due after expires_at, after {verdict.end_reason}",
            seal=_SEAL,
        )
    return Retry(due_at, counts=not free, reason=verdict.end_reason, seal=_SEAL)


def _gap_s(call: CallFacts, retry_class: RetryClass, rules: RetryRules) -> int | None:
    """Seconds until the next try, None for a class that is never retried."""
    if retry_class is RetryClass.BUSY:
        return rules.busy_s
    if retry_class is RetryClass.NO_ANSWER:
        return rules.no_answer_s
    if retry_class is RetryClass.CARRIER_FAULT:
        return rules.carrier_s
    if retry_class in FREE:
        doubled = rules.capacity_s << min(_free_tries(call), 20)
        return min(doubled, max(rules.capacity_max_s, rules.capacity_s))
    return None


def _free_tries(call: CallFacts) -> int:
    """Tries so far that used up no attempt."""
    return max(0, call.attempts_made - call.attempts_counted)
