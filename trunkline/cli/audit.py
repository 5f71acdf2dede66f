"""trunkline audit: the ledger of who did what (docs/audit.md)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from trunkline.cli.common import JSON_OPTION, actor, database, show

COLUMNS = ("place", "at", "actor", "action", "subject", "data")


@click.group("audit")
def audit_group() -> None:
    """Who did what, in a chain that shows whatever is changed or taken away later."""


@audit_group.command("verify")
@click.option("--head", "noted", metavar="PLACE:HASH", help="as an earlier verify printed it: it must still be there")
@click.option("--decisions", "also", is_flag=True, help="compare the decisions kept with attempts, too")
def verify(noted: str | None, also: bool) -> None:
    """Look through the whole chain. Exit status 1 where anything does not hold. Note the head that it prints elsewhere."""
    from store import audit, decisions
    from store.audit import Head

    with database() as db:
        found = audit.verify(db, None if noted is None else Head.read(noted))
        faults = [*found.faults, *(decisions.verify(db) if also else ())]
    for fault in faults:
        click.echo(f"place {fault.place}: {fault.what}")
    click.echo(f"{found.sealed} entries, {found.erased} with erased personal data, {found.waiting} not sealed yet")
    if found.head is not None:
        click.echo(f"head {found.head}")
    if faults:
        raise SystemExit(1)
    click.echo("the chain holds")


@audit_group.command("list")
@click.option("--actor", "who", help="only by them")
@click.option("--action", help="only this kind")
@click.option("--subject", help="only of this")
@click.option("--since", type=click.DateTime(), help="UTC")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="the latest so many")
@JSON_OPTION
def list_entries(
    who: str | None, action: str | None, subject: str | None, since: datetime | None, limit: int, as_json: bool
) -> None:
    """The latest entries, newest first; - is the place of one that is not sealed yet."""
    from store import audit

    utc = None if since is None else since.replace(tzinfo=UTC)
    with database() as db:
        found = audit.list_entries(db, limit, actor=who, action=action, subject=subject, since=utc)
        personal = audit.personal_of(db, found)
    rows: list[dict[str, Any]] = []
    for one in found:
        data = json.dumps({**one.data, **personal.get(one.id, {})}, ensure_ascii=False, sort_keys=True)
        rows.append(
            {
                "place": one.place,
                "at": f"{one.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
                "actor": one.actor,
                "action": one.action,
                "subject": one.subject,
                "data": json.loads(data) if as_json else data if len(data) <= 120 else f"{data[:117]}...",
                "id": str(one.id),
            }
        )
    show(rows, COLUMNS, as_json=as_json)


@audit_group.command("export")
@click.option("--after", type=click.IntRange(0), default=0, help="only entries behind this place")
@click.option("--personal", is_flag=True, help="with personal data, and the salts under which they are hashed")
def export(after: int, personal: bool) -> None:
    """Every sealed entry as a line of JSON, in order, with all that its hash is made of: docs/audit.md says how."""
    from store import audit

    with database() as db:
        for line in audit.export(db, after, personal=personal):
            click.echo(json.dumps(line, ensure_ascii=False, sort_keys=True))


@audit_group.command("erase")
@click.option("--entry", type=click.UUID, help="the personal data of this entry, by its id")
@click.option("--number", help="of every entry that holds this number (E.164)")
def erase(entry: UUID | None, number: str | None) -> None:
    """Erase personal data. The chain goes on holding, and that it was done becomes an entry."""
    from store import audit

    if (entry is None) == (number is None):
        raise ValueError("audit erase: give --entry or --number")
    with database() as db:
        count = audit.erase(db, actor=actor(), entry=entry, holding=None if number is None else {"numbers": [number]})
    click.echo(f"personal data of {count} entries erased")


COMMANDS = (audit_group,)
