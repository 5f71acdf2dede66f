"""Keepers, workers and calls, at random, on a real Redis and a clock of its own; what must hold after each move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from budget import permits
from budget.permits import Grant
from budget.replies import text
from budget.scripts import PREFIX
from budget.seats import Said, moved, next_seat, say, seat_of
from tests.budget.bench import VirtualBench

T = TypeVar("T")
HOLD_S = 3.0
SECOND = 1_000_000
POOL = "desk"
Chooser = Callable[[Sequence[T]], T]


@dataclass
class Worker:
    """One process: it takes one call, and is over."""

    number: int
    call: UUID | None = None


@dataclass
class Host:
    """A keeper and its workers, by seat. ``silent``: nobody hears of it."""

    name: str
    workers: dict[str, Worker]
    silent: bool = False


@dataclass
class SeatWorld:
    """Calls that have a permit, and who of the workers talks with whom; every worker's own word is the truth."""

    bench: VirtualBench
    reserve: int = 0
    hosts: list[Host] = field(default_factory=list)
    grants: dict[UUID, Grant] = field(default_factory=dict)
    born: int = 0
    lane: str = ""
    later: str = ""

    def begin(self, hosts: int = 2, seats: int = 2) -> None:
        self.bench.carrier(channels=1000)
        self.lane, self.later = self.bench.lane(more=f".f-{POOL}"), self.bench.lane(more=f".o-{POOL}")
        for n in range(hosts):
            names = [f"h{n}-{i}" for i in range(seats)]
            self.hosts.append(Host(f"h{n}", {name: self.new_worker() for name in names}))
        for host in self.hosts:
            self.beat(host)

    def new_worker(self) -> Worker:
        self.born += 1
        return Worker(self.born)

    def beat(self, host: Host) -> None:
        if not host.silent:
            self.said = say(self.bench.redis, host.name, HOLD_S, [self.of(host, name) for name in host.workers])
            assert all(one.state in ("free", "held", "busy") for one in self.said), self.said

    def of(self, host: Host, name: str) -> Said:
        worker = host.workers[name]
        return Said(POOL, name, str(worker.number), f"ws://{name}:{worker.number}/", worker.call)

    # The moves

    def call(self, choose: Chooser[str]) -> None:
        """Someone is dialed, if there is a seat."""
        self.bench.fill(choose([self.lane, self.lane, self.later]), 1)
        self.grants |= {one.attempt_id: one for one in self.bench.grant().grants}

    def connect(self, choose: Chooser[UUID]) -> None:
        """The relay asks where the agent is and goes there; a worker that has a call sends it away."""
        waiting = [one for one in self.grants if one not in self.talking()]
        if not waiting:
            return
        attempt = choose(waiting)
        place = seat_of(self.bench.redis, attempt, POOL)
        if place is None:
            return
        host, worker = self.at(place.seat.split("/")[1])
        if host.silent or worker.call is not None or not place.url.endswith(f":{worker.number}/"):
            seat_of(self.bench.redis, attempt, POOL, place.seat)  # it is not there: another one
            return
        worker.call = attempt
        self.beat(host)

    def hand_on(self, choose: Chooser[UUID]) -> None:
        """Another worker takes over, if one can be had and reached; the first one is over then."""
        talking = sorted(self.talking() & set(self.grants))
        if not talking:
            return
        attempt = choose(talking)
        place = next_seat(self.bench.redis, attempt, POOL)
        if place is None:
            return
        self.check()
        host, worker = self.at(place.seat.split("/")[1])
        takes = not host.silent and worker.call is None and place.url.endswith(f":{worker.number}/")
        if not takes:
            moved(self.bench.redis, attempt, taken_over=False)
            return
        before = [(one, name) for one in self.hosts for name, its in one.workers.items() if its.call == attempt]
        worker.call = attempt
        self.beat(host)
        self.check()
        moved(self.bench.redis, attempt, taken_over=True)
        self.check()
        for one, name in before:
            one.workers[name] = self.new_worker()
            self.beat(one)

    def end(self, choose: Chooser[UUID]) -> None:
        """A call is over, at the switch; its worker hears of it later."""
        if self.grants:
            attempt = choose(list(self.grants))
            grant = self.grants.pop(attempt)
            assert permits.release(self.bench.redis, attempt, grant.fence)

    def give_back(self, choose: Chooser[UUID]) -> None:
        """A permit that was not used."""
        fresh = [one for one in self.grants if one not in self.talking()]
        if fresh:
            attempt = choose(fresh)
            assert permits.refuse(self.bench.redis, attempt, self.grants.pop(attempt).fence)

    def worker_ends(self, choose: Chooser[str]) -> None:
        """It is through with its call, or was killed: another process has its seat."""
        host = choose(self.hosts)  # type: ignore[arg-type]
        name = choose(list(host.workers))  # type: ignore[attr-defined]
        host.workers[name] = self.new_worker()  # type: ignore[attr-defined]
        self.beat(host)  # type: ignore[arg-type]

    def falls_silent(self, choose: Chooser[Host]) -> None:
        choose(self.hosts).silent = True

    def speaks_again(self, choose: Chooser[Host]) -> None:
        host = choose(self.hosts)
        host.silent = False
        self.beat(host)

    def time_passes(self, choose: Chooser[float]) -> None:
        self.bench.step(int(choose([0.1, 0.9, 2.0]) * SECOND))
        for host in self.hosts:
            self.beat(host)

    # What holds

    def talking(self) -> set[UUID]:
        return {worker.call for host in self.hosts for worker in host.workers.values() if worker.call is not None}

    def at(self, name: str) -> tuple[Host, Worker]:
        return next((host, host.workers[name]) for host in self.hosts if name in host.workers)

    def check(self) -> None:
        redis = self.bench.redis
        seated, following = (
            {UUID(text(one)): text(at) for one, at in redis.hgetall(f"{PREFIX}{book}").items()}
            for book in ("seated", "next")
        )
        free = {text(one) for one in redis.zrange(f"{PREFIX}free:{POOL}", 0, -1)}
        given = [*seated.values(), *following.values()]
        assert len(set(given)) == len(given), "a seat was given twice"
        assert set(seated) | set(following) <= set(self.grants), "a seat is left with a call that is over"
        held = set()
        for host in self.hosts:
            for name, worker in host.workers.items():
                state, of = map(text, redis.hmget(f"{PREFIX}seat:{POOL}/{name}", "state", "attempt"))
                assert (name in free) == (state == "free"), (name, state)
                assert (of == "") == (state in ("free", "away")), (name, state, of)
                assert worker.call is None or state != "free", f"{name} talks and is free"
                if state == "held":
                    assert f"{POOL}/{name}" in (seated.get(UUID(of)), following.get(UUID(of))), f"{name}: for nobody"
                    held.add(UUID(of))
        owed = {UUID(text(one)) for one in redis.smembers(f"{PREFIX}owed:seats:{POOL}")}
        assert owed <= set(self.grants)
        assert not owed & set(seated), "has a seat and is owed one"

    def settle(self) -> None:
        """Everybody is heard of, every call over, every worker a new one: each seat is free again."""
        for attempt in list(self.grants):
            permits.release(self.bench.redis, attempt, self.grants.pop(attempt).fence)
        for host in self.hosts:
            host.silent = False
            host.workers = {name: self.new_worker() for name in host.workers}
            self.beat(host)
        self.check()
        assert not self.bench.redis.exists(f"{PREFIX}seated", f"{PREFIX}next")
        assert self.bench.redis.hget(f"{PREFIX}held", f"seats:{POOL}") is None, "a call is still counted"
        all_of_them = {name for host in self.hosts for name in host.workers}
        assert {text(one) for one in self.bench.redis.zrange(f"{PREFIX}free:{POOL}", 0, -1)} == all_of_them, "leaked"


MOVES: dict[Callable[..., None], int] = {
    SeatWorld.call: 6, SeatWorld.connect: 6, SeatWorld.hand_on: 3, SeatWorld.end: 4, SeatWorld.give_back: 1,
    SeatWorld.worker_ends: 3,
    SeatWorld.falls_silent: 1, SeatWorld.speaks_again: 1, SeatWorld.time_passes: 2,
}  # fmt: skip
