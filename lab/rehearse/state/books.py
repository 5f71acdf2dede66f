"""The stand-in for Postgres: rows in memory, changed by the product's own store.work and by the conditions of its SQL.

What is played here is only what SQL does: which rows are found, which conditions a claim has, what is recorded already.
tests/lab/test_books.py holds it to the real thing, step by step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from uuid import UUID

from calls import watch
from calls.evidence import Evidence, Rank, Source, State
from calls.retry import RetryRules, may_have_rung
from store.change import Applied, Condition, NewAttempt, full_of
from store.facts import Timers, facts_of, storable
from store.limits import Past
from store.rows import Attempt, Call
from store.work import CallWork, Context

LIVE = frozenset({State.DIALING, State.RINGING, State.EARLY, State.IN_PROGRESS})
_WITNESSES = frozenset({Source.EVENT, Source.CDR, Source.RECONCILE})

Told = Callable[[UUID, int, str], None]


@dataclass(slots=True, eq=False)
class Command:
    """Something that is wanted of a live attempt and not yet done. ``verb``: hangup or probe."""

    attempt_id: UUID
    switch: str | None
    verb: str
    requested_by: str


class Books:
    """Every call and attempt. ``told(call, sequence, type)`` hears of every webhook; ``hook`` None: there are none."""

    def __init__(
        self,
        rules: RetryRules,
        timers: Timers,
        new_id: Callable[[], UUID],
        told: Told,
        hook: str | None = "https://x.example/",
    ) -> None:
        self._rules, self._timers, self._new_id, self._told, self._hook = rules, timers, new_id, told, hook
        self.calls: dict[UUID, Call] = {}
        self.attempts: dict[UUID, Attempt] = {}
        self.numbers: dict[UUID, list[UUID]] = {}
        self.commands: list[Command] = []
        self.epoch = 1
        self._known: set[tuple[UUID, str]] = set()
        self._heard: set[UUID] = set()
        self._given_back: set[UUID] = set()
        self._live: dict[str | None, dict[UUID, None]] = {}
        self._deadlines: list[tuple[datetime, int, UUID]] = []
        self._expiries: list[tuple[datetime, int, UUID]] = []
        self._late: dict[UUID, None] = {}
        self._ends: deque[tuple[int, UUID]] = deque()
        self._count = 0

    def _put(self, row: Attempt) -> None:
        before = self.attempts.get(row.id)
        self.attempts[row.id] = row
        if before is not None and before.state in LIVE:
            self._live[before.switch].pop(row.id, None)
        if row.state in LIVE:
            self._live.setdefault(row.switch, {})[row.id] = None
            if row.deadline_at is not None and (before is None or before.deadline_at != row.deadline_at):
                self._count += 1
                heappush(self._deadlines, (row.deadline_at, self._count, row.id))

    def accept(self, call: Call, attempt: Attempt) -> None:
        """A call that was accepted, told of with its first webhook."""
        self.calls[call.id] = call
        self.numbers[call.id] = [attempt.id]
        self._put(attempt)
        self._count += 1
        heappush(self._expiries, (call.expires_at, self._count, call.id))
        self._tell(call, "call.queued")

    def _tell(self, call: Call, kind: str) -> None:
        if self._hook is not None:
            self.calls[call.id] = replace(call, sequence=call.sequence + 1)
            self._told(call.id, call.sequence + 1, kind)

    def latest(self, call_id: UUID) -> Attempt:
        """The call's last attempt."""
        return self.attempts[self.numbers[call_id][-1]]

    def claim(
        self,
        attempt_id: UUID,
        *,
        fence: int,
        epoch: int,
        switch: str,
        carrier_id: UUID,
        now: datetime,
        pdd_s: int,
        gateway: str = "gw",
    ) -> str | None:
        """``queued -> dialing``; None when claimed, else why not, as store.attempts.claim says it."""  # fmt: skip
        row = self.attempts.get(attempt_id)
        if row is None:
            return "gone"
        call = self.calls[row.call_id]
        if call.cancel_requested or call.status == "canceled":
            return "canceled"
        if row.state != State.QUEUED or call.ended:
            return "not_queued"
        if call.expires_at <= now:
            return "expired"
        if row.due_at > now:
            return "not_due"
        if epoch != self.epoch:
            return "epoch"
        until = now + timedelta(seconds=pdd_s)
        self._put(
            replace(
                row, state="dialing", fence=fence, epoch=epoch, switch=switch, carrier_id=carrier_id, gateway=gateway,
                claimed_at=now, probes=0, deadline_at=until,
            )
        )  # fmt: skip
        self.calls[call.id] = call = replace(call, status="dialing", status_at=now)
        if attempt_id not in self._given_back:
            self._tell(call, "call.dialing")
        return None

    def unclaim(self, attempt_id: UUID, fence: int, now: datetime) -> bool:
        """``dialing -> queued`` of a claim under which nothing was written; as store.attempts.unclaim."""
        row = self.attempts[attempt_id]
        if row.state != State.DIALING or row.fence != fence or attempt_id in self._heard:
            return False
        self._put(
            replace(
                row, state="queued", deadline_at=None, claimed_at=None, switch=None, carrier_id=None, gateway=None,
                fence=None, epoch=None, pushed_epoch=None, pushed_at=None,
            )
        )  # fmt: skip
        self._given_back.add(attempt_id)
        call = self.calls[row.call_id]
        if call.status == "dialing":
            self.calls[call.id] = replace(call, status="queued", status_at=now)
        if call.cancel_requested:
            by = next(
                (c.requested_by for c in self.commands if c.attempt_id == attempt_id and c.verb == "hangup"), "customer"
            )
            self.apply([watch.canceled(attempt_id, now, by)], now)
        return True

    def apply(
        self, batch: Sequence[Evidence], now: datetime, only_if: Mapping[UUID, Condition] | None = None
    ) -> list[Applied]:
        """As store.change.apply_evidence: new evidence of attempts there are, conclusions only while they hold."""
        context = Context(self._rules, self._timers, now, self._new_id)
        ordered = sorted(map(storable, batch), key=lambda evidence: (Rank.of(evidence.state), evidence.at))
        named = list(dict.fromkeys(evidence.attempt_id for evidence in ordered))
        works: dict[UUID, CallWork] = {}
        for attempt_id in named:
            row = self.attempts.get(attempt_id)
            if row is not None:
                work = works.get(row.call_id)
                if work is None:
                    latest = self.latest(row.call_id)
                    work = works[row.call_id] = CallWork(self.calls[row.call_id], self._hook, {latest.id: latest})
                    work.past = self._past(row.call_id)
                work.attempts[attempt_id] = row
        holding = {
            id_ for id_ in named
            if id_ in self.attempts and (only_if is None or id_ not in only_if or only_if[id_].holds(self.attempts[id_]))
        }  # fmt: skip
        for evidence in ordered:
            known = (evidence.attempt_id, evidence.key)
            if evidence.attempt_id in holding and known not in self._known:
                self._known.add(known)
                if evidence.source in _WITNESSES:
                    self._heard.add(evidence.attempt_id)
                works[self.attempts[evidence.attempt_id].call_id].see(evidence, context)
        for work in works.values():
            self._write(work, int(now.timestamp() * 1_000_000))
        return [self._applied(id_, works) for id_ in named]

    def _past(self, call_id: UUID) -> list[Past]:
        """The attempts of the call so far; which of them were before the one that ends, the rules see themselves."""
        rows = [self.attempts[id_] for id_ in self.numbers[call_id]]
        return [
            Past(
                row.id, row.number, row.retry_class, row.claimed_at,
                rang=row.claimed_at is not None and may_have_rung(facts_of(row)),
            )
            for row in rows
        ]  # fmt: skip

    def _write(self, work: CallWork, now_us: int) -> None:
        for id_ in work.changed:
            self._put(work.attempts[id_])
        self.calls[work.call.id] = work.call
        if work.retry is not None:
            self._put(work.retry[1])
            self.numbers[work.call.id].append(work.retry[1].id)
        for row in work.outbox:
            self._told(work.call.id, int(str(row["sequence"])), str(row["type"]))
        self._ends.extend((now_us, id_) for id_ in sorted(work.ended_now))
        if work.ended_now:
            self.commands = [c for c in self.commands if c.attempt_id not in work.ended_now]

    def _applied(self, attempt_id: UUID, works: Mapping[UUID, CallWork]) -> Applied:
        row = self.attempts.get(attempt_id)
        if row is None:
            return Applied(attempt_id, None)
        work = works[row.call_id]
        retry = None
        if work.retry is not None and work.retry[0] == attempt_id:
            follower = work.retry[1]
            retry = NewAttempt(follower.id, follower.lane, follower.due_at)
        ended_now = attempt_id in work.ended_now
        full = full_of(row) if ended_now else None
        return Applied(attempt_id, row.state, ended_now, row.fence, row.carrier_id, row.lane, retry, full)

    def request_hangup(self, call_id: UUID, by: str, now: datetime) -> str:
        """As store.hangup.request_hangup: ``already_ended``, ``canceled`` or ``requested``."""
        call, latest = self.calls[call_id], self.latest(call_id)
        if call.ended:
            return "already_ended"
        self.calls[call_id] = replace(call, cancel_requested=True)
        if latest.state == State.QUEUED:
            self.apply([watch.canceled(latest.id, now, by)], now)
            return "canceled"
        self._open(Command(latest.id, latest.switch, "hangup", by))
        return "requested"

    def _open(self, command: Command) -> None:
        if not any(c.attempt_id == command.attempt_id and c.verb == command.verb for c in self.commands):
            self.commands.append(command)

    def overdue(self, now: datetime, limit: int) -> list[Attempt]:
        """Attempts whose deadline has passed, the longest first. They are found again until it moves."""
        found: list[Attempt] = []
        kept = []
        while self._deadlines and self._deadlines[0][0] <= now and len(found) < limit:
            entry = heappop(self._deadlines)
            row = self.attempts[entry[2]]
            if row.state in LIVE and row.deadline_at == entry[0]:
                found.append(row)
                kept.append(entry)
        for entry in kept:
            heappush(self._deadlines, entry)
        return found

    def expired(self, now: datetime) -> list[UUID]:
        """Queued attempts of calls whose time is over."""
        while self._expiries and self._expiries[0][0] <= now:
            self._late[heappop(self._expiries)[2]] = None
        self._late = {id_: None for id_ in self._late if not self.calls[id_].ended}
        return [latest.id for id_ in self._late if (latest := self.latest(id_)).state == State.QUEUED]

    def live(self, switch: str) -> list[Attempt]:
        """Attempts claimed on the switch and not ended, by id."""
        return [self.attempts[id_] for id_ in sorted(self._live.get(switch, ()))]

    def ended_since(self, us: int) -> list[Attempt]:
        """Attempts whose end was written since then (us of virtual time), oldest first."""
        while self._ends and self._ends[0][0] < us:
            self._ends.popleft()
        return [self.attempts[id_] for _, id_ in self._ends]

    def ask(self, row: Attempt, look_again: datetime) -> bool:
        """The watchdog's question about a row that is still as it was read; its deadline moves to ``look_again``."""
        now = self.attempts[row.id]
        if (now.state, now.deadline_at, now.probes) != (row.state, row.deadline_at, row.probes):
            return False
        self._put(replace(now, probes=now.probes + 1, deadline_at=look_again))
        self._open(Command(row.id, row.switch, "probe", "watchdog"))
        return True

    def finish(self, command: Command, result: str) -> None:
        """It was carried out. A channel that is further than believed takes back that it was asked."""
        if command not in self.commands:
            return
        self.commands.remove(command)
        row = self.attempts[command.attempt_id]
        if command.verb == "probe" and result == watch.Probed.ALIVE and row.state != State.ENDED:
            self._put(replace(row, probes=0))

    def grant_grace(self, until: datetime) -> None:
        """After an outage: no deadline passes before ``until``, and no question asked so far counts."""
        for rows in list(self._live.values()):
            for id_ in list(rows):
                row = self.attempts[id_]
                if row.deadline_at is not None and row.deadline_at < until:
                    self._put(replace(row, deadline_at=until, probes=0))
