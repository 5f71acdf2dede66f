"""trunkline trunks: ways to switchboards, by name, for agents of kind sip."""

from __future__ import annotations

import click

from trunkline.cli.common import JSON_OPTION, carrier_ids, changing, database, show, tenant

COLUMNS = ("trunk", "tenant", "carriers")


@click.group("trunks")
def trunks_group() -> None:
    """Trunks that agents of kind sip may be reached by, whatever route leads to their number."""


@trunks_group.command("list")
@JSON_OPTION
def list_trunks(as_json: bool) -> None:
    """Every trunk, whose agents may have it, and the carrier that leads there."""
    from store import agent_trunks, tenants

    with database() as db:
        names = {one.id: one.name for one in tenants.list_tenants(db)}
        rows = [
            {
                "trunk": one.name,
                "tenant": None if one.tenant_id is None else names.get(one.tenant_id),
                "carriers": ", ".join(one.carriers),
            }
            for one in agent_trunks.list_trunks(db)
        ]
    show(rows, COLUMNS, as_json=as_json)


@trunks_group.command("set")
@click.argument("name", metavar="TRUNK")
@click.option("--carrier", required=True, help="that leads there: see trunkline carriers")
@click.option("--tenant", "owner", required=True, help="its agents alone may have it; all: everybody's")
def set_trunk(name: str, carrier: str, owner: str) -> None:
    """Make TRUNK, or let it lead elsewhere. Its tenant chooses what is dialed there, in place of a number."""
    from store import agent_trunks

    with changing() as change:
        (carrier_id,) = carrier_ids(change.database, [carrier])
        whose = None if owner == "all" else tenant(change.database, owner).id
        done = agent_trunks.put(change.database, name, carrier_id=carrier_id, tenant_id=whose)
        noted = {"carrier": carrier, "tenant_id": None if whose is None else str(whose)}
        change.note("trunk.changed", f"trunk:{done.name}", noted)
    click.echo(f"trunk {done.name}: by carrier {carrier}, {'for everybody' if whose is None else f'for {owner} alone'}")


@trunks_group.command("remove")
@click.argument("name", metavar="TRUNK")
def remove_trunk(name: str) -> None:
    """Remove TRUNK, which no agent has."""
    from store import agent_trunks

    with changing() as change:
        if not agent_trunks.remove(change.database, name):
            raise ValueError(f"trunk: there is no {name!r}: see trunkline trunks list")
        change.note("trunk.removed", f"trunk:{name}", {})
    click.echo(f"trunk {name} is gone")


COMMANDS = (trunks_group,)
