"""A rehearsal of call state, put together and run to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import UUID

from budget.scopes import ScopeLimits
from calls.retry import RetryRules
from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import SECOND
from lab.rehearse.desk import Line
from lab.rehearse.plan import Fault, Plan
from lab.rehearse.report import Report, as_text
from lab.rehearse.run import Progress, World
from lab.rehearse.state.books import Books
from lab.rehearse.state.desk import EXPIRES_S, RING_S, TALK_S, StateDesk
from lab.rehearse.state.floor import StateFloor
from lab.rehearse.state.house import House, Odds
from lab.rehearse.state.upheaval import StateUpheaval
from lab.rehearse.state.witness import Witness
from settings import Settings

#: s; after the last call's end: leases whose release was lost are found, legs of dead switches end.
SETTLE_S = 40


@dataclass(frozen=True, slots=True)
class StateReport:
    """The budget's figures, and those of call state: what must never be (how often, the first of each), what was seen."""

    budget: Report
    broken: dict[str, int]
    first: dict[str, str]
    seen: dict[str, int]
    statuses: dict[str, int]
    witnesses: dict[str, int]

    @property
    def ok(self) -> bool:
        """Nothing that must never be, of limits or of state."""
        told = self.budget
        bad = len(told.violations) + told.lost + told.twice + told.ghosts + told.leases_left + told.missed_wakes
        return not self.broken and not bad

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        state = {"broken": self.broken, "first": self.first, "seen": self.seen}
        more = {"statuses": self.statuses, "witnesses": self.witnesses}
        return {**self.budget.as_json(), "ok": self.ok, "state": {**state, **more}}

    def as_text(self) -> str:
        """One screen."""
        lines = as_text(self.budget).splitlines()[:-1]
        lines.append(f"  calls: {_counts(self.statuses)}")
        lines.append(f"  ends by: {_counts(self.witnesses)}")
        lines.append(f"  seen: {_counts(self.seen)}")
        lines += [f"  BROKEN {count} x {what}, first {self.first[what]}" for what, count in self.broken.items()]
        lines.append(f"  event log {self.budget.digest}: {'all well' if self.ok else 'NOT WELL'}")
        return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def with_state_faults(plan: Plan, *, faults: int) -> Plan:
    """``plan`` with ``faults`` more of each kind that only a rehearsal of state knows, from its seed."""
    random = Random(f"state faults {plan.seed}")
    last = max((fault.at_us for fault in plan.faults), default=60 * SECOND)

    def some(kind: Any, lasts: tuple[float, float], subject: bool = False) -> list[Fault]:
        return [
            Fault(
                kind, random.randint(last // 20, last), int(random.uniform(*lasts) * SECOND),
                random.choice(plan.switches) if subject else "",
            )
            for _ in range(faults)
        ]  # fmt: skip

    more = [
        *some("switch", (0.5, 4), subject=True),
        *some("link", (0.2, 8), subject=True),
        *some("feeder", (1, 10)),
        *some("watchdog", (1, 20)),
        *some("postgres", (0.2, 6)),
    ]
    both = sorted([*plan.faults, *more], key=lambda fault: (fault.at_us, fault.kind, fault.subject))
    return replace(plan, faults=tuple(both))


class StateWorld(World):
    """The budget's world with rows, switches and a referee of call state."""

    stuck_us = EXPIRES_S * SECOND
    settle_us = SETTLE_S * SECOND
    desk: StateDesk
    floor: StateFloor

    def __init__(self, plan: Plan, redis_url: str, settings: Settings, *, lead_us: int, odds: Odds) -> None:
        self._odds = odds
        super().__init__(plan, redis_url, settings, lead_us=lead_us)

    def _make_desk(self, lines: list[Line]) -> StateDesk:
        return StateDesk(self.plan, self.settings, self.wire, self.clock, lines)

    def _make_floor(self, carriers: dict[UUID, Carrier], lead_us: int) -> StateFloor:
        plan = self.plan
        floor = StateFloor(
            self.clock, self.wire, self.settings, self.desk, self.ledger, carriers, plan.switches, plan.seed, lead_us
        )
        self.books = Books(
            RetryRules.of(self.settings), self.settings, self.desk.new_id, lambda *hook: self.house.told(*hook)
        )
        self.witness = Witness(
            self.clock, self.settings, self.ledger, lambda id_: self.books.attempts[id_].call_id, RING_S, TALK_S
        )
        self.house = House(
            self.clock, self.wire, self.settings, self.desk, self.ledger, self.witness, self.books, self._odds,
            Random(f"house {plan.seed}"),
        )  # fmt: skip
        self.desk.books, self.desk.begun = self.books, self.house.begun
        floor.furnish(self.house, plan.seed)
        return floor

    def _make_upheaval(self, limits: list[ScopeLimits]) -> StateUpheaval:
        return StateUpheaval(self.plan, self.settings, self.clock, self.wire, self.desk, self.floor, self.ledger, limits)

    def run(self, progress: Progress | None = None) -> Report:
        self.house.look()
        return super().run(progress)

    def told(self, report: Report) -> StateReport:
        """What the run has come to, judged."""
        rows = self.books.attempts.values()
        self.witness.judge(self.books.calls.values(), rows)
        left = len(self.floor.leases(None))
        return StateReport(
            replace(report, leases_left=left),
            dict(self.witness.broken),
            self.witness.first,
            dict(sorted(self.witness.seen.items())),
            _tally(call.status for call in self.books.calls.values()),
            _tally(row.evidence or "nobody" for row in rows),
        )


def _tally(values: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))


def rehearse_state(
    plan: Plan,
    redis_url: str,
    settings: Settings | None = None,
    *,
    odds: Odds | None = None,
    lead_us: int = 30_000,
    progress: Progress | None = None,
) -> StateReport:
    """As lab.rehearse.run.rehearse, with call state."""  # fmt: skip
    world = StateWorld(plan, redis_url, settings or Settings(redis_url=redis_url), lead_us=lead_us, odds=odds or Odds())
    try:
        return world.told(world.run(progress))
    finally:
        world.close()
