"""What one more observation does to a call: the effects, computed on locked rows, not yet written.

Pure: rows in, rows out. store/change.py reads and writes. Every change of the call's status is told once, with the
call's next sequence; an end asks the retry policy; a better end later corrects what the first one said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from calls.evidence import End, Evidence, Outcome, Source, State
from calls.lifecycle import AttemptFacts, apply, call_status
from calls.retry import Decision, Retry, RetryRules, Stop, apply_retry_policy
from calls.witnesses import contradiction
from store.facts import Timers, call_facts, deadline, facts_of, hangup_by, with_facts
from store.limits import Past
from store.outbox import outbox_row
from store.rows import Attempt, Call, queued_attempt
from store.snapshot import webhook_body

#: Type of the event that keeps both sides where two witnesses disagree.
CONTRADICTION = "attempt.contradiction"
_TOLD_AS = {
    "dialing": "call.dialing",
    "early": "call.early",
    "ringing": "call.ringing",
    "in_progress": "call.answered",
}
#: What a call takes over from the end of its latest attempt, besides status and hangup_by.
_FOLLOWS = ("end_reason", "sip_code", "q850_cause", "answered_at", "ended_at")


@dataclass(frozen=True, slots=True)
class Context:
    """What every effect may depend on."""

    rules: RetryRules
    timers: Timers
    now: datetime
    new_id: Callable[[], UUID]


@dataclass(slots=True)
class CallWork:
    """A locked call with the attempts that matter (the latest is always there), and what is to be written of it."""

    call: Call
    hook: str | None  # where its webhooks go; None: nowhere
    attempts: dict[UUID, Attempt]
    past: list[Past] = field(default_factory=list)  # how it went before, where an end is to be decided on
    others: list[datetime] = field(default_factory=list)  # dials of other calls to the number, where that is capped
    changed: set[UUID] = field(default_factory=set)
    ended_now: set[UUID] = field(default_factory=set)
    retry: tuple[UUID, Attempt] | None = None  # (the attempt that ended, the one that follows)
    call_changed: bool = False
    events: list[dict[str, object]] = field(default_factory=list)
    outbox: list[dict[str, object]] = field(default_factory=list)
    contradictions: list[dict[str, object]] = field(default_factory=list)

    @property
    def latest(self) -> Attempt:
        """The attempt whose state the call's status follows."""
        return max(self.attempts.values(), key=lambda attempt: attempt.number)

    def see(self, evidence: Evidence, context: Context) -> None:
        """Apply one observation that was not known before."""
        attempt = self.attempts[evidence.attempt_id]
        before = facts_of(attempt)
        if (found := contradiction(before, evidence)) is not None:
            data: dict[str, object] = {"differ": found.differ, **asdict(found)}
            self._log(attempt, CONTRADICTION, f"contradiction:{attempt.id}", context, data)
            self.contradictions.append({"attempt_id": attempt.id, "call_id": self.call.id, "seen_at": context.now})
        after = apply(before, evidence)
        if after == before:
            return
        if before.state is after.state:
            changed = with_facts(attempt, after)
        else:
            until = deadline(after.state, self.call, attempt, context.timers, context.now)
            changed = with_facts(attempt, after, deadline_at=until, probes=0)
        self._put(changed)
        if not after.ended:
            self._progress(changed, after, context)
        elif not before.ended:
            self._end(changed, after, context)
        else:
            self._correct(changed, before, after, context)

    def _put(self, attempt: Attempt) -> None:
        self.attempts[attempt.id] = attempt
        self.changed.add(attempt.id)

    def _progress(self, attempt: Attempt, facts: AttemptFacts, context: Context) -> None:
        status = call_status(facts)
        times = {"early": attempt.early_at, "ringing": attempt.ringing_at, "in_progress": attempt.answered_at}
        status_at = times.get(status) or context.now
        if status != self.call.status:
            changes = {"status": status, "status_at": status_at, "answered_at": attempt.answered_at}
            self._tell(_TOLD_AS[status], attempt, context, **changes)
        elif status in times and (status_at, attempt.answered_at) != (self.call.status_at, self.call.answered_at):
            # An earlier sight of the state it is in: the truth is kept, nobody is told of milliseconds.
            self.call = replace(self.call, status_at=status_at, answered_at=attempt.answered_at)
            self.call_changed = True

    def _end(self, attempt: Attempt, facts: AttemptFacts, context: Context) -> None:
        self.ended_now.add(attempt.id)
        known, rules = call_facts(self.call, attempt, self.past, self.others, context.rules, context.timers.pdd_s)
        decision = apply_retry_policy(known, facts, rules, context.now)
        attempt = replace(attempt, decided=str(decision))
        self._put(attempt)
        if isinstance(decision, Retry):
            self._write_attempt(attempt, decision, context)
        else:
            self._stop(attempt, facts, decision, context)

    def _stop(self, attempt: Attempt, facts: AttemptFacts, decision: Stop, context: Context) -> None:
        status = decision.status.value
        changes = {
            **_followed(facts),
            "status": status,
            "status_at": facts.ended_at or context.now,
            "end_reason": decision.end_reason,
        }
        self._tell(f"call.{status}", attempt, context, **changes)
        data: dict[str, object] = {"end_reason": decision.end_reason, "decided": decision.why}
        self._log(attempt, f"call.{status}", f"decided:{attempt.id}", context, data)

    def _write_attempt(self, ended: Attempt, decision: Decision, context: Context) -> None:
        """The one place where an attempt after the first comes into being; it takes a decision to retry."""
        if not isinstance(decision, Retry):
            raise TypeError("a new attempt needs a Retry of calls.retry.apply_retry_policy")
        attempt = queued_attempt(
            context.new_id(),
            self.call,
            number=ended.number + 1,
            due_at=decision.due_at,
            now=context.now,
            dial_until=decision.dial_until,
        )
        self.retry = (ended.id, attempt)
        self.attempts[attempt.id] = attempt
        self._tell(
            "call.retry_scheduled",
            ended,
            context,
            status="queued",
            status_at=context.now,
            due_at=decision.due_at,
            answered_at=None,
            attempt_count=self.call.attempt_count + (1 if decision.counts else 0),
        )
        data: dict[str, object] = {
            "due_at": decision.due_at,
            "counts": decision.counts,
            "reason": decision.reason,
            "next_attempt": attempt.id,
        }
        if decision.held is not None:
            data["held_by"] = decision.held
        self._log(ended, "call.retry_scheduled", f"decided:{ended.id}", context, data)

    def _correct(self, attempt: Attempt, before: AttemptFacts, after: AttemptFacts, context: Context) -> None:
        """A better witness of an end that is known already. The decision stands: nothing is dialed because of it."""
        answered = after.outcome is Outcome.COMPLETED and before.outcome is not Outcome.COMPLETED
        latest = self.latest
        if attempt.id != latest.id:
            if answered and latest.state == "queued":
                self._spare(latest, attempt, after, context)
                return
            # Spared because of this one, the latest was never dialed: the call goes on following this one's end.
            if latest.evidence_key != _spared_by(attempt):
                return
        call = self.call
        changes: dict[str, object] = {
            name: getattr(after, name)
            for name in _FOLLOWS
            # What the call did not take from this attempt (canceled, expired) is not this attempt's to correct.
            if answered or getattr(call, name) == getattr(before, name)
        }
        if answered or call.hangup_by == hangup_by(before):
            changes["hangup_by"] = hangup_by(after)
        if answered or (before.outcome is not None and call.status == before.outcome.value):
            changes.update(status=call_status(after), status_at=after.ended_at or call.status_at)
        if all(getattr(call, name) == value for name, value in changes.items()):
            return
        self._tell("call.corrected", attempt, context, **changes)
        data: dict[str, object] = {"status": self.call.status, "end_reason": self.call.end_reason}
        self._log(attempt, "call.corrected", f"corrected:{attempt.id}:{attempt.evidence_key}", context, data)

    def _spare(self, queued: Attempt, answered: Attempt, facts: AttemptFacts, context: Context) -> None:
        """An earlier attempt turns out to have been answered: whoever answered is not called again."""
        end = End(cause="customer_cancel", at=context.now, requested_by="platform")
        key = _spared_by(answered)
        seen = apply(facts_of(queued), Evidence(queued.id, key, Source.OPERATOR, State.ENDED, context.now, end))
        self._put(
            replace(with_facts(queued, seen), deadline_at=None, decided=f"stop: attempt {answered.number} was answered")
        )
        self.ended_now.add(queued.id)
        status = call_status(facts)
        changes = {**_followed(facts), "status": status, "status_at": facts.ended_at or context.now}
        self._tell(f"call.{status}", answered, context, **changes)
        self._log(queued, f"call.{status}", f"decided:{queued.id}", context, {"answered": answered.id})

    def _tell(self, kind: str, attempt: Attempt, context: Context, **changes: Any) -> None:
        """The call changes, and the enterprise hears of it as it is then."""
        self.call_changed = True
        if self.hook is None:
            self.call = replace(self.call, **changes)
            return
        self.call = replace(self.call, sequence=self.call.sequence + 1, **changes)
        body = webhook_body(kind, context.now, self.call, attempt, self.latest)
        self.outbox.append(outbox_row(self.call, kind, body, self.hook, context.now))

    def _log(self, attempt: Attempt, kind: str, dedupe: str, context: Context, data: dict[str, object]) -> None:
        self.events.append(
            {
                "attempt_id": attempt.id,
                "dedupe": dedupe,
                "source": "policy",
                "type": kind,
                "at": context.now,
                "data": data,
            }
        )


def _spared_by(answered: Attempt) -> str:
    """The key of the end of an attempt that was not dialed because that one was answered."""
    return f"answered:{answered.id}"


def _followed(facts: AttemptFacts) -> dict[str, Any]:
    """What a call takes over from the end of the attempt that decides it."""
    return {"hangup_by": hangup_by(facts), **{name: getattr(facts, name) for name in _FOLLOWS}}
