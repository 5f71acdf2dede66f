"""Redis' picture of carriers and lanes, kept true from Postgres: a changed number or route acts within a second."""

from __future__ import annotations

from redis import Redis

from budget import lanes
from calls.lanes import parse_lane
from settings import Settings
from store import carriers, tenants
from store.pool import Database


def sync_limits(db: Database, redis: Redis, settings: Settings) -> None:
    """Each carrier's numbers."""
    for c in carriers.list_limits(db):
        jitter = settings.jitter_for(c.jitter_ms)
        linger = settings.linger_ms if c.linger_ms is None else c.linger_ms
        lanes.set_limits(
            redis,
            c.id,
            max_channels=c.max_channels,
            interval=lanes.interval_us(float(c.cps), c.window_ms, jitter, c.invite_cost),
            linger_us=linger * 1000,
            paused=c.paused,
            gap_us=int(settings.pump_idle_s * 1_000_000) + 500_000,
        )


def sync_lanes(db: Database, redis: Redis) -> int:
    """Who may serve each lane; returns how many lanes changed or came into order.

    Nobody serves the lane of a paused tenant (its claims would be refused, each for a slot), nor one whose route or tenant
    is gone. A name that is no lane of ours is left alone.
    """
    routes = {r.name: r.carriers for r in carriers.list_routes(db)}
    known = {t.id: t for t in tenants.list_tenants(db)}
    specs = []
    for name in lanes.known_lanes(redis):
        try:
            lane = parse_lane(name)
        except ValueError:
            continue
        tenant = known.get(lane.tenant_id)
        serving = routes.get(lane.route, ()) if tenant is not None and not tenant.paused else ()
        weight = 1 if tenant is None else tenant.weight
        specs.append(lanes.LaneSpec(name, lane.tenant_id, lane.priority, weight, serving))
    return lanes.set_lanes(redis, specs)
