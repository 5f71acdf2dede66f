"""A rehearsal of the fleet, put together and run to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from budget.scopes import ScopeLimits
from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import SECOND
from lab.rehearse.desk import Attempt, State
from lab.rehearse.fleet.front import Front
from lab.rehearse.fleet.judge import Judge
from lab.rehearse.fleet.plan import Staff, with_fleet
from lab.rehearse.floor import Floor
from lab.rehearse.plan import Fault, Plan
from lab.rehearse.report import Report, as_text
from lab.rehearse.run import Progress, World
from lab.rehearse.upheaval import Upheaval
from settings import Settings

#: us; after the last end: silent keepers are there again, and heard of. A word that is lost makes one silent for less.
SETTLE_US, SILENT_US = 15 * SECOND, 5 * SECOND


@dataclass(frozen=True, slots=True)
class FleetReport:
    """The budget's figures, and those of the seats: what must never be (how often, the first of each), what was seen."""

    budget: Report
    seats: int
    broken: dict[str, int]
    first: dict[str, str]
    seen: dict[str, int]
    waited_ms: tuple[float, float]  # of those who waited for their agent after the answer: median, most

    @property
    def ok(self) -> bool:
        """Nothing that must never be, of limits or of seats."""
        return self.budget.ok and not self.broken

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        own = {"seats": self.seats, "broken": self.broken, "first": self.first, "seen": self.seen}
        return {**self.budget.as_json(), "ok": self.ok, "fleet": {**own, "waited_ms": list(self.waited_ms)}}

    def as_text(self) -> str:
        """One screen."""
        lines = as_text(self.budget).splitlines()[:-1]
        lines.append(f"  {self.seats} seats: {', '.join(f'{count:,} {name}' for name, count in self.seen.items())}")
        lines.append(f"  agent after the answer: median {self.waited_ms[0]:.0f} ms, most {self.waited_ms[1]:.0f} ms")
        lines += [f"  BROKEN {count} x {what}, first {self.first[what]}" for what, count in self.broken.items()]
        lines.append(f"  event log {self.budget.digest}: {'all well' if self.ok else 'NOT WELL'}")
        return "\n".join(lines)


class FleetFloor(Floor):
    """Controllers as ever; a call that rings has a relay, and may be hung up before its time."""

    front: Front

    def _goes(self, one: Attempt, outcome: str, lasts_us: int) -> None:
        super()._goes(one, outcome, lasts_us)
        self.front.begin(one, outcome, lasts_us)

    def _end(self, what: tuple[Attempt, str]) -> None:
        if what[0].state != State.OVER:
            super()._end(what)
            self.front.ended(what[0])

    def cut(self, one: Attempt, outcome: str) -> None:
        """Hung up by us."""
        self._end((one, outcome))


class FleetUpheaval(Upheaval):
    """The faults of the budget's rehearsal, and those of the fleet."""

    _floor: FleetFloor

    def acts(self) -> dict[str, Callable[[Fault], None]]:
        return {**super().acts(), "worker": self._worker, "keeper": self._keeper}

    def _worker(self, fault: Fault) -> None:
        self._note(fault, "worker")
        self._floor.front.kill()

    def _keeper(self, fault: Fault) -> None:
        if self._floor.front.kill_keeper(fault.subject):
            self._note(fault, f"keeper {fault.subject}")
            self._clock.after(fault.for_us, lambda _: self._floor.front.another_keeper(fault.subject))


class FleetWorld(World):
    """The budget's world with a fleet, and a referee of its seats."""

    settle_us = SETTLE_US
    floor: FleetFloor

    def __init__(self, plan: Plan, redis_url: str, settings: Settings, staff: Staff, *, lead_us: int) -> None:
        self._staff = staff
        super().__init__(plan, redis_url, settings, lead_us=lead_us)

    def _make_floor(self, carriers: dict[UUID, Carrier], lead_us: int) -> FleetFloor:
        plan = self.plan
        floor = FleetFloor(
            self.clock, self.wire, self.settings, self.desk, self.ledger, carriers, plan.switches, plan.seed, lead_us
        )
        self.judge = Judge(self.clock, self.wire, lambda id_: id_ in self.desk.attempts, lambda id_: floor.front.live(id_))
        floor.front = Front(self.clock, self.wire, self.settings, self.ledger, self.judge, self._staff, plan.seed, floor.cut)
        return floor

    def _make_upheaval(self, limits: list[ScopeLimits]) -> FleetUpheaval:
        return FleetUpheaval(self.plan, self.settings, self.clock, self.wire, self.desk, self.floor, self.ledger, limits)

    def _second(self, _: object) -> None:
        super()._second(_)
        if self.floor.ready:
            self.judge.look(self.floor.front.workers.values())

    def told(self, report: Report) -> FleetReport:
        """What the run has come to, judged."""
        seats, until = self._staff.hosts * self._staff.seats, self.clock.now + SILENT_US
        while not self.judge.all_free(seats) and self.clock.now < until:
            self.clock.step()
        self.judge.close(seats)
        waits = sorted(self.judge.waits) or [0]
        return FleetReport(
            replace(report, leases_left=len(self.desk.attempts)),
            seats,
            dict(self.judge.broken),
            self.judge.first,
            dict(sorted(self.judge.seen.items())),
            (waits[len(waits) // 2] / 1000, waits[-1] / 1000),
        )


def rehearse_fleet(
    plan: Plan,
    staff: Staff,
    redis_url: str,
    settings: Settings | None = None,
    *,
    lead_us: int = 30_000,
    progress: Progress | None = None,
) -> FleetReport:
    """As lab.rehearse.run.rehearse, where each call of ``plan`` wants a seat of ``staff``."""
    settings = settings or Settings(redis_url=redis_url)
    world = FleetWorld(with_fleet(plan, staff), redis_url, settings, staff, lead_us=lead_us)
    try:
        return world.told(world.run(progress))
    finally:
        world.close()
