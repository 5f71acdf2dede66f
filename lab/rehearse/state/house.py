"""What all in a rehearsal of state share, and what is beside the controllers: CDRs, customers, the watchdog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from calls import watch
from calls.evidence import End, Evidence, Source, State
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.ledger import Ledger
from lab.rehearse.state.books import Books
from lab.rehearse.state.desk import StateDesk, moment
from lab.rehearse.state.witness import ENDS, Witness
from lab.rehearse.wire import Wire
from settings import Settings
from store.attempts import Applied, Condition
from store.rows import Call

#: s beside the interval; without a look for longer, Postgres was away (jobs/watchdog.py).
OUTAGE_S = 3.0
#: s; a state may outlast its deadline by so much while the watchdog looks.
LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class Odds:
    """What the network and people do, as shares of all: events lost, told twice, late by up to 1.5 s; CDRs lost; commands
    cut off on their way to the switch; slots missed; calls that a customer hangs up.
    """

    lost: float = 0.01
    twice: float = 0.05
    late: float = 0.03
    cdr_lost: float = 0.1
    cut: float = 0.002
    missed: float = 0.01
    hung_up: float = 0.03


@dataclass
class House:
    """The stores, the referee, and what nobody in particular does."""

    clock: Clock
    wire: Wire
    settings: Settings
    desk: StateDesk
    ledger: Ledger
    witness: Witness
    books: Books
    odds: Odds
    random: Random
    #: us; Postgres answers nobody until then, and the watchdog does not look.
    books_away: int = 0
    watchdog_away: int = 0
    call_wanted: Callable[[str | None], None] = lambda _: None  # a command was written for a switch
    _looked: int | None = None
    _ended: set[UUID] = field(default_factory=set)

    @property
    def now(self) -> datetime:
        return moment(self.clock.now)

    @property
    def away(self) -> bool:
        """Postgres is."""
        return self.clock.now < self.books_away

    def told(self, call: UUID, sequence: int, kind: str) -> None:
        """A webhook was written."""
        self.witness.told(call, sequence, kind)
        if kind in ENDS and call not in self._ended:
            self._ended.add(call)
            self.desk.call_over()

    def apply(self, batch: Sequence[Evidence], only_if: Mapping[UUID, Condition] | None = None) -> list[Applied]:
        """One transaction, and what follows from it for lanes."""
        applied = self.books.apply(batch, self.now, only_if)
        self.witness.wrote(batch)
        for done in applied:
            if done.retry is not None:
                self.desk.retried(self.desk.lines[done.retry.lane], done.retry)
        return applied

    # --- the second witness ---------------------------------------------------------------------------------------

    def record_call(self, attempt: UUID, end: End) -> None:
        """The switch posts its call detail record, sooner or later than its event, or never."""
        if self.random.random() >= self.odds.cdr_lost:
            told = Evidence(attempt, f"cdr:{attempt}", Source.CDR, State.ENDED, end.at, end)
            self.clock.after(self.random.randint(20_000, 5 * SECOND), self._post, told)

    def _post(self, told: Evidence) -> None:
        if self.away:
            self.clock.at(self.books_away, self._post, told)  # it is spooled, and shipped later
        else:
            self.apply([told])

    # --- customers ------------------------------------------------------------------------------------------------

    def begun(self, call: Call) -> None:
        """A call was accepted; some of them are hung up again."""
        if self.random.random() < self.odds.hung_up:
            self.clock.after(self.random.randint(0, 90 * SECOND), self._hang_up, call.id)

    def _hang_up(self, call_id: UUID) -> None:
        if self.away:
            return  # the API says 503
        kind = self.books.request_hangup(call_id, "customer", self.now)
        if kind != "already_ended":
            self.witness.asked[call_id] = self.clock.now
        if kind == "requested":
            self.call_wanted(self.books.latest(call_id).switch)

    # --- the watchdog ---------------------------------------------------------------------------------------------

    def look(self, _: object = None) -> None:
        """jobs/watchdog.py: the first look after an outage gives time; then ends, questions, expiries."""
        self.clock.after(int(self.settings.watchdog_interval_s * SECOND), self.look)
        if self.away or self.clock.now < self.watchdog_away:
            return
        longest = (self.settings.watchdog_interval_s + OUTAGE_S) * SECOND
        unseen_s = 0.0 if self._looked is None else (self.clock.now - self._looked) / SECOND  # nobody was there to notice
        if self._looked is None or self.clock.now - self._looked > longest:
            self.books.grant_grace(self.now + timedelta(seconds=self.settings.probe_grace_s))
        self._sweep(unseen_s)
        self._looked = self.clock.now

    def _sweep(self, unseen_s: float) -> None:
        now = self.now
        overdue = self.books.overdue(now, 200)
        silent = [row for row in overdue if watch.may_conclude(row.probes)]
        for row in overdue:
            assert row.deadline_at is not None
            if (late_s := (now - row.deadline_at).total_seconds()) > LATE_S + unseen_s and len(overdue) < 200:
                self.witness.stays(row, late_s)
        ends = [
            watch.silent(
                row.id, State(row.state), now, ringing_at=row.ringing_at, early_at=row.early_at, answered_at=row.answered_at
            )
            for row in silent
        ]
        # Read a moment ago: meanwhile something may have been heard of it.
        conditions = {row.id: Condition(row.state, row.deadline_at, row.probes) for row in silent}
        if ends:
            self.clock.after(self.random.randint(1_000, 20_000), self._conclude, (ends, conditions))
        for row in overdue:
            if not watch.may_conclude(row.probes) and self.books.ask(
                row, now + timedelta(seconds=self.settings.probe_grace_s)
            ):
                self.call_wanted(row.switch)
        self._over(self.books.expired(now))

    def _conclude(self, what: tuple[list[Evidence], dict[UUID, Condition]]) -> None:
        if not self.away:
            self.apply(*what)

    def _over(self, queued: Iterable[UUID]) -> None:
        ids = list(queued)
        if ids:
            self.apply([watch.expired(id_, self.now) for id_ in ids], {id_: Condition(State.QUEUED) for id_ in ids})
