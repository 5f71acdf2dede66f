"""Redis' picture of limits and lanes, kept true from Postgres: a changed number or route acts within a second."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from redis import Redis

from budget import lanes
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, forget_scopes, interval_us, set_carriers, set_scopes
from calls.lanes import Lane, parse_lane, seats_scope
from calls.test_numbers import TEST_ROUTE
from settings import Settings
from store import agent_pools, carriers, scopes, tenants
from store.agent_pools import AgentPool
from store.carriers import CarrierLimits, Serving
from store.pool import Database
from store.queue import clock
from store.scopes import Scope
from store.tenants import Tenant

#: Scopes forgotten by one script.
FORGOTTEN = 100
#: Limits as they were last written, by scope.
Written = dict[str, ScopeLimits | CarrierSpec]


@dataclass(frozen=True, slots=True)
class Picture:
    """What Postgres says of limits, routes and tenants. ``dialable``: carriers that are not paused and have an endpoint that
    is enabled. ``held``: tenants of which a cap is used up for all their calls. ``pools``: of the fleet.
    """

    carriers: dict[UUID, CarrierLimits]
    dialable: frozenset[UUID]
    routes: dict[str, tuple[Serving, ...]]
    tenants: dict[UUID, Tenant]
    scopes: dict[str, Scope]
    held: frozenset[UUID] = frozenset()
    pools: tuple[AgentPool, ...] = ()

    def serving(self, lane: Lane) -> tuple[Serving, ...]:
        """Who may serve the lane. Nobody, when its tenant is gone or paused (a claim would be refused, and cost a slot), or
        when its route leads nowhere.
        """
        tenant = self.tenants.get(lane.tenant_id)
        return () if tenant is None or self.rests(lane) else self.routes.get(lane.route, ())

    def cps(self, lane: Lane) -> float:
        """Calls per second that the lane's carriers take together. All tiers: what one cannot begin soon spills over."""
        serving = [self.carriers[s.carrier_id] for s in self.serving(lane) if s.carrier_id in self.dialable]
        return sum(carrier.cps / carrier.invite_cost for carrier in serving)

    def rests(self, lane: Lane) -> bool:
        """Nothing of the lane is to be laned now. Calls of test keys count in no cap, and wait for none."""
        tenant = self.tenants.get(lane.tenant_id)
        return tenant is not None and (tenant.paused or (lane.tenant_id in self.held and lane.route != TEST_ROUTE))

    def paused(self, tenant_id: UUID) -> bool:
        """Nothing of the tenant is to be laned now."""
        tenant = self.tenants.get(tenant_id)
        return tenant is not None and (tenant.paused or tenant_id in self.held)

    def marks(self) -> dict[UUID, datetime]:
        """Tenants that canceled all they had queued, and up to when."""
        return {t.id: t.canceled_before for t in self.tenants.values() if t.canceled_before is not None}


def read(db: Database) -> Picture:
    """The picture as Postgres has it now."""
    known = {c.id: c for c in carriers.list_limits(db)}
    reachable = {e.carrier_id for e in carriers.list_endpoints(db) if e.enabled and e.loaded}
    known_tenants = tenants.list_tenants(db)
    return Picture(
        carriers=known,
        dialable=frozenset(c.id for c in known.values() if not c.paused and c.id in reachable),
        routes={route.name: route.serving for route in carriers.list_routes(db)},
        tenants={tenant.id: tenant for tenant in known_tenants},
        scopes={scope.scope: scope for scope in scopes.list_scopes(db)},
        held=_held(db, known_tenants),
        pools=tuple(agent_pools.list_pools(db)),
    )


def _held(db: Database, known: Iterable[Tenant]) -> frozenset[UUID]:
    """Those that are held now, by the clock that the claim goes by."""
    held = {tenant.id: tenant.held_until for tenant in known if tenant.held_until is not None}
    moment = clock(db) if held else datetime.max.replace(tzinfo=UTC)
    return frozenset(tenant_id for tenant_id, until in held.items() if until > moment)


def sharing(picture: Picture, scope: str) -> list[CarrierLimits]:
    """The carriers that count in an account or at a source address."""
    return [c for c in picture.carriers.values() if scope in _more(c)]


def _more(carrier: CarrierLimits) -> tuple[str, ...]:
    """The scopes that a carrier's calls count in besides its own."""
    shared = (("account", carrier.account), ("ip", carrier.source_ip))
    return tuple(f"{kind}:{name}" for kind, name in shared if name is not None)


def _reserved(carriers_of_it: Iterable[CarrierLimits]) -> int:
    """Channels kept for calls that come in: of a carrier, or of all that share an account or a source address."""
    return sum(c.inbound_reserved for c in carriers_of_it if c.counts_inbound)


def _limits(
    settings: Settings, scope: str, cps: float | None, window_ms: int, jitter_ms: float, cost: int,
    *, max_channels: int | None, linger_ms: int, paused: bool, reserved: int = 0,
) -> ScopeLimits:  # fmt: skip
    interval = None if cps is None else interval_us(cps, window_ms, jitter_ms, cost)
    return ScopeLimits(
        scope,
        max_channels,
        interval,
        linger_us=linger_ms * 1000,
        paused=paused,
        gap_us=int(settings.pump_idle_s * 1_000_000) + 500_000,
        rest_us=rest_us(window_ms, jitter_ms, interval),
        reserved=reserved,
    )


def rest_us(window_ms: int, jitter_ms: float, interval: int | None) -> int:
    """us; after so long nothing that left before is in the scope's window any more. Less than one call per window: its
    window is as long as the interval.
    """
    return max(int((window_ms + jitter_ms) * 1000), interval or 0)


def carrier_specs(picture: Picture, settings: Settings) -> list[CarrierSpec]:
    """Each carrier's numbers. One without an enabled endpoint counts as paused: every claim would be refused."""
    found = []
    for c in picture.carriers.values():
        limits = _limits(
            settings, carrier_scope(c.id), c.cps, c.window_ms, settings.jitter_for(c.jitter_ms, c.invite_cost),
            c.invite_cost,
            max_channels=c.max_channels, linger_ms=settings.linger_ms if c.linger_ms is None else c.linger_ms,
            paused=c.id not in picture.dialable, reserved=_reserved([c]),
        )  # fmt: skip
        found.append(CarrierSpec(limits, _more(c), urgent_share=c.urgent_share, bulk_floor=c.bulk_floor))
    return found


def scope_limits(picture: Picture, settings: Settings) -> list[ScopeLimits]:
    """The numbers of every scope that is no carrier. An account or address is paced for the dearest and least steady of its
    carriers: whose calls they are is not known before.
    """
    found = []
    for scope in picture.scopes.values():
        mine = sharing(picture, scope.scope)
        lingers = [settings.linger_ms if c.linger_ms is None else c.linger_ms for c in mine]
        limits = _limits(
            settings, scope.scope, scope.cps, scope.window_ms,
            max((settings.jitter_for(c.jitter_ms, c.invite_cost) for c in mine), default=settings.jitter_ms),
            max((c.invite_cost for c in mine), default=1),
            max_channels=scope.max_channels, linger_ms=max(lingers, default=0), paused=scope.paused,
            reserved=_reserved(mine),
        )  # fmt: skip
        found.append(limits)
    for pool in picture.pools:
        reserved, per_seat = pool.inbound_reserved, pool.dials_per_seat
        found.append(ScopeLimits(seats_scope(pool.name), None, None, reserved=reserved, per_seat=per_seat))
    return found


def state_limits(
    redis: Redis, picture: Picture, settings: Settings, known: Collection[str] = (), written: Written | None = None
) -> frozenset[str]:
    """Writes every limit, but none as ``written`` has it already, and notes it there; those of ``known`` (scopes that may
    have been stated before) that are no more are forgotten.

    Returns what is stated. The shared scopes first: a carrier that names one must find its numbers there.
    """
    stated = frozenset(picture.scopes) | {seats_scope(pool.name) for pool in picture.pools}
    shared = {one.scope: one for one in scope_limits(picture, settings)}
    trunks = {one.limits.scope: one for one in carrier_specs(picture, settings)}
    before = dict(written or {})
    if written is not None:
        written.clear()  # of a write that fails nobody knows how far it came: then everything is written again
    set_scopes(redis, [one for scope, one in shared.items() if before.get(scope) != one])
    set_carriers(redis, [one for scope, one in trunks.items() if before.get(scope) != one])
    gone = sorted(set(known) - stated)
    for start in range(0, len(gone), FORGOTTEN):
        forget_scopes(redis, gone[start : start + FORGOTTEN])
    if written is not None:
        written.update({**shared, **trunks})
    return stated


def nameable(picture: Picture, names: Iterable[str], switches: Iterable[str]) -> set[str]:
    """Every scope that a call could count in: what another leader may have stated."""
    found = {"global", *(f"switch:{name}" for name in switches)}
    found |= {scopes.tenant_scope(tenant_id) for tenant_id in picture.tenants}
    found |= {shared for carrier in picture.carriers.values() for shared in _more(carrier)}
    return found | {scope for name in names if (lane := lane_of(name)) for scope in lane.scopes}


def state_lanes(redis: Redis, picture: Picture, settings: Settings, names: Iterable[str]) -> int:
    """Who may serve each of these lanes; returns how many changed or came into order. A name that is none of ours is left
    alone, and so is the lane of a tenant that there is not.
    """
    specs = []
    for name in names:
        lane = lane_of(name)
        if lane is None:
            continue
        tenant = picture.tenants.get(lane.tenant_id)
        campaign = None if lane.campaign is None else f"campaign:{lane.tenant_id.hex}:{lane.campaign}"
        scope = picture.scopes.get(campaign) if campaign is not None else None
        specs.append(
            lanes.LaneSpec(
                name,
                lane.tenant_id,
                lane.priority,
                1 if tenant is None else tenant.weight,
                tuple(lanes.Serving(s.carrier_id, s.tier, s.weight) for s in picture.serving(lane)),
                share=1.0 if scope is None else float(scope.weight),
                spill_us=settings.spill_ms * 1000,
            )
        )
    return lanes.set_lanes(redis, specs)


def lane_of(name: str) -> Lane | None:
    """What the lane's name says, None for a name that is none of ours."""
    try:
        return parse_lane(name)
    except ValueError:
        return None
