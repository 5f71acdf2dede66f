"""trunkline pools: pools of workers (python -m agents), how many are free, and who waits for one."""

from __future__ import annotations

from typing import Any

import click

from trunkline.cli.common import JSON_OPTION, changing, database, show, tenant

COLUMNS = ("pool", "tenant", "seats", "free", "held", "busy", "owed", "waiting", "reserved", "dials_per_seat")


@click.group("pools")
def pools_group() -> None:
    """Pools of workers. A change acts within a second."""


@pools_group.command("list")
@JSON_OPTION
def list_pools(as_json: bool) -> None:
    """Every pool and its workers: heard of, free, held for a call that is dialed, busy; calls that wait for one."""
    from budget import seats
    from budget.connect import connect
    from settings import get_settings
    from store import agent_pools, tenants

    with database() as db:
        names = {one.id: one.name for one in tenants.list_tenants(db)}
        known = agent_pools.list_pools(db)
    redis = connect(get_settings())
    now, line = {one.name: one for one in seats.pools(redis)}, seats.in_line(redis)
    rows = []
    for pool in known:
        its, waits = now.get(pool.name) or seats.PoolNow(pool.name, 0, 0, 0, 0, 0), line.get(pool.name)
        rows.append(
            {
                "pool": pool.name,
                "tenant": None if pool.tenant_id is None else names.get(pool.tenant_id),
                "seats": its.there,
                "free": its.free,
                "held": its.held,
                "busy": its.busy,
                "owed": its.owed,
                "waiting": 0 if waits is None else f"{waits.waiting}+" if waits.more and not as_json else waits.waiting,
                "reserved": pool.inbound_reserved,
                "dials_per_seat": pool.dials_per_seat,
            }
        )
    show(rows, COLUMNS, as_json=as_json)


@pools_group.command("set")
@click.argument("name", metavar="POOL")
@click.option("--tenant", "owner", help="its agents alone may have it; none: everybody's")
@click.option("--inbound-reserved", type=click.IntRange(0, 100_000), help="seats that calls which are dialed never take")
@click.option("--dials-per-seat", type=click.FloatRange(1, 10), help="calls for each free seat, of agents with at_answer")
def set_pool(name: str, owner: str | None, **options: Any) -> None:
    """Change what is given of POOL, and nothing else; one that is not there is made."""
    from store import agent_pools

    with changing() as change:
        changes = {key: value for key, value in options.items() if value is not None}
        if owner is not None:
            changes["tenant_id"] = None if owner == "none" else tenant(change.database, owner).id
        done = agent_pools.update(change.database, name, **changes)
        noted = {key: str(value) if key == "tenant_id" and value is not None else value for key, value in changes.items()}
        change.note("pool.changed", f"pool:{done.name}", noted)
    whose = "everybody's" if done.tenant_id is None else f"of one tenant ({owner or done.tenant_id})"
    kept = f"{done.inbound_reserved} seats for callers"
    click.echo(f"pool {done.name}: {whose}, {kept}, {done.dials_per_seat:g} dials for a free seat")


@pools_group.command("renew-key")
@click.argument("name", metavar="POOL")
def renew_key(name: str) -> None:
    """Give POOL a new key, by which its keepers know the relay: they hear of it within seconds."""
    from store import agent_pools

    with changing() as change:
        if not agent_pools.renew_key(change.database, name):
            raise ValueError(f"pool: there is no {name!r}: see trunkline pools list")
        change.note("pool.key_renewed", f"pool:{name}", {})
    click.echo(f"pool {name}: a new key; its keepers take the old one for two more minutes, for calls that have begun")


@pools_group.command("remove")
@click.argument("name", metavar="POOL")
def remove_pool(name: str) -> None:
    """Remove POOL, which no agent has."""
    from store import agent_pools

    with changing() as change:
        if not agent_pools.remove(change.database, name):
            raise ValueError(f"pool: there is no {name!r}: see trunkline pools list")
        change.note("pool.removed", f"pool:{name}", {})
    click.echo(f"pool {name} is gone")


COMMANDS = (pools_group,)
