"""trunkline destinations: what nobody of this house dials, or every tenant may. docs/rules.md."""

from __future__ import annotations

from typing import Any

import click

from trunkline.cli.common import JSON_OPTION, changing, database, show
from trunkline.cli.tenant_rules import COLUMNS, MATCHES, RISK, rows, warn_of_class

SUBJECT = "house"


@click.group("destinations")
def destinations_group() -> None:
    """What holds for every tenant's destinations, beside its own list (trunkline tenants destinations)."""


@destinations_group.command("list")
@JSON_OPTION
def list_destinations(as_json: bool) -> None:
    """Every entry, with the class of risk of each country itself."""
    from store import house

    with database() as db:
        found = house.get(db).destinations
    show(rows(found), COLUMNS, as_json=as_json)
    if not found and not as_json:
        click.echo("nothing holds for all: each tenant's own list decides alone")


@destinations_group.command("allow")
@MATCHES
@click.option("--risk", type=RISK, default="low", show_default=True, help="numbers up to this class of risk")
def allow(matches: tuple[str, ...], risk: Any) -> None:
    """Let each tenant dial numbers of these countries and prefixes, unless its own list has an entry for the number."""
    from calls.destinations import Entry
    from store import house

    with changing() as change:
        house.allow(change.database, [Entry(match, risk=risk) for match in matches])
        change.note("house.destinations_allowed", SUBJECT, {"matches": matches, "risk": risk})
    click.echo(f"every tenant: {', '.join(matches)} allowed up to class {risk}")
    warn_of_class(matches, risk)


@destinations_group.command("deny")
@MATCHES
def deny(matches: tuple[str, ...]) -> None:
    """Nobody dials numbers of these, whatever a tenant's own list allows."""
    from calls.destinations import Entry
    from store import house

    with changing() as change:
        house.allow(change.database, [Entry(match, allow=False) for match in matches])
        change.note("house.destinations_denied", SUBJECT, {"matches": matches})
    click.echo(f"every tenant: {', '.join(matches)} excluded")


@destinations_group.command("remove")
@MATCHES
def remove(matches: tuple[str, ...]) -> None:
    """Take entries from the list; then each tenant's own list decides alone."""
    from store import house

    with changing() as change:
        house.forget(change.database, matches)
        change.note("house.destinations_removed", SUBJECT, {"matches": matches})
    click.echo(f"every tenant: {', '.join(matches)} removed")


COMMANDS = (destinations_group,)
