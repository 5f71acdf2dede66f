"""The desk of a rehearsal of state: every call has a row, and what follows an attempt is what its row says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from lab.rehearse.desk import Attempt, Block, Desk, Line, State
from lab.rehearse.state.books import Books
from store.change import NewAttempt
from store.rows import Call, queued_attempt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: s; calls not dialed by then expire.
EXPIRES_S = 5400
RING_S, TALK_S = 30, 600


def moment(us: int) -> datetime:
    """The virtual time as a date."""
    return _EPOCH + timedelta(microseconds=us)


def micros(at: datetime) -> int:
    """The date as virtual time."""
    return (at - _EPOCH) // timedelta(microseconds=1)


class StateDesk(Desk):
    """Calls as rows of :class:`Books`; lanes as ever. ``feeding``: a feeder is there."""

    books: Books
    begun: Callable[[Call], None]
    feeding = True

    def new_id(self) -> UUID:
        """An id from the seed."""
        return UUID(int=self._random.getrandbits(128))

    def _new(self, line: Line, due: int, tries: int) -> Attempt:
        one = super()._new(line, due, tries)
        call = self._call(one)
        self.books.accept(call, queued_attempt(one.id, call, number=1, due_at=call.due_at, now=call.created_at))
        self.begun(call)
        return one

    def _call(self, one: Attempt) -> Call:
        at = moment(one.due)
        lane = one.line.spec
        return Call(
            id=self.new_id(), tenant_id=lane.tenant_id, agent_id=lane.tenant_id, to_number=f"+1{one.number:010}",
            from_number="+12025550100", priority=lane.priority, route="r", lane=lane.name, status="queued", status_at=at,
            end_reason=None, sip_code=None, q850_cause=None, hangup_by=None, answered_by=None, attempt_count=1,
            max_attempts=self._max_attempts, ring_timeout_s=RING_S, max_duration_s=TALK_S, cancel_requested=False,
            due_at=at, expires_at=at + timedelta(seconds=EXPIRES_S), metadata={}, agent_variables={}, client_reference=None,
            webhook_url=None, sequence=0, created_at=at, answered_at=None, ended_at=None,
        )  # fmt: skip

    def retried(self, line: Line, follower: NewAttempt) -> None:
        """An attempt was written that is to be dialed later."""
        self.retries += 1
        self._numbers += 1
        due = micros(follower.due_at)
        self._clock.at(due, self._bring, Attempt(follower.attempt_id, self._numbers, line, due, 1))

    def lane_again(self, one: Attempt) -> None:
        """Its claim was refused for a reason that passes: it is in no lane, and the feeder brings it."""
        if one.state != State.LANED:
            one.state = State.LANED
            self.attempts.pop(one.id, None)
            self._bring(one)

    def _bring(self, one: Attempt) -> None:
        """To the end of what waits for its lane."""
        line = one.line
        self.arrived[line.key] += 1
        line.backlog.append(one)
        line.behind += 1

    def refill(self, _: object = None) -> None:
        if self.feeding:
            super().refill()
        else:
            self._asked = False

    def call_over(self) -> None:
        """A call has come to its end."""
        self.done += 1

    def backlogged(self) -> int:
        """Calls that have no row yet."""
        return sum(entry.count for line in self.lines.values() for entry in line.backlog if isinstance(entry, Block))
