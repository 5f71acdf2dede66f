"""trunkline scopes: every limit that is not a carrier's own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

import click

from store.pool import Database
from trunkline.cli.common import COUNT_OR_NONE, JSON_OPTION, RATE_OR_NONE, changed, changing, database, show, tenant

COLUMNS = ("scope", "tenant", "channels", "cps", "window_ms", "weight")


@click.group("scopes")
def scopes_group() -> None:
    """Limits of everything but carriers. A change acts within a second.

    SCOPE is one of global, switch:NAME, account:NAME and ip:ADDRESS (what a carrier counts by), agents:POOL, and of a
    tenant, by its name or id: tenant:TENANT, campaign:TENANT:NAME, caller:TENANT:POOL.
    """


@scopes_group.command("list")
@JSON_OPTION
def list_scopes(as_json: bool) -> None:
    """Every scope that has a limit; - where it has none."""
    from store import scopes, tenants

    with database() as db:
        names = {one.id: one.name for one in tenants.list_tenants(db)}
        known = scopes.list_scopes(db)
    rows = []
    for scope in known:
        values = asdict(scope)
        del values["paused"]
        kind, _, rest = scope.scope.partition(":")
        owner = names.get(UUID(rest.partition(":")[0])) if kind in _OF_A_TENANT else None
        rows.append({**values, "channels": values.pop("max_channels"), "tenant": owner})
    show(rows, COLUMNS, as_json=as_json)


@scopes_group.command("set")
@click.argument("scope")
@click.option("--channels", "max_channels", type=COUNT_OR_NONE, help="calls at the same time, at most; none: no limit")
@click.option("--cps", type=RATE_OR_NONE, help="INVITEs per second, at most; none: no limit")
@click.option("--window-ms", type=click.IntRange(100, 60_000), help="ms; over how long they are counted")
@click.option("--weight", type=click.IntRange(1, 1000), help="a campaign's share of its tenant's turns")
def set_scope(scope: str, **options: Any) -> None:
    """Change what is given of SCOPE, and nothing else."""
    from store import scopes

    changes = changed("scopes set", options)
    with changing() as change:
        done = scopes.update(change.database, named(change.database, scope), **changes)
        change.note("limit.changed", f"limit:{done.scope}", changes)
    channels = "any number of" if done.max_channels is None else done.max_channels
    rate = "any" if done.cps is None else f"{done.cps:g}"
    click.echo(f"scope {done.scope}: {channels} channels, {rate} CPS in {done.window_ms} ms")


@scopes_group.command("remove")
@click.argument("scope")
def remove_scope(scope: str) -> None:
    """Take every limit off SCOPE."""
    from store import scopes

    with changing() as change:
        if not scopes.remove(change.database, named(change.database, scope)):
            raise ValueError(f"scope: {scope!r} has no limits: see trunkline scopes list")
        change.note("limit.removed", f"limit:{scope}", {})
    click.echo(f"scope {scope} has no limits any more")


_OF_A_TENANT = frozenset({"tenant", "campaign", "caller"})


def named(db: Database, scope: str) -> str:
    """``scope`` with its tenant's id where it names the tenant; ``ValueError`` with the remedy for an unknown tenant."""
    kind, _, rest = scope.partition(":")
    owner, colon, name = rest.partition(":")
    if kind not in _OF_A_TENANT or not owner:
        return scope
    try:
        UUID(owner)
    except ValueError:
        owner = str(tenant(db, owner).id)
    return f"{kind}:{owner}{colon}{name}"


COMMANDS = (scopes_group,)
