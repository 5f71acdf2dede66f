"""A plan whose calls all want a seat, and what goes wrong with those who have the seats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from lab.rehearse.clock import SECOND
from lab.rehearse.plan import Fault, Party, Plan, Stream

POOL = "desk"
#: Of all streams, those whose calls take their seat when somebody answers.
LATER = 0.2
#: s; what a call that is dialed has of its seat on average: it is only a guess of how long the run lasts.
SEATED_S = 16.0
#: s; a keeper that was killed is there again within.
KEEPER_S = (0.3, 6.0)


@dataclass(frozen=True, slots=True)
class Staff:
    """``hosts`` with a keeper and ``seats`` workers each, all of one pool. ``kills``: workers that are killed; ``keepers``:
    keepers that are.
    """

    hosts: int = 5
    seats: int = 10
    kills: int = 40
    keepers: int = 5

    @property
    def names(self) -> tuple[str, ...]:
        """Of the hosts."""
        return tuple(f"h{n + 1}" for n in range(self.hosts))


def with_fleet(plan: Plan, staff: Staff) -> Plan:
    """``plan`` with a seat for each call. Seats are what is scarce, so it lasts longer, and its faults lie further apart.

    ValueError where there is no host or no seat.
    """
    for name, value in (("hosts", staff.hosts), ("seats", staff.seats)):
        if value < 1:
            raise ValueError(f"{name}: at least 1, not {value}")
    random = Random(f"fleet {plan.seed}")
    last = max((fault.at_us for fault in plan.faults), default=60 * SECOND)
    lasts_us = max(last, int(plan.calls * SEATED_S / (staff.hosts * staff.seats) * SECOND))

    def some_time() -> int:
        return random.randint(lasts_us // 20, lasts_us * 9 // 10)

    def keeper_us() -> int:
        return int(random.uniform(*KEEPER_S) * SECOND)

    faults = [replace(fault, at_us=fault.at_us * lasts_us // last) for fault in plan.faults]
    faults += [Fault("worker", some_time(), 0) for _ in range(staff.kills)]
    faults += [Fault("keeper", some_time(), keeper_us(), random.choice(staff.names)) for _ in range(staff.keepers)]
    return replace(
        plan,
        parties=tuple(_seated(random, party) for party in plan.parties),
        faults=tuple(sorted(faults, key=lambda fault: (fault.at_us, fault.kind, fault.subject))),
    )


def _seated(random: Random, party: Party) -> Party:
    streams = []
    for stream in party.streams:
        later = random.random() < LATER
        lane = replace(stream.lane, seats=POOL, policy="at_answer" if later else "reserved")
        streams.append(Stream(lane, stream.demand, stream.share))
    return replace(party, streams=tuple(streams))
