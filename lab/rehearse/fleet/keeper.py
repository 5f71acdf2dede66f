"""Keepers and workers of a rehearsal, by the rules of agents/fleet: what a keeper says comes late, after a later word, or
not at all, and so does the answer; a worker takes one call, and goes on without its keeper to the end of it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from uuid import UUID

from budget.seats import Said, Stands, say
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.fleet.plan import POOL
from lab.rehearse.wire import Wire

#: us; between two words, until a word is given up, and until it is said again then.
BEAT_US, GIVEN_UP_US, AGAIN_US = SECOND, 2 * SECOND, SECOND // 2
#: us; a worker waits so long for its keeper's answer (agents/fleet/worker.py), and gets up within so much.
ASK_US, UP_US = SECOND // 2, 30_000
#: Of a keeper's words: not delivered; delivered, but the answer is lost; delivered after they were given up.
LOST, UNANSWERED, LATE = 0.01, 0.01, 0.01
#: us; on the way there, and back.
WAY_US = (300, 4_000)


class Worker:
    """A process. ``call``: what it has taken, to its end; ``killed``: it did not end by itself."""

    __slots__ = ("alive", "call", "killed", "name", "seat", "url")

    def __init__(self, seat: Seat, number: int) -> None:
        self.seat: Seat | None = seat
        self.name, self.url = f"w{number}", f"ws://{seat.name}:{number}/"
        self.call: UUID | None = None
        self.alive, self.killed = True, False


class Seat:
    """As its keeper sees it: agents/fleet/seat.py."""

    __slots__ = ("asks", "call", "holder", "keeper", "name", "state", "worker")

    def __init__(self, name: str, keeper: Keeper) -> None:
        self.name, self.keeper = name, keeper
        self.worker: Worker | None = None
        self.call: UUID | None = None
        self.state = ""
        self.holder: UUID | None = None
        self.asks: Callable[[bool], None] | None = None

    def said(self) -> Said:
        """What is said of it."""
        worker = self.worker
        if worker is None:
            return Said(POOL, self.name, "none", "ws://nobody:1/", self.call, "leaving")
        return Said(POOL, self.name, worker.name, worker.url, self.call, "")


class Keeper:
    """One process of it; another one has another id. ``new`` makes a worker; ``let_go``: its seat was given to another call,
    and it is told to end.
    """

    def __init__(
        self, clock: Clock, wire: Wire, random: Random, host: str, number: int, seats: int, hold_s: float,
        new: Callable[[Seat], Worker], let_go: Callable[[Worker], None],
    ) -> None:  # fmt: skip
        self._clock, self._wire, self._random, self._hold_s = clock, wire, random, hold_s
        self._new, self._let_go = new, let_go
        self.name, self.up = f"{host}-{number}", True
        self.seats = [Seat(f"{host}-{i}", self) for i in range(seats)]
        self._said = 0
        self._waits_for: int | None = None
        self._news = False
        for seat in self.seats:
            self._start(seat)
        clock.after(BEAT_US, self._beat)

    def _start(self, seat: Seat) -> None:
        seat.call, seat.asks = None, None
        self._clock.after(UP_US, self._is_up, seat)

    def _is_up(self, seat: Seat) -> None:
        if self.up:
            seat.worker = self._new(seat)
            self.speak()

    def _beat(self, _: object) -> None:
        if self.up:
            self.speak()
            self._clock.after(BEAT_US, self._beat)

    # --- its workers ---------------------------------------------------------------------------------------------

    def ended(self, worker: Worker) -> None:
        """A worker's end is seen at once, and another one started."""
        seat = worker.seat
        if self.up and seat is not None and seat.worker is worker:
            seat.worker = None
            self.speak()
            self._start(seat)

    def take(self, worker: Worker, call: UUID, then: Callable[[bool], None]) -> None:
        """Whether the call is the worker's; yes when nobody says anything for long."""
        seat = worker.seat
        assert seat is not None
        seat.call = call
        if (seat.state, seat.holder) == ("held", call):
            self.speak()
            then(True)
            return
        seat.asks = then
        self.speak()
        self._clock.after(ASK_US, self._no_answer, (seat, worker, then))

    def _no_answer(self, what: tuple[Seat, Worker, Callable[[bool], None]]) -> None:
        seat, worker, then = what
        if self.up and seat.worker is worker and seat.asks is then:
            seat.asks = None
            self.speak()
            then(True)

    # --- what it says --------------------------------------------------------------------------------------------

    def speak(self) -> None:
        """Says all there is, one word after the other."""
        if self._waits_for is not None:
            self._news = True
            return
        self._said += 1
        self._waits_for, self._news = self._said, False
        said = [seat.said() for seat in self.seats]
        workers = [(seat.worker, seat.call) for seat in self.seats]
        chance, way = self._random.random(), self._random.randint(*WAY_US)
        heard = (self._said, said, workers, chance >= LOST + UNANSWERED + LATE)
        if chance >= LOST:
            self._clock.after(way + (GIVEN_UP_US + SECOND if chance < LOST + LATE else 0), self._arrives, heard)
        self._clock.after(GIVEN_UP_US, self._gives_up, self._said)

    def _arrives(self, heard: tuple[int, list[Said], list[tuple[Worker | None, UUID | None]], bool]) -> None:
        """Also when the keeper is no more: what is on its way is on its way."""
        seq, said, workers, answered = heard
        stand = say(self._wire, self.name, self._hold_s, said, seq)
        if answered:
            self._clock.after(self._random.randint(*WAY_US), self._hears, (seq, workers, stand))

    def _gives_up(self, seq: int) -> None:
        if self._waits_for == seq:
            self._clock.after(AGAIN_US, self._again, seq)

    def _again(self, seq: int) -> None:
        if self._waits_for == seq:
            self._waits_for = None
            if self.up:
                self.speak()

    def _hears(self, answer: tuple[int, list[tuple[Worker | None, UUID | None]], list[Stands]]) -> None:
        seq, workers, stand = answer
        if self._waits_for != seq or not self.up:
            return
        self._waits_for = None
        for seat, (worker, call), stands in zip(self.seats, workers, stand, strict=True):
            if seat.worker is worker:
                self._heard_of(seat, call, stands)
        if self._news:
            self.speak()

    def _heard_of(self, seat: Seat, call: UUID | None, stands: Stands) -> None:
        """Keeper._heard_of of agents/fleet/keeper.py."""
        seat.state, seat.holder = stands
        ours = stands == ("busy", call)
        if call is None or seat.call != call:
            return
        if seat.asks is not None:
            then, seat.asks = seat.asks, None
            if not ours:
                seat.call = None
                self._news = True
            then(ours)
        elif stands.state == "held" and stands.attempt_id != call and seat.worker is not None:
            self._let_go(seat.worker)
