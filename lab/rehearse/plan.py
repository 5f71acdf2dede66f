"""What a rehearsal rehearses: carriers, tenants, what they want when, what goes wrong. Times are us from the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal
from uuid import UUID

from budget.lanes import Serving
from calls.lanes import Lane

Outcome = Literal["answered", "busy", "no_answer", "invalid", "refused"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a carrier makes of its calls: shares of 1 (the rest is not answered) and seconds.

    ``pdd_s``: INVITE to ringing. A call that is busy or invalid ends after it, a refused one after ``refusal_s``.
    """

    answered: float = 0.45
    busy: float = 0.15
    invalid: float = 0.04
    refused: float = 0.01
    pdd_s: float = 1.2
    ring_s: float = 6.0
    ring_out_s: float = 20.0
    talk_s: float = 12.0
    refusal_s: float = 0.2

    def draw(self, random: Random) -> tuple[Outcome, int]:
        """What becomes of a call, and us from INVITE to end."""
        chance = random.random()
        pdd = self.pdd_s * (0.5 + random.random())
        if chance < self.answered:
            return "answered", int(
                (pdd + random.uniform(0.3, 1.7) * self.ring_s + random.expovariate(1 / self.talk_s)) * 1e6
            ) + 1
        if chance < self.answered + self.busy:
            return "busy", int(pdd * 1e6) + 1
        if chance < self.answered + self.busy + self.invalid:
            return "invalid", int(pdd * 1e6) + 1
        if chance < self.answered + self.busy + self.invalid + self.refused:
            return "refused", int(self.refusal_s * 1e6) + 1
        return "no_answer", int((pdd + self.ring_out_s) * 1e6) + 1

    @property
    def mean_s(self) -> float:
        """s; how long a call occupies a channel on average."""
        rung = 1 - self.answered - self.busy - self.invalid - self.refused
        return (
            self.pdd_s * (1 - self.refused)
            + self.answered * (self.ring_s + self.talk_s)
            + rung * self.ring_out_s
            + self.refused * self.refusal_s
        )


@dataclass(frozen=True, slots=True)
class Trunk:
    """A carrier and what it allows: ``cps`` INVITEs per second counted over ``window_ms``, ``channels`` at once."""

    id: UUID
    name: str
    cps: float
    channels: int
    window_ms: int = 1000
    linger_ms: int = 250
    invite_cost: int = 1
    account: str | None = None
    urgent_share: float = 1.0
    bulk_floor: float = 0.0
    behaviour: Behaviour = field(default_factory=Behaviour)


@dataclass(frozen=True, slots=True)
class Cap:
    """A scope with a limit of its own that is no carrier: ``account:...``, ``switch:...``, ``tenant:...`` and so on."""

    scope: str
    channels: int | None = None
    cps: float | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """``calls`` calls from ``at_us`` on. ``flood``: all at once; ``trickle``: at random over ``over_us``; ``on_off``: the
    same, but only during every other ``beat_us``.
    """

    calls: int
    at_us: int = 0
    shape: Literal["flood", "trickle", "on_off"] = "flood"
    over_us: int = 0
    beat_us: int = 0

    def moments(self, random: Random) -> Iterator[tuple[int, int]]:
        """(us, how many calls come then), in order."""
        if self.shape == "flood" or self.over_us <= 0:
            yield self.at_us, self.calls
            return
        on_us = self.over_us if self.shape == "trickle" else self.over_us // 2
        at, mean = 0.0, on_us / self.calls
        for _ in range(self.calls):
            at += random.expovariate(1 / mean)
            off = 0 if self.shape == "trickle" or not self.beat_us else int(at // self.beat_us) * self.beat_us
            yield self.at_us + int(at) + off, 1


@dataclass(frozen=True, slots=True)
class Stream:
    """Calls of one lane. ``share``: the campaign's weight within its tenant."""

    lane: Lane
    demand: Demand
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Party:
    """A tenant and what it wants."""

    id: UUID
    name: str
    streams: tuple[Stream, ...]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """Something goes wrong at ``at_us`` for ``for_us``.

    ``crash``: the controller of switch ``subject`` is gone until another takes over. ``wipe``: Redis forgets everything,
    which is noticed after ``for_us``. ``outage``: carrier ``subject`` refuses every call. ``limits``: its numbers are
    changed to ``factor`` of the plan's, and changed back. Only in a rehearsal of state: ``switch`` ``subject`` dies with its
    calls, ``link``: nothing passes between it and its controller, and ``feeder``, ``watchdog`` and ``postgres`` are away.
    Only in a rehearsal of the fleet: a ``worker`` is killed, the ``keeper`` of host ``subject`` is.
    """

    kind: Literal[
        "crash", "wipe", "outage", "limits", "switch", "link", "feeder", "watchdog", "postgres", "worker", "keeper"
    ]
    at_us: int
    for_us: int
    subject: str = ""
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it. ``routes``: who serves a route, by its name in the lanes."""

    seed: int
    trunks: tuple[Trunk, ...]
    parties: tuple[Party, ...]
    routes: dict[str, tuple[Serving, ...]]
    switches: tuple[str, ...] = ("fs1",)
    caps: tuple[Cap, ...] = ()
    faults: tuple[Fault, ...] = ()
    max_attempts: int = 3

    @property
    def calls(self) -> int:
        """How many calls all tenants want together."""
        return sum(stream.demand.calls for party in self.parties for stream in party.streams)
