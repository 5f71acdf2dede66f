"""trunkline carriers: what each allows and how it wants its calls. Their gateways: cli/gateways.py."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from trunkline.cli import trunk_options
from trunkline.cli.common import (
    COUNT_OR_NONE,
    JSON_OPTION,
    RATE,
    TEXT_OR_NONE,
    OrNone,
    changed,
    changing,
    database,
    no_carrier,
    show,
    tell_no_calls,
)

COLUMNS = (
    "name", "state", "channels", "cps", "window_ms", "invite_cost", "account", "source_ip", "urgent_share", "bulk_floor",
    "inbound", "jitter_ms", "linger_ms", "pdd_s", "gateways",
)  # fmt: skip


@click.group("carriers")
def carriers_group() -> None:
    """Carriers and what they allow. A change acts within a second."""


LIVE = ("name", "state", "in_use", "cps_now", "cps", "next_ms", "waiting", "asked_s", "health", "held_by")


@carriers_group.command("list")
@click.option("--live", is_flag=True, help="what each is doing just now: calls in use, rate, who waits, what holds it")
@JSON_OPTION
def list_carriers(live: bool, as_json: bool) -> None:
    """Every carrier with its numbers; - where the setting or no limit holds."""
    with database() as db:
        rows = configured(db)
        if live:
            now = at_work(db)
            rows = [{**row, **now.get(row["id"], {})} for row in rows]
    show(rows, LIVE if live else COLUMNS, as_json=as_json)


def at_work(db: Any) -> dict[Any, dict[str, Any]]:
    """By carrier id, what the budget says of it just now. Raises RedisError when Redis is away."""
    from budget import explain
    from budget.connect import connect
    from settings import get_settings
    from store import carriers, tenants
    from trunkline.why_words import Names, live_columns

    names = Names({c.id: c.name for c in carriers.list_limits(db)}, {t.id: t.name for t in tenants.list_tenants(db)})
    redis = connect(get_settings())
    try:
        return {now.carrier_id: live_columns(now, names) for now in explain.carriers(redis, list(names.carriers))}
    finally:
        redis.close()


def configured(db: Any) -> list[dict[str, Any]]:
    """A row per carrier of what is set for it, by name. What it is doing now may be put beside it, by ``id``."""
    from store import carriers

    endpoints = carriers.list_endpoints(db)
    rows = []
    for carrier in carriers.list_limits(db):
        values = asdict(carrier)
        gateways = [end.gateway + ("" if end.enabled else " (off)") for end in endpoints if end.carrier_id == carrier.id]
        state = "paused" if values.pop("paused") else "on"
        kept = f"reserved {carrier.inbound_reserved}" if carrier.inbound_reserved else "counted"
        values["inbound"] = kept if carrier.counts_inbound else "not counted"
        rows.append({**values, "state": state, "channels": values.pop("max_channels"), "gateways": ", ".join(gateways)})
    return rows


@carriers_group.command("set")
@click.argument("name")
@click.option("--channels", "max_channels", type=click.IntRange(0), help="calls at the same time, at most; 0: none")
@click.option("--cps", type=RATE, help="INVITEs per second, at most")
@click.option("--window-ms", type=click.IntRange(100, 60_000), help="ms; over how long the carrier counts them")
@click.option("--account", type=TEXT_OR_NONE, help="it also counts by this account: see scopes set account:NAME")
@click.option("--source-ip", type=TEXT_OR_NONE, help="it also counts by the address we call from: scopes set ip:ADDRESS")
@click.option("--urgent-share", type=click.FloatRange(0, 1), help="of its slots, for one tenant's urgent calls at most")
@click.option("--bulk-floor", type=click.FloatRange(0, 0.5), help="of its slots, for bulk calls at least")
@click.option("--linger-ms", type=COUNT_OR_NONE, help="ms an ended call still counts; none: the setting")
@click.option("--jitter-ms", type=COUNT_OR_NONE, help="ms; only widens the setting; none: the setting")
@click.option("--pdd", "pdd_s", type=OrNone(click.IntRange(1, 120)), help="s; INVITE to first 18x; none: the setting")
@click.option("--counts-inbound/--no-counts-inbound", default=None, help="whether calls it places to us take its channels")
@click.option("--inbound-reserved", type=click.IntRange(0), help="channels that calls of ours never take")
@click.option("--invite-cost", type=click.IntRange(1, 2), help="2 on a digest trunk")
@trunk_options.sip_options
def set_carrier(name: str, **options: Any) -> None:
    """Change what is given of carrier NAME, and nothing else.

    It acts within a second, but for what is a gateway's own (address, transport, authentication, From, OPTIONS): that acts
    when it is applied (trunkline carriers apply), without touching a live call.
    """
    change(name, changed("carriers set", trunk_options.read(options)))


@carriers_group.command("show")
@click.argument("name")
@JSON_OPTION
def show_carrier(name: str, as_json: bool) -> None:
    """Everything that is set for carrier NAME, one thing a line."""
    from store import trunks

    with database() as db:
        row = next((row for row in configured(db) if row["name"] == name), None)
        trunk = trunks.get(db, name)
        if row is None or trunk is None:
            raise no_carrier(name)
        rows = [{"what": what, "is": value} for what, value in {**row, **asdict(trunk)}.items() if what != "id"]
    if as_json:
        click.echo(json.dumps({row["what"]: row["is"] for row in rows}, indent=2, default=str))
    else:
        show([{**row, "is": _plain(row["is"])} for row in rows], ("what", "is"), as_json=False)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(json.dumps(item) if isinstance(item, dict) else str(item) for item in value)
    return value


@carriers_group.command("pause")
@click.argument("name")
def pause(name: str) -> None:
    """Dial nothing new through carrier NAME."""
    change(name, {"paused": True})


@carriers_group.command("resume")
@click.argument("name")
def resume(name: str) -> None:
    """Dial through carrier NAME again."""
    change(name, {"paused": False})


def change(name: str, changes: dict[str, Any]) -> None:
    """Write the changes and say what is now."""
    from store import carrier_set

    with changing() as change:
        carrier = carrier_set.change(change.database, name, changes)
        if carrier is None:
            raise no_carrier(name)
        change.note("carrier.changed", f"carrier:{name}", changes)
    state = "paused" if carrier.paused else "on"
    click.echo(
        f"carrier {carrier.name}: {carrier.max_channels} channels, {carrier.cps:g} CPS in {carrier.window_ms} ms, {state}"
    )
    tell_no_calls(carrier.name, carrier.max_channels, carrier.cps)


COMMANDS = (carriers_group,)
