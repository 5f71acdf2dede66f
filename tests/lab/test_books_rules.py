"""Rules of rows on the rehearsal's books: no server, one call, one question each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from calls import watch
from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from lab.rehearse.state.books import Books
from store.change import Condition
from store.facts import FixedTimers
from store.rows import Attempt, Call, queued_attempt

T0 = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
TIMERS = FixedTimers(pdd_s=25, ring_grace_s=5, duration_grace_s=30)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Desk:
    """One call, dialed."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.books = Books(RetryRules(), TIMERS, uuid4, lambda _call, _sequence, kind: self.told.append(kind))
        call = Call(
            id=uuid4(), tenant_id=uuid4(), agent_id=uuid4(), to_number="+12125550100", from_number="+12025550100",
            priority="normal", route="r", lane="l", status="queued", status_at=T0, end_reason=None, sip_code=None,
            q850_cause=None, hangup_by=None, answered_by=None, attempt_count=1, max_attempts=3, ring_timeout_s=30,
            max_duration_s=600, cancel_requested=False, due_at=T0, expires_at=at(7200), metadata={}, agent_variables={},
            client_reference=None, webhook_url=None, sequence=0, created_at=T0, answered_at=None, ended_at=None,
        )  # fmt: skip
        self.call_id, self.first = call.id, uuid4()
        self.books.accept(call, queued_attempt(self.first, call, number=1, due_at=T0, now=T0))
        self.claim(self.first, 1)

    def claim(self, attempt: UUID, seconds: float) -> str | None:
        return self.books.claim(attempt, fence=1, epoch=1, switch="fs1", carrier_id=UUID(int=1), now=at(seconds), pdd_s=25)

    def see(self, state: State, seconds: float, end: End | None = None, source: Source = Source.EVENT) -> None:
        self.books.apply([Evidence(self.first, f"{source}:{state}:{seconds}", source, state, at(seconds), end)], at(seconds))

    def rows(self) -> list[Attempt]:
        return [self.books.attempts[id_] for id_ in self.books.numbers[self.call_id]]

    def silence(self, seconds: float, condition: Condition) -> None:
        end = watch.silent(self.first, State.RINGING, at(seconds), ringing_at=at(3), early_at=None, answered_at=None)
        self.books.apply([end], at(seconds), {self.first: condition})


def test_whoever_answered_after_all_is_not_called_again() -> None:
    desk = Desk()
    desk.see(State.RINGING, 3)
    desk.silence(50, Condition("ringing"))
    assert [row.state for row in desk.rows()] == ["ended", "queued"]
    desk.see(State.ENDED, 60, End("NORMAL_CLEARING", at(55), 16, 200, disposition="recv_bye", answered_at=at(20)))
    assert [(row.state, row.outcome) for row in desk.rows()] == [("ended", "completed"), ("ended", "canceled")]
    assert desk.books.calls[desk.call_id].status == "completed"
    assert desk.claim(desk.rows()[1].id, 3000) == "not_queued"
    assert desk.told[-2:] == ["call.retry_scheduled", "call.completed"]


def test_a_conclusion_counts_only_while_it_holds() -> None:
    desk = Desk()
    desk.see(State.RINGING, 3)
    desk.see(State.IN_PROGRESS, 9)
    desk.silence(50, Condition("ringing"))
    assert desk.rows()[0].state == "in_progress"
