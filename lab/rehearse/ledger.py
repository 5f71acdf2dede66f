"""What is written down while a rehearsal runs: every INVITE and end, second by second, and a hash of all of it."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from budget.permits import Answer
from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import BEGIN_US, SECOND, Clock
from lab.rehearse.desk import Attempt, Desk, Line
from lab.rehearse.plan import Plan
from lab.rehearse.promises import OwnMeter
from lab.rehearse.referee import Meter

#: Lines hashed at once.
CHUNK = 2000


@dataclass(slots=True)
class Key:
    """A tenant's calls of one class on one route: these are compared with those of other tenants.

    ``rows``: (second, arrived, left, waiting at its end) of every second in which there was anything.
    """

    tenant: UUID
    weight: int
    priority: str
    route: str
    capped: bool = False
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Curve:
    """A carrier second by second: shares of what it allows, and whether it was wanted and sound."""

    cps: array[float] = field(default_factory=lambda: array("f"))
    channels: array[float] = field(default_factory=lambda: array("f"))
    wanted: bytearray = field(default_factory=bytearray)


class Ledger:
    """Told of everything; judges nothing but that an attempt is dialed once."""

    def __init__(self, plan: Plan, clock: Clock, keys: list[Key], meters: dict[str, Meter]) -> None:
        self._clock = clock
        self.keys = keys
        self.meters = meters
        self.dwell: dict[UUID, array[float]] = {party.id: array("f") for party in plan.parties}
        self._tenants = [key.tenant for key in keys]
        self._left = [0] * len(keys)
        self._waited = [0] * len(keys)
        self._came = [0] * len(keys)
        self._line_meters: dict[Line, tuple[OwnMeter, ...]] = {}
        self.curves: dict[UUID, Curve] = {trunk.id: Curve() for trunk in plan.trunks}
        self._carried: dict[UUID, tuple[int, int]] = {trunk.id: (0, 0) for trunk in plan.trunks}
        self.asks = self.grants = self.invites = self.calls_sent = self.twice = self.ghosts = self.swept = 0
        self.limits: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.strays: Counter[str] = Counter()
        self.by_switch: Counter[str] = Counter()
        self.missed_wakes = 0
        #: Told of every attempt whose INVITE has arrived.
        self.watch: Callable[[Attempt], None] | None = None
        self.last_invite = BEGIN_US
        self._hash = hashlib.blake2b(digest_size=16)
        self._lines: list[str] = []

    def _write(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) >= CHUNK:
            self._hash.update("".join(self._lines).encode())
            self._lines.clear()

    def digest(self) -> str:
        """Of all events so far: the same seed gives the same."""
        self._hash.update("".join(self._lines).encode())
        self._lines.clear()
        return self._hash.hexdigest()

    def asked(self, answer: Answer) -> None:
        """A pump had this answer."""
        self.asks += 1
        self.grants += len(answer.grants)
        if not answer.grants:
            self.limits[answer.limit.partition(":")[0]] += 1

    def ghost(self, attempt_id: UUID) -> None:
        """A permit for something that does not wait."""
        self.ghosts += 1
        self._write(f"{self._clock.now} ghost {attempt_id}\n")

    def stray(self, what: str) -> None:
        """Something the budget should not have answered."""
        self.strays[what] += 1
        self._write(f"{self._clock.now} {what}\n")

    def happened(self, what: str) -> None:
        """A fault."""
        self._write(f"{self._clock.now} {what}\n")

    def _own(self, scopes: Iterable[str]) -> tuple[OwnMeter, ...]:
        return tuple(meter for scope in scopes if isinstance(meter := self.meters.get(scope), OwnMeter))

    def _meters(self, line: Line, switch: str) -> Iterable[OwnMeter]:
        """Limits of our own that a call of the lane counts in."""
        found = self._line_meters.get(line)
        if found is None:
            found = self._line_meters[line] = self._own((*line.scopes, "global"))
        return (*found, *self._own([f"switch:{switch}"]))

    def invited(self, one: Attempt, carrier: Carrier) -> None:
        """An attempt's INVITE arrived at the carrier."""
        now, key = self._clock.now, one.line.key
        self._write(f"{now} invite {one.id} {carrier.trunk.name}\n")
        self.calls_sent += 1
        self.twice += one.invited
        self.last_invite = now
        if self.watch is not None:
            self.watch(one)
        self._left[key] += 1
        self.dwell[self._tenants[key]].append((now - one.due) / SECOND)
        self.by_switch[one.switch] += 1
        self.invites += 1
        for meter in carrier.meters:
            meter.invite(now)
            meter.begin(now, one.number)
        for own in self._meters(one.line, one.switch):
            own.sent(one.slot, now)
            own.begin(now, one.number)

    def invited_again(self, carrier: Carrier) -> None:
        """The same call's second INVITE, with credentials."""
        self.invites += 1
        for meter in carrier.meters:
            meter.invite(self._clock.now)

    def ended(self, one: Attempt, carrier: Carrier, outcome: str) -> None:
        """An attempt's call ended at the carrier."""
        self.left_carrier(one, carrier, outcome)
        self.left_house(one)

    def left_carrier(self, one: Attempt, carrier: Carrier, outcome: str) -> None:
        """The carrier has no leg of it any more."""
        now = self._clock.now
        self._write(f"{now} {outcome} {one.id}\n")
        self.outcomes[outcome] += 1
        for meter in carrier.meters:
            meter.end(now, one.number)

    def left_house(self, one: Attempt) -> None:
        """Its switch has no channel of it any more: limits of our own count that."""
        for meter in self._meters(one.line, one.switch):
            meter.end(self._clock.now, one.number)

    def second(self, desk: Desk, carriers: dict[UUID, Carrier], wanted: set[UUID], *, calm: bool) -> None:
        """A second is over. ``wanted``: carriers for which calls waited all through it; ``calm``: nothing went wrong."""
        second = (self._clock.now - BEGIN_US) // SECOND
        waiting = [0] * len(self.keys)
        for line in desk.lines.values():
            waiting[line.key] += line.waiting
        for key, (left, now_waiting) in enumerate(zip(self._left, waiting, strict=True)):
            came = desk.arrived[key] - self._came[key]
            if left or came or now_waiting:
                self.keys[key].rows.append((second, came, left, now_waiting))
                self._came[key] = desk.arrived[key]
                self._left[key] = 0
        for carrier_id, carrier in carriers.items():
            self._carrier_second(carrier, wanted=calm and carrier_id in wanted and carrier.sound)

    def _carrier_second(self, carrier: Carrier, *, wanted: bool) -> None:
        now, curve = self._clock.now, self.curves[carrier.id]
        shares: list[tuple[float, float]] = []
        for meter in carrier.meters:
            before = self._carried.get(carrier.id, (0, 0)) if meter is carrier.meters[0] else carrier.account_before
            after = (meter.invites, meter.occupied(now))
            if meter is carrier.meters[0]:
                self._carried[carrier.id] = after
            else:
                carrier.account_before = after
            rate, channels = meter.limits
            per_s = None if rate is None else rate * SECOND / meter.window_us
            used = (after[1] - before[1]) / SECOND
            shares.append(((after[0] - before[0]) / per_s if per_s else 0.0, used / channels if channels else 0.0))
        curve.cps.append(shares[0][0])
        curve.channels.append(shares[0][1])
        curve.wanted.append(wanted)
        if wanted:
            carrier.seen.wanted_s += 1
            carrier.seen.cps += shares[0][0]
            carrier.seen.channels += shares[0][1]
            carrier.seen.best += max(max(cps / carrier.ceiling, channels) for cps, channels in shares)
