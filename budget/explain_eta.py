"""How long a queued call will wait, from what waits before it and what the carriers take. Pure: no input or output.

The rule (docs/why.md says it in words). With S(T) the calls that the carriers take within T seconds, the call leaves at the
first T at which

    S(T) - higher(T) - floor(T) >= W

where W is the call's place by weighted virtual time: its own place among its tenant's calls, and of each other tenant of
the class min(what it has queued, what it is served until then by its weight and its score).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

#: Of the slots, what is used: burned and late ones are the rest.
USED_50, USED_90 = 0.985, 0.94
#: What was measured is not believed to be less.
LEAST_USED = 0.3
#: Calls to come may be so much longer than those that were.
LONGER_90 = 1.1
#: s; a permit's lead, a wake-up, a refill.
LATENCY_50, LATENCY_90 = 0.1, 0.6
#: s; a channel is taken before its INVITE leaves and given back a little after its call has ended.
TURN_S = 0.15
#: Of a normal distribution, nine in ten are below so many standard deviations.
Z90 = 1.2816
#: s; nothing is told that is further off.
LONGEST_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Hold:
    """How long calls keep a channel: mean and standard deviation in s, of so many calls."""

    mean_s: float
    sd_s: float
    calls: int


@dataclass(frozen=True, slots=True)
class Supply:
    """What a scope takes. ``rate`` calls/s just now, back to ``full_rate`` along a straight line in ``recover_s``
    (None: no rate); the next after ``first_s``. ``free`` of ``channels`` places (None: any number), each kept as
    ``hold`` says (None: not known).
    """

    rate: float | None
    full_rate: float | None = None
    recover_s: float = 0.0
    first_s: float = 0.0
    channels: int | None = None
    free: int = 0
    hold: Hold | None = None

    def taken(self, t: float, used: float, hold_s: float | None) -> float:
        """Calls within ``t`` seconds, when ``used`` of the slots are and each channel is kept ``hold_s``."""
        found = math.inf
        if self.rate is not None:
            found = 0.0 if t < self.first_s else 1 + used * self._slots(t - self.first_s)
        if self.channels is not None:
            found = min(found, self.free + (self.channels * t / hold_s if hold_s else 0.0))
        return found

    def _slots(self, t: float) -> float:
        rate, full = self.rate or 0.0, max(self.rate or 0.0, self.full_rate or 0.0)
        if full <= rate or self.recover_s <= 0:
            return rate * t
        slope = full / self.recover_s
        rising = min(t, (full - rate) / slope)
        return rate * rising + slope * rising**2 / 2 + full * (t - rising)


@dataclass(frozen=True, slots=True)
class Rival:
    """A tenant with work, or ``many`` like it: ``ahead`` of us in virtual time (negative: it is served before), its
    ``weight``, the calls it has queued, which part of them these carriers will take (by their rates; to be sure, all), and
    its own limit.
    """

    ahead: float
    weight: float
    queued: float
    part: float = 1.0
    many: float = 1.0
    limit: Supply | None = None

    def before(self, virtual: float, most: float, *, sure: bool) -> float:
        """Its calls that are served until our order has moved on by ``virtual``, at most ``most`` of each like it."""
        steps = (virtual - self.ahead) * self.weight
        turns: float = math.floor(steps + 1e-6) + 1
        if not sure and abs(steps - round(steps)) < 1e-6:
            turns -= 0.5  # the same moment: it is before us as often as behind
        return self.many * (1 if sure else self.part) * min(self.queued, max(0.0, turns), most)

    def work(self, most: float) -> float:
        """All that it has, at most ``most`` of each like it."""
        return self.many * self.part * min(self.queued, most)


@dataclass(frozen=True, slots=True)
class Own:
    """A limit of the lane's own side, and the call's place among those that count in it."""

    supply: Supply
    place: float


@dataclass(frozen=True, slots=True)
class Demand:
    """A call and all that bears on it. ``place``: 1 is the tenant's next call of the class. ``supplies``: of each carrier
    its limits, which hold together; ``common``: limits of all these carriers together. ``arriving``: calls/s of each class
    that were served of late. ``urgent_share``, ``bulk_floor``: the carriers'. ``used``: of the slots of late, while there
    was work for each, how many were used; None: not known.
    """

    priority: str
    place: float
    weight: float
    supplies: tuple[tuple[Supply, ...], ...]
    common: tuple[Supply, ...] = ()
    rivals: Mapping[str, Sequence[Rival]] = field(default_factory=dict)
    arriving: Mapping[str, float] = field(default_factory=dict)
    own: tuple[Own, ...] = ()
    urgent_share: float = 1.0
    bulk_floor: float = 0.0
    used: float | None = None


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds from now until the call is dialed: half of such calls by ``p50``, nine in ten by ``p90``."""

    p50: float
    p90: float


def estimate(demand: Demand) -> Eta | None:
    """None when it cannot be told: nobody knows how long a channel is kept, or it is further off than a week."""
    measured = 1.0 if demand.used is None else max(LEAST_USED, demand.used)
    # A host that was busy a moment ago may be so again, or not.
    half = _solve(demand, min(USED_50, (USED_50 + measured) / 2), sure=False, departures=0.0)
    if half is None:
        return None
    most = _solve(demand, min(USED_90, measured * USED_90), sure=True, departures=_departures(demand, half))
    if most is None:
        return None
    p50 = half + LATENCY_50
    return Eta(round(p50, 2), round(max(most + LATENCY_90, p50), 2))


def _departures(demand: Demand, t: float) -> float:
    """How many channels have to be given back until then: the more, the surer their mean."""
    limits = [*(s for carrier in demand.supplies for s in carrier), *demand.common, *(own.supply for own in demand.own)]
    return max((s.channels * t / s.hold.mean_s for s in limits if s.channels and s.hold and s.hold.mean_s > 0), default=1.0)


def _hold_s(supply: Supply, departures: float, *, sure: bool) -> float | None:
    hold = supply.hold
    if hold is None or hold.mean_s <= 0:
        return None
    if not sure:
        return hold.mean_s + TURN_S
    spread = hold.sd_s * math.sqrt(1 / max(departures, 1.0) + 1 / max(hold.calls, 1))
    return LONGER_90 * hold.mean_s + TURN_S + Z90 * spread


def _solve(demand: Demand, used: float, *, sure: bool, departures: float) -> float | None:
    def taken(supply: Supply, t: float) -> float:
        return supply.taken(t, used, _hold_s(supply, departures, sure=sure))

    def supplied(t: float) -> float:
        together = sum(min((taken(limit, t) for limit in carrier), default=0.0) for carrier in demand.supplies)
        return min(together, *(taken(limit, t) for limit in demand.common), together)

    def most(rival: Rival, t: float) -> float:
        return math.inf if rival.limit is None else taken(rival.limit, t)

    virtual = (demand.place - 1) / demand.weight

    def enough(t: float) -> bool:
        works = {name: [(rival, most(rival, t)) for rival in rivals] for name, rivals in demand.rivals.items()}
        before = demand.place + sum(
            rival.before(virtual, limit, sure=sure) for rival, limit in works.get(demand.priority, ())
        )
        total = supplied(t)
        reached = _left_for(demand, works, total, t, sure=sure) >= before
        if reached and demand.priority == "urgent":
            reached = _urgent_within_share(demand, total)
        return reached and all(taken(own.supply, t) >= own.place for own in demand.own)

    return _first(enough)


def _first(enough: Callable[[float], bool]) -> float | None:
    """The first moment at which it is so; it stays so after it."""
    low, high = 0.0, 0.05
    while not enough(high):
        low, high = high, high * 2
        if high > LONGEST_S:
            return None
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


#: By class, each rival with what its own limit lets it have.
Works = Mapping[str, Sequence[tuple[Rival, float]]]


def _with_new(waiting: float, new: float, *, sure: bool) -> float:
    """What was served of late was either this backlog or new calls; to be sure, both."""
    return waiting + new if sure else max(waiting, new)


def _left_for(demand: Demand, works: Works, total: float, t: float, *, sure: bool) -> float:
    """What the carriers have for the call's class within ``t``."""
    floor = min(demand.bulk_floor * total, sum(rival.work(limit) for rival, limit in works.get("bulk", ())))
    if demand.priority == "urgent":
        return total - floor
    # Of each tenant's urgent calls at most its share goes before.
    share = demand.urgent_share * total
    urgent = sum(min(rival.work(limit), rival.many * share) for rival, limit in works.get("urgent", ()))
    urgent = _with_new(urgent, demand.arriving.get("urgent", 0.0) * t, sure=sure)
    if demand.priority == "normal":
        return total - urgent - floor
    normal = sum(rival.work(limit) for rival, limit in works.get("normal", ()))
    normal = _with_new(normal, demand.arriving.get("normal", 0.0) * t, sure=sure)
    return max(demand.bulk_floor * total, total - urgent - normal)


def _urgent_within_share(demand: Demand, total: float) -> bool:
    """A tenant's own urgent calls beyond its share of the carriers go on among the normal ones while others wait."""
    others = [rival for rivals in demand.rivals.values() for rival in rivals if rival.queued]
    if not others or demand.urgent_share >= 1:
        return True
    share = demand.urgent_share * total
    normal = demand.rivals.get("normal", ())
    weights = sum(rival.many * rival.weight for rival in normal if rival.queued)
    rest = max(0.0, total - share) * demand.weight / (demand.weight + weights)
    return demand.place <= share + 1 + rest
