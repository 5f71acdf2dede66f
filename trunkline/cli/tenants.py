"""trunkline tenants: the enterprises, their shares and bounds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from settings import get_settings
from trunkline.cli.common import (
    COUNT_OR_NONE,
    JSON_OPTION,
    NONE,
    RATE_OR_NONE,
    TEXT_OR_NONE,
    changed,
    changing,
    database,
    show,
    tenant,
)

COLUMNS = ("name", "state", "weight", "channels", "cps", "queued", "max_queued", "requests_per_s", "webhook_url", "id")


@click.group("tenants")
def tenants_group() -> None:
    """Tenants and what they may do. A change acts within a second."""


@tenants_group.command("list")
@JSON_OPTION
def list_tenants(as_json: bool) -> None:
    """Every tenant with its limits and what it has queued; - where the setting or no limit holds."""
    from store import backlog, scopes, tenants

    with database() as db:
        known = tenants.list_tenants(db)
        queued = backlog.all_queued(db)
        limits = scopes.get_scopes(db, [scopes.tenant_scope(one.id) for one in known])
    rows = []
    for one in known:
        scope = limits.get(scopes.tenant_scope(one.id))
        rows.append(
            {
                "name": one.name,
                "state": "paused" if one.paused else "on",
                "weight": one.weight,
                "channels": None if scope is None else scope.max_channels,
                "cps": None if scope is None else scope.cps,
                "queued": queued.get(one.id, 0),
                "max_queued": one.max_queued,
                "requests_per_s": one.requests_per_s,
                "webhook_url": one.webhook_url,
                "id": str(one.id),
                "canceled_before": one.canceled_before,
                "recording": one.recording,
                "recording_allowed": one.recording_allowed,
                "recording_notice": one.recording_notice,
                "recording_days": one.recording_days,
            }
        )
    show(rows, COLUMNS, as_json=as_json)


@tenants_group.command("set")
@click.argument("name")
@click.option("--weight", type=click.IntRange(1, 1000), help="its share of a contested carrier")
@click.option("--channels", "max_channels", type=COUNT_OR_NONE, help="calls at the same time, at most; none: no limit")
@click.option("--cps", type=RATE_OR_NONE, help="calls dialed per second, at most; none: no limit")
@click.option("--max-queued", type=COUNT_OR_NONE, help="calls queued, at most; none: the setting")
@click.option("--requests-per-s", type=RATE_OR_NONE, help="API requests per second, at most; none: the setting")
@click.option("--webhook-url", type=TEXT_OR_NONE, help="where events go that have no address of their own")
@click.option("--recording", type=click.Choice(["off", "answer", "after_notice"]), help="of calls that do not say")
@click.option(
    "--recording-allowed", type=click.Choice(["none", "after_notice", "any"]), help="what a call may ask for at most"
)
@click.option("--recording-notice", type=TEXT_OR_NONE, help="file of the announcement directory; none: the agent gives it")
@click.option("--recording-days", type=COUNT_OR_NONE, help="recordings are kept so long; none: the setting")
def set_tenant(name: str, **options: Any) -> None:
    """Change what is given of tenant NAME, and nothing else."""
    if options["webhook_url"] not in (None, NONE):
        checked_webhook_url(options["webhook_url"])
    change(name, changed("tenants set", options))


@tenants_group.command("pause")
@click.argument("name")
def pause(name: str) -> None:
    """Dial nothing new for tenant NAME. Its calls wait, and expire when their time comes."""
    change(name, {"paused": True})


@tenants_group.command("resume")
@click.argument("name")
def resume(name: str) -> None:
    """Dial for tenant NAME again."""
    change(name, {"paused": False})


@tenants_group.command("cancel-queued")
@click.argument("name")
def cancel_queued(name: str) -> None:
    """Cancel all calls that tenant NAME has queued. None of them is dialed from now on; they end within moments."""
    from store import backlog, tenants

    with changing() as change:
        found = tenant(change.database, name)
        count = backlog.queued(change.database, found.id)
        mark = tenants.cancel_queued(change.database, found.id, datetime.now(UTC))
        change.note("tenant.queue_canceled", f"tenant:{name}", {"queued": count})
    assert mark is not None
    click.echo(f"tenant {name}: {count} queued, all accepted until {mark:%Y-%m-%d %H:%M:%S} UTC are canceled")


def change(name: str, changes: dict[str, Any]) -> None:
    """Write the changes and say what is now."""
    from store import tenants

    with changing() as change:
        done = tenants.update(change.database, name, **changes)
        if done is None:
            tenant(change.database, name)
            return
        change.note("tenant.changed", f"tenant:{name}", changes)
    click.echo(f"tenant {done.name}: weight {done.weight}, {'paused' if done.paused else 'on'}")


def checked_webhook_url(url: str) -> None:
    """``ValueError`` for an address that the API would not take for a call."""
    from marshmallow import ValidationError

    from web.api.urls import WEBHOOK_SCHEMES, check_url

    try:
        check_url(url, WEBHOOK_SCHEMES, private=get_settings().webhook_allow_private)
    except ValidationError as error:
        raise ValueError(f"--webhook-url: {error.messages[0]}") from error


COMMANDS = (tenants_group,)
