"""trunkline agents: whose calls are dialed, and whose wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from calls.ids import agent_ref
from trunkline.cli.common import JSON_OPTION, agent, changing, database, show, tenant

COLUMNS = ("name", "state", "held", "kind", "leads_to", "id")


@click.group("agents")
def agents_group() -> None:
    """Agents of a tenant. A pause acts at once."""


@agents_group.command("list")
@click.argument("tenant_name", metavar="TENANT")
@JSON_OPTION
def list_agents(tenant_name: str, as_json: bool) -> None:
    """Every agent of TENANT; held are calls that wait for a paused one."""
    from store import agents, overview

    with database() as db:
        owner = tenant(db, tenant_name)
        held = {one.agent_id: one.waiting for one in overview.paused_agents(db)}
        rows = [
            {
                "name": one.name,
                "state": "paused" if one.paused else "on",
                "held": held.get(one.id, 0),
                "kind": one.kind,
                "leads_to": one.url or one.number or one.audio or one.seats,
                "id": agent_ref(one.id),
            }
            for one in agents.list_agents(db, owner.id)
        ]
    show(rows, COLUMNS, as_json=as_json)


@agents_group.command("pause")
@click.argument("tenant_name", metavar="TENANT")
@click.argument("name", metavar="AGENT")
def pause(tenant_name: str, name: str) -> None:
    """Dial nothing new for AGENT of TENANT. Its calls keep their place, and expire when their time comes."""
    change(tenant_name, name, paused=True)


@agents_group.command("resume")
@click.argument("tenant_name", metavar="TENANT")
@click.argument("name", metavar="AGENT")
def resume(tenant_name: str, name: str) -> None:
    """Dial for AGENT of TENANT again."""
    change(tenant_name, name, paused=False)


def change(tenant_name: str, name: str, *, paused: bool) -> None:
    """Write it and say what is now."""
    from store import agents

    with changing() as change:
        agents.set_paused(change.database, agent(change.database, tenant_name, name).id, paused)
        change.note("agent.changed", f"agent:{tenant_name}/{name}", {"paused": paused})
    click.echo(f"agent {tenant_name}/{name}: {'paused' if paused else 'on'}")


@agents_group.command("rotate-secret")
@click.argument("tenant_name", metavar="TENANT")
@click.argument("name", metavar="AGENT")
@click.option("--overlap", "overlap_s", type=click.IntRange(0), default=86_400, show_default=True, help="s; signs after it")
def rotate_secret(tenant_name: str, name: str, overlap_s: int) -> None:
    """Give an agent a secret for its tokens, or a new one, and print it. Over the overlap the one of before signs."""
    from store import agents

    with changing() as change:
        found = agent(change.database, tenant_name, name)
        overlap = timedelta(seconds=overlap_s)
        made = agents.rotate_secret(change.database, found.tenant_id, found.id, datetime.now(UTC), overlap)
        if made is None:
            raise ValueError(f"agent {tenant_name}/{name}: only a websocket agent has a secret")
        change.note("agent.changed", f"agent:{tenant_name}/{name}", {"secret": "rotated", "overlap_s": overlap_s})
    click.echo(made)


COMMANDS = (agents_group,)
