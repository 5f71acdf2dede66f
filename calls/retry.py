"""The one owner of retry: what follows an attempt's end.

One budget over all reasons: ``max_attempts`` counts every attempt that may have reached a person. What is proven to
have reached nobody because a trunk was full or set up wrongly, our switch refused, or nothing was sent uses up none of it;
such tries are bounded by the call's ``expires_at``, a growing gap and a count. An attempt whose outcome is unknown is not
redialed unless the call says so, and a callee who refused is not called again unless it says so, and then once, on another
day. The next try comes when its gap is over, the call's window is open and the local day has dials left.

Only this module makes a :data:`Decision`: the store function that writes a new attempt demands one. The gaps and bounds are
:class:`calls.rules.RetryRules`.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta

from calls.evidence import Outcome, RetryClass
from calls.lifecycle import AttemptFacts
from calls.rules import RetryRules
from calls.windows import Limits, Why

__all__ = [
    "FREE",
    "NOBODY_RANG",
    "CallFacts",
    "Decision",
    "Retry",
    "RetryRules",
    "Stop",
    "apply_retry_policy",
    "may_have_rung",
]

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
    """A new attempt, not before ``due_at``, and not begun after ``dial_until``, when the window closes (None: it does not).
    ``counts``: whether it uses up one of the call's attempts. ``held``: what made it wait for longer than its gap.
    """

    due_at: datetime
    counts: bool
    reason: str  # the end_reason that is retried
    dial_until: datetime | None = None
    held: Why | None = None
    seal: InitVar[object] = None

    def __post_init__(self, seal: object) -> None:
        _check_seal(seal)

    def __str__(self) -> str:
        free, held = "" if self.counts else ", uses up no attempt", f", held by {self.held}" if self.held else ""
        return f"retry at {self.due_at.isoformat()}: {self.reason}{free}{held}"


Decision = Stop | Retry


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the policy must know of the call. The attempt that just ended is in both counts, and in ``limits.rang`` if it
    may have rung.
    """

    attempts_counted: int  # attempts that count towards max_attempts (calls.attempt_count)
    attempts_made: int  # all attempts (the number of the latest)
    max_attempts: int
    expires_at: datetime
    ring_timeout_s: int
    cancel_requested: bool = False
    earlier: tuple[RetryClass, ...] = ()  # how the attempts before this one ended
    limits: Limits | None = None  # None: no window, no caps
    unreadable: str | None = None  # why the call's own rules cannot be read; nothing more is dialed then


#: Reached nobody for reasons of ours or of the trunk: the next try replaces this one.
FREE = frozenset({RetryClass.CARRIER_CAPACITY, RetryClass.CONFIGURATION, RetryClass.SWITCH_LOCAL, RetryClass.NOT_SENT})
#: Proven by their end: no phone rang, unless a ring was seen. Others count towards the caps per day.
NOBODY_RANG = FREE | {RetryClass.CARRIER_FAULT, RetryClass.CARRIER_BLOCK, RetryClass.BAD_NUMBER}
_DAY = timedelta(days=1)


def may_have_rung(attempt: AttemptFacts) -> bool:
    """Whether an attempt that was dialed counts towards the caps per day."""
    rang = attempt.ringing_at is not None or attempt.early_at is not None or attempt.answered_at is not None
    return rang or attempt.retry_class not in NOBODY_RANG


def apply_retry_policy(call: CallFacts, attempt: AttemptFacts, rules: RetryRules, now: datetime) -> Decision:
    """What follows the end of ``attempt``, the call's latest. ValueError if it has not ended.

    What cuts a call short that would be tried again names its end: ``canceled`` if the customer asked, ``blocked`` if its
    rules cannot be read, ``expired`` if the next moment at which it may be dialed is not before ``expires_at``. Otherwise
    the call ends as its last attempt did. With the same facts, a later ``now`` never gives an earlier retry.
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
    if verdict.retry_class is RetryClass.DECLINED and RetryClass.DECLINED in call.earlier:
        return stop("declined twice")
    if free:
        if _free_tries(call) >= rules.max_free:
            return stop(f"{rules.max_free} tries that reached nobody")
    elif call.attempts_counted >= min(call.max_attempts, rules.max_attempts):
        return stop(f"all {call.attempts_counted} attempts used")
    if call.cancel_requested:
        return Stop(Outcome.CANCELED, "canceled", "a hangup was asked for", seal=_SEAL)
    if call.unreadable is not None:
        return Stop(Outcome.BLOCKED, "blocked", call.unreadable, seal=_SEAL)
    # Where our CANCEL may have crossed an answer, the callee may still be on the line until the ring time is over.
    earliest = now + timedelta(seconds=max(gap, call.ring_timeout_s) if verdict.uncertain else gap)
    if verdict.retry_class is RetryClass.DECLINED and call.limits is not None:
        earliest = max(earliest, call.limits.next_day(now))
    return _at_first(call, earliest, verdict.end_reason, counts=not free)


def _at_first(call: CallFacts, earliest: datetime, reason: str, *, counts: bool) -> Decision:
    """A retry at the first moment from ``earliest`` on that the call's limits allow."""
    if earliest >= call.expires_at:
        why = f"the next try would be due after expires_at, after {reason}"
        return Stop(Outcome.EXPIRED, "expired", why, seal=_SEAL)
    if call.limits is None:
        return Retry(earliest, counts, reason, seal=_SEAL)
    held = call.limits.against(earliest)
    opening = call.limits.first(earliest, call.expires_at)
    if opening is None:
        why = f"{held} leaves no moment for the next try before expires_at, after {reason}"
        return Stop(Outcome.EXPIRED, "expired", why, seal=_SEAL)
    return Retry(opening.at, counts, reason, opening.until, held, seal=_SEAL)


def _gap_s(call: CallFacts, retry_class: RetryClass, rules: RetryRules) -> float | None:
    """Seconds until the next try at the earliest, None for a class that is not retried."""
    nth = call.earlier.count(retry_class)  # ends of this class before this one
    if retry_class is RetryClass.BUSY:
        return _nth(rules.busy_gaps_s, nth)
    if retry_class is RetryClass.NO_ANSWER:
        return _nth(rules.no_answer_gaps_s, nth)
    if retry_class is RetryClass.CARRIER_FAULT:
        return _nth(rules.carrier_gaps_s, nth)
    if retry_class is RetryClass.DECLINED and rules.on_declined:
        return _DAY.total_seconds()
    if retry_class is RetryClass.UNKNOWN and rules.on_unknown:
        # A phone that may be ringing, unseen, is not rung again: not before it has stopped, and the carrier has let go.
        return max(_nth(rules.no_answer_gaps_s, nth), call.ring_timeout_s + rules.crash_linger_s)
    if retry_class in FREE:
        doubled = rules.capacity_s << min(_free_tries(call), 20)
        return min(doubled, max(rules.capacity_max_s, rules.capacity_s))
    return None


def _nth(gaps: tuple[int, ...], nth: int) -> int:
    """The gap after the end number ``nth`` (from 0) of a class; the last one for all that follow."""
    return gaps[min(nth, len(gaps) - 1)]


def _free_tries(call: CallFacts) -> int:
    """Tries so far that used up no attempt."""
    return max(0, call.attempts_made - call.attempts_counted)
