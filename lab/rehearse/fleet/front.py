"""Relays and workers of a rehearsal: who is sent where, who is let in, and which calls are without an agent."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from uuid import UUID

from budget.seats import seat_of
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.desk import Attempt, State
from lab.rehearse.fleet.judge import Judge
from lab.rehearse.fleet.keeper import Keeper, Seat, Worker
from lab.rehearse.fleet.plan import POOL, Staff
from lab.rehearse.ledger import Ledger
from lab.rehearse.wire import Wire
from settings import Settings

#: us; between two questions of a relay that has no seat (controller/relay/seat.py); to a worker; until a hangup is done.
AGAIN_US, WAY_US, HANGUP_US = 100_000, (1_000, 20_000), 20_000
#: us; what a worker needs to see that its call is over, and to end.
ENDS_US = (2_000, 30_000)
#: Of the workers that are killed, those that talk just then, if any do.
TALKING = 0.7


class Leg:
    """A call at its relay. ``worker``: who was let in; ``sent_to``: whose seat it has had, one after the other."""

    __slots__ = ("answered_at", "bad", "deadline", "one", "sent_to", "worker")

    def __init__(self, one: Attempt) -> None:
        self.one = one
        self.worker: Worker | None = None
        self.sent_to: list[Worker] = []
        self.answered_at: int | None = None
        self.deadline, self.bad = 0, ""

    @property
    def over(self) -> bool:
        return self.one.state == State.OVER


class Front:
    """All of them. ``cut(attempt, outcome)`` ends a call before its time."""

    def __init__(
        self, clock: Clock, wire: Wire, settings: Settings, ledger: Ledger, judge: Judge, staff: Staff, seed: int,
        cut: Callable[[Attempt, str], None],
    ) -> None:  # fmt: skip
        self._clock, self._wire, self._settings, self._ledger, self._judge = clock, wire, settings, ledger, judge
        self._random = Random(f"front {seed}")
        self._staff, self._cut = staff, cut
        self._patience_us = int(settings.agent_connect_timeout_s * SECOND)
        self._numbers = self._keepers = 0
        self.workers: dict[str, Worker] = {}
        self.keepers = {name: self._keeper(name) for name in staff.names}
        self.legs: dict[UUID, Leg] = {}
        self._placed: dict[str, Leg] = {}  # by the address that a relay was told

    def live(self, call: UUID) -> bool:
        """It is at its relay, and not over."""
        leg = self.legs.get(call)
        return leg is not None and not leg.over

    # --- calls ---------------------------------------------------------------------------------------------------

    def begin(self, one: Attempt, outcome: str, lasts_us: int) -> None:
        """Its INVITE has left. It rings after a while, and is answered or not."""
        leg = self.legs[one.id] = Leg(one)
        rings_us = int(lasts_us * self._random.uniform(0.02, 0.1))
        later = ".o-" in one.line.spec.name
        if outcome == "answered":
            answer_us = int(lasts_us * self._random.uniform(0.15, 0.5))
            self._clock.after(answer_us, self._answered, leg)
            self._clock.after(answer_us if later else rings_us, self._wants_a_seat, leg)
        elif outcome in ("no_answer", "busy") and not later:
            self._clock.after(rings_us, self._wants_a_seat, leg)

    def _answered(self, leg: Leg) -> None:
        if not leg.over:
            leg.answered_at = self._clock.now
            self._judge.seen["answered"] += 1
            self._judge.seen["answered, their agent there"] += leg.worker is not None

    def _wants_a_seat(self, leg: Leg) -> None:
        leg.deadline = self._clock.now + self._patience_us
        self._ask(leg)

    def _ask(self, leg: Leg) -> None:
        if leg.over:
            return
        place = seat_of(self._wire, leg.one.id, POOL, leg.bad)
        if place is not None:
            other = self._placed.get(place.url)
            if other is not None and other is not leg and not other.over:
                self._judge.bad("a seat was given to two calls at a time", f"{place.seat}: {other.one.id}, {leg.one.id}")
            self._placed[place.url] = leg
            self._clock.after(self._random.randint(*WAY_US), self._arrives, (leg, place.seat, place.url))
        else:
            self._again_or_never(leg)

    def _again_or_never(self, leg: Leg) -> None:
        if self._clock.now + AGAIN_US < leg.deadline:
            self._clock.after(AGAIN_US, self._ask, leg)
            return
        later, judge = ".o-" in leg.one.line.spec.name, self._judge
        lost = any(worker.killed for worker in leg.sent_to)
        if leg.answered_at is None:
            judge.seen["called off, their worker had died" if lost else "called off, no seat"] += 1
            if not lost:
                judge.bad("a call that had a seat was called off for want of one", leg.one.id)
        elif lost or later:
            judge.seen["answered without an agent, " + ("their worker had died" if lost else "at_answer")] += 1
        else:
            judge.bad("a call was answered without an agent", leg.one.id)
        self._hang_up(leg, "agent_unavailable")

    def _arrives(self, what: tuple[Leg, str, str]) -> None:
        """At the address that the relay was told."""
        leg, seat, url = what
        worker = self.workers.get(url)
        if worker is not None:
            leg.sent_to.append(worker)
        if leg.over:
            self._forget_place(leg, url)
        elif worker is None or not worker.alive:
            self._sent_away(leg, seat, url)
        elif worker.call is not None:
            if worker.call != leg.one.id and self.live(worker.call):
                self._judge.bad("a call was sent to a worker that had one", f"{seat}: {worker.call}, {leg.one.id}")
            self._sent_away(leg, seat, url)
        else:
            self._asks(leg, worker, seat, url)

    def _asks(self, leg: Leg, worker: Worker, seat: str, url: str) -> None:
        worker.call = leg.one.id

        def told(yours: bool) -> None:
            if not worker.alive:
                self._sent_away(leg, seat, url)
            elif not yours:
                worker.call = None
                self._sent_away(leg, seat, url)
            elif leg.over:
                self._ends(worker)
            else:
                self._lets_in(leg, worker)

        keeper = worker.seat.keeper if worker.seat is not None else None
        if keeper is not None and keeper.up:
            keeper.take(worker, leg.one.id, told)
        else:
            told(True)

    def _forget_place(self, leg: Leg, url: str) -> None:
        if self._placed.get(url) is leg:
            del self._placed[url]

    def _sent_away(self, leg: Leg, seat: str, url: str) -> None:
        self._forget_place(leg, url)
        self._judge.seen["sent away"] += 1
        leg.bad = seat
        if not leg.over:
            self._again_or_never(leg)

    def _lets_in(self, leg: Leg, worker: Worker) -> None:
        now = self._clock.now
        if leg.worker is not None:
            self._judge.bad("a call has two agents", leg.one.id)
        leg.worker = worker
        self._ledger.happened(f"{leg.one.id} at {worker.name}")
        self._judge.seen["let in"] += 1
        if leg.answered_at is not None:
            self._judge.waits.append(now - leg.answered_at)

    def ended(self, one: Attempt) -> None:
        """The call is over; its worker sees it a little later, and is over too."""
        leg = self.legs.pop(one.id, None)
        if leg is None:
            return
        for worker in leg.sent_to:
            self._forget_place(leg, worker.url)
        if leg.worker is not None and leg.worker.alive:
            self._clock.after(self._random.randint(*ENDS_US), self._ends, leg.worker)

    def _hang_up(self, leg: Leg, outcome: str) -> None:
        self._clock.after(HANGUP_US, lambda _: self._cut(leg.one, outcome))

    # --- workers -------------------------------------------------------------------------------------------------

    def _keeper(self, host: str) -> Keeper:
        self._keepers += 1
        random = Random(f"keeper {self._keepers} {self._random.random()}")
        return Keeper(
            self._clock, self._wire, random, host, self._keepers, self._staff.seats, self._settings.seat_hold_s,
            self._new_worker, self._let_go,
        )  # fmt: skip

    def _new_worker(self, seat: Seat) -> Worker:
        self._numbers += 1
        worker = Worker(seat, self._numbers)
        self.workers[worker.url] = worker
        return worker

    def _ends(self, worker: Worker, *, killed: bool = False) -> None:
        if not worker.alive:
            return
        worker.alive, worker.killed = False, killed
        del self.workers[worker.url]
        if worker.seat is not None:
            worker.seat.keeper.ended(worker)

    def _let_go(self, worker: Worker) -> None:
        """Told to end by its keeper, because its seat is another call's."""
        self._judge.seen["let go of"] += 1
        if worker.call is not None and self.live(worker.call):
            self._judge.bad("an agent was taken from its call", worker.call)
            self._hang_up(self.legs[worker.call], "agent_lost")
        self._ends(worker, killed=True)

    def kill(self) -> None:
        """One of them is killed: its call is lost, and no other."""
        talking = [one for one in self.workers.values() if one.call is not None and self.live(one.call)]
        idle = [one for one in self.workers.values() if one.call is None]
        some = talking if talking and (self._random.random() < TALKING or not idle) else idle
        if some:
            self._lose(self._random.choice(some))

    def _lose(self, worker: Worker) -> None:
        leg = self.legs.get(worker.call) if worker.call is not None else None
        self._judge.seen["workers killed"] += 1
        self._ledger.happened(f"killed {worker.name}")
        if leg is not None and leg.worker is worker and not leg.over:
            self._judge.seen["calls lost with their worker"] += 1
            self._hang_up(leg, "agent_lost")
        self._ends(worker, killed=True)

    def kill_keeper(self, host: str) -> bool:
        """With it go its workers that have no call. False: there is none."""
        keeper = self.keepers[host]
        if not keeper.up:
            return False
        keeper.up = False
        for seat in keeper.seats:
            if seat.worker is not None and seat.worker.call is None:
                self._ends(seat.worker, killed=True)
        return True

    def another_keeper(self, host: str) -> None:
        """Under the same name."""
        self.keepers[host] = self._keeper(host)
