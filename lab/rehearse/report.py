"""The figures of a rehearsal, for people and for machines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import BEGIN_US
from lab.rehearse.ledger import Curve
from lab.rehearse.promises import OwnMeter
from lab.rehearse.referee import Broken
from lab.rehearse.shares import contended, fluid, groups, jain, quantiles

if TYPE_CHECKING:
    from lab.rehearse.run import World

#: Violations listed one by one.
LISTED = 50


@dataclass(frozen=True, slots=True)
class CarrierFigures:
    """A carrier. Used: shares of its limits over ``wanted_s``, the seconds in which calls waited for it and nothing was the
    matter; ``used`` of what was possible: of whichever limit was nearest, its account's too, and of CPS what the pacing
    allows (``ceiling``).
    """

    name: str
    cps: float
    channels: int
    invites: int
    peak_invites: int
    peak_channels: int
    wanted_s: int
    ceiling: float
    cps_used: float
    channels_used: float
    used: float
    refused: int
    stops: int


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """A tenant. Seconds from due to INVITE, beside those under an ideal weighted share (None: it has a limit of its own);
    ``against``: mean wait beside the ideal one, both plus 1 s. ``share``: calls while contended beside what was due to it.
    """

    name: str
    weight: int
    attempts: int
    p50_s: float
    p90_s: float
    max_s: float
    ideal_p50_s: float | None
    ideal_p90_s: float | None
    ideal_max_s: float | None
    against: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Late:
    """A limit of our own, kept by its slots, that more INVITEs reached in ``windows`` windows: ``peak`` at the most."""

    scope: str
    allowed: int
    peak: int
    windows: int


@dataclass(frozen=True, slots=True)
class Report:
    """All figures. ``violations`` has every broken limit; :attr:`ok` says whether nothing was broken, lost or doubled.
    ``late`` is no violation: what a switch that stood still sent late, of limits that nobody else counts.
    """

    seed: int
    calls: int
    attempts: int
    invites: int
    tenants: int
    carriers: int
    switches: int
    digest: str
    virtual_s: float
    wall_s: float
    cpu_s: float
    redis_peak_mb: float
    violations: list[Broken]
    lost: int
    twice: int
    ghosts: int
    leases_left: int
    strays: dict[str, int]
    missed_wakes: int
    swept: int
    surprises: int
    failed: int
    retries: int
    asks_per_grant: float
    refusals: dict[str, int]
    outcomes: dict[str, int]
    by_switch: dict[str, int]
    utilisation: float
    jain_equal: float
    jain_weighted: float
    jain_lowest: float
    by_carrier: list[CarrierFigures]
    by_tenant: list[TenantFigures]
    late: list[Late] = field(default_factory=list)
    faults: list[tuple[int, int, str]] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No limit broken, no call lost or dialed twice, no wake-up missed, no answer the budget should not have given."""
        bad = len(self.violations) + self.lost + self.twice + self.ghosts + self.missed_wakes + self.surprises
        return not bad and not self.strays and not self.leases_left

    def as_json(self) -> dict[str, Any]:
        """For machines, without the curves; at most :data:`LISTED` violations one by one."""
        plain = asdict(self)
        del plain["curves"]
        plain["violations"] = len(self.violations)
        plain["broken"] = [asdict(one) for one in self.violations[:LISTED]]
        plain["ok"] = self.ok
        return {name: _short(value) for name, value in plain.items()}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return [_short(one) for one in value] if isinstance(value, list | tuple) else value


def report(world: World, wall_s: float, cpu_s: float, redis_peak: int, leases_left: int) -> Report:
    """What ``world`` has come to."""
    ledger, desk, plan = world.ledger, world.desk, world.plan
    carriers = list(world.floor.carriers.values())
    shares: dict[int, float] = {}
    equal: list[float] = []
    lowest = 1.0
    ideal: dict[int, list[tuple[int, float]]] = {}
    for group in groups(ledger.keys):
        ideal |= fluid(group)
        found = {one: had / due for one, (had, due) in contended(group).items()}
        shares |= found
        same = [found[id(key)] for key in group if id(key) in found and key.weight == 1]
        equal += same if len(same) > 1 else []
        lowest = min(lowest, jain(list(found.values())))
    by_carrier = [_carrier(one) for one in carriers]
    wanted = [one for one in by_carrier if one.wanted_s]
    return Report(
        seed=plan.seed,
        calls=desk.accepted,
        attempts=ledger.calls_sent,
        invites=ledger.invites,
        tenants=len(plan.parties),
        carriers=len(carriers),
        switches=len(plan.switches),
        digest=ledger.digest(),
        virtual_s=(ledger.last_invite - BEGIN_US) / 1e6,
        wall_s=wall_s,
        cpu_s=cpu_s,
        redis_peak_mb=redis_peak / 1e6,
        violations=[broken for meter in world.meters.values() for broken in meter.broken],
        lost=desk.open_calls,
        twice=ledger.twice,
        ghosts=ledger.ghosts,
        leases_left=leases_left,
        strays=dict(ledger.strays),
        missed_wakes=ledger.missed_wakes,
        swept=ledger.swept,
        surprises=world.wire.surprises,
        failed=desk.failed,
        retries=desk.retries,
        asks_per_grant=ledger.asks / max(1, ledger.grants),
        refusals=dict(ledger.limits.most_common()),
        outcomes=dict(sorted(ledger.outcomes.items())),
        by_switch=dict(sorted(ledger.by_switch.items())),
        utilisation=sum(c.used * c.wanted_s for c in wanted) / max(1, sum(c.wanted_s for c in wanted)),
        jain_equal=jain(equal),
        jain_weighted=jain(list(shares.values())),
        jain_lowest=lowest,
        by_carrier=by_carrier,
        by_tenant=_tenants(world, ideal, shares),
        late=[
            Late(meter.scope, meter.limits[0] or 0, meter.peak_invites, meter.at_wire)
            for meter in world.meters.values()
            if isinstance(meter, OwnMeter) and meter.at_wire
        ],
        faults=world.upheaval.happened,
        curves={one.trunk.name: ledger.curves[one.id] for one in carriers},
    )


def _carrier(carrier: Carrier) -> CarrierFigures:
    seen, meter, plan = carrier.seen, carrier.meters[0], carrier.plan
    seconds = max(1, seen.wanted_s)
    return CarrierFigures(
        plan.name, plan.cps, plan.channels, meter.invites, meter.peak_invites, meter.peak_channels, seen.wanted_s,
        carrier.ceiling, seen.cps / seconds, seen.channels / seconds, seen.best / seconds, carrier.refused, carrier.stops,
    )  # fmt: skip


def _tenants(world: World, ideal: dict[int, list[tuple[int, float]]], shares: dict[int, float]) -> list[TenantFigures]:
    keys: dict[UUID, list[int]] = defaultdict(list)
    capped = set()
    for key in world.ledger.keys:
        keys[key.tenant].append(id(key))
        if key.capped:
            capped.add(key.tenant)
    found = []
    for party in world.plan.parties:
        dwell = sorted(world.ledger.dwell[party.id])
        count = len(dwell)
        merged: dict[int, float] = defaultdict(float)
        for one in keys[party.id]:
            for wait, amount in ideal.get(one, ()):
                merged[wait] += amount
        p50, p90, most, mean = quantiles(sorted(merged.items()))
        known = party.id not in capped and bool(count)
        own = [shares[one] for one in keys[party.id] if one in shares]
        half, most_of_all, longest = (dwell[count // 2], dwell[count * 9 // 10], dwell[-1]) if count else (0.0, 0.0, 0.0)
        found.append(
            TenantFigures(
                party.name, party.weight, count, half, most_of_all, longest,
                p50 if known else None, p90 if known else None, most if known else None,
                (sum(dwell) / count + 1) / (mean + 1) if known else None,
                sum(own) / len(own) if own else None,
            )
        )  # fmt: skip
    return found


def as_text(told: Report) -> str:
    """One screen."""
    house = f"{told.tenants} tenants, {told.carriers} carriers, {told.switches} switches, seed {told.seed}"
    pace = f"{told.virtual_s:,.0f} s in {told.wall_s:.0f} s, {told.calls / told.wall_s:,.0f} calls/s"
    faults = (
        f"violations {len(told.violations)}, lost {told.lost}, dialed twice {told.twice}, leases left {told.leases_left}"
    )
    fair = f"Jain {told.jain_equal:.4f} equal weights, {told.jain_weighted:.4f} all, {told.jain_lowest:.4f} lowest group"
    cost = f"{told.asks_per_grant:.2f} requests per permit, Redis {told.redis_peak_mb:.0f} MB at the most"
    lines = [
        f"{told.calls:,} calls: {house}: {pace}",
        f"  {faults}, wake-ups missed {told.missed_wakes}, swept back {told.swept}",
        f"  used of what was possible {told.utilisation:.3f}; {fair}",
        f"  {told.attempts:,} attempts, {told.invites:,} INVITEs, {cost}",
        "  carrier       CPS  peak channels  peak   INVITEs   wanted  CPS used  ch. used   used",
    ]
    lines += [
        f"  {c.name:10} {c.cps:6g} {c.peak_invites:5} {c.channels:8} {c.peak_channels:5} {c.invites:9,} {c.wanted_s:6} s"
        f" {c.cps_used:9.3f} {c.channels_used:9.3f} {c.used:6.3f}"
        for c in told.by_carrier
    ]
    lines += [_waited(one) for one in sorted(told.by_tenant, key=lambda one: -(one.against or 0))[:5] if one.against]
    lines += [
        f"  late, not broken: {one.scope}, {one.allowed} a window by its slots, {one.peak} at the wire, {one.windows} times"
        for one in told.late
    ]
    for broken in told.violations[:10]:
        at = (broken.at_us - BEGIN_US) / 1e6
        lines.append(f"  BROKEN {broken.scope}: {broken.count} {broken.what}, allowed {broken.allowed}, at {at:.3f} s")
    lines += [f"  STRANGE {count} x {what}" for what, count in told.strays.items()]
    lines.append(f"  event log {told.digest}: {'all well' if told.ok else 'NOT WELL'}")
    return "\n".join(lines)


def _waited(one: TenantFigures) -> str:
    own = f"p50 {one.p50_s:.1f}, p90 {one.p90_s:.1f}, max {one.max_s:.1f} s"
    ideal = f"{one.ideal_p50_s:.0f} / {one.ideal_p90_s:.0f} / {one.ideal_max_s:.0f}"
    return (
        f"  waits {one.against:.2f} of the ideal: {one.name} x{one.weight}, {one.attempts:,} calls: {own} (ideally {ideal})"
    )
