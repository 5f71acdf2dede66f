"""trunkline suppressions: numbers that nobody of this house calls, or a tenant's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from trunkline.cli.common import JSON_OPTION, actor, database, show, tenant

if TYPE_CHECKING:
    from store.pool import Database
    from store.suppressions import Provenance

COLUMNS = ("number", "source", "list", "obtained", "by", "since", "lifted", "id")
TENANT = click.option("--tenant", "tenant_name", help="of this tenant alone [default: nobody of this house calls them]")
SOURCE = click.option("--source", required=True, help="where the wish was told, or is written")
LIST = click.option("--list", "list_name", help="name or edition of the list")
DATE = click.option("--date", "drawn", type=click.DateTime(["%Y-%m-%d"]), help="when the list was drawn [default: now]")
NOTE = click.option("--note", help="yours")


@click.group("suppressions")
def suppressions_group() -> None:
    """Numbers that are not called (docs/suppressions.md). A change acts at once, on calls that ring, too."""


@suppressions_group.command("add")
@click.argument("number")
@TENANT
@SOURCE
@LIST
@DATE
@NOTE
def add(
    number: str, tenant_name: str | None, source: str, list_name: str | None, drawn: datetime | None, note: str | None
) -> None:
    """Nobody calls NUMBER from now on."""
    from store import suppressions

    e164 = _number(number)
    with database() as db:
        now = datetime.now(UTC)
        whence = _whence("operator", source, list_name, drawn, note, now)
        entry, added = suppressions.add(db, _owner(db, tenant_name), e164, whence, now)
    word = "suppressed" if added.new else "was suppressed already"
    click.echo(f"number {entry.number} {word}: {entry.id}; {added.ended} calls ended")


@suppressions_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@TENANT
@SOURCE
@LIST
@DATE
@NOTE
def import_list(
    file: Path, tenant_name: str | None, source: str, list_name: str | None, drawn: datetime | None, note: str | None
) -> None:
    """Nobody calls the numbers of FILE, one a line (of a CSV the first column), however many there are.

    Lines that are no number are named on stderr and left out; the exit status is 1 then.
    """
    from store import suppressions

    wrong, numbers = 0, list[str]()
    for position, text in _lines(file):
        try:
            numbers.append(_number(text))
        except ValueError as error:
            wrong += 1
            click.echo(f"line {position}: {error}", err=True)
    with database() as db:
        now, owner = datetime.now(UTC), _owner(db, tenant_name)
        whence = _whence("import", source, list_name, drawn, note, now)
        new = ended = 0
        for start in range(0, len(numbers), suppressions.IMPORT_MOST):
            added = suppressions.add_all(db, owner, numbers[start : start + suppressions.IMPORT_MOST], whence, now)
            new, ended = new + added.new, ended + added.ended
    click.echo(f"{new} numbers suppressed, {len(numbers) - new} were already, {wrong} left out; {ended} calls ended so far")
    if wrong:
        raise SystemExit(1)


@suppressions_group.command("list")
@TENANT
@click.option("--number", help="only of this number")
@click.option("--lifted", is_flag=True, help="entries that hold no more, too")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="the latest so many")
@JSON_OPTION
def list_entries(tenant_name: str | None, number: str | None, lifted: bool, limit: int, as_json: bool) -> None:
    """The latest entries, newest first."""
    from store import suppressions

    with database() as db:
        wanted = None if number is None else _number(number)
        found = suppressions.list_page(db, _owner(db, tenant_name), limit, number=wanted, lifted=lifted)
    rows = [
        {
            "number": one.number,
            "source": one.source,
            "list": one.list_name,
            "obtained": f"{one.obtained_at.astimezone(UTC):%Y-%m-%d}",
            "by": one.created_by,
            "since": f"{one.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "lifted": None if one.lifted_at is None else f"{one.lifted_by}: {one.lifted_reason}",
            "id": str(one.id),
        }
        for one in found
    ]
    show(rows, COLUMNS, as_json=as_json)


@suppressions_group.command("lift")
@click.argument("entry", type=click.UUID)
@TENANT
@click.option("--reason", required=True, help="why the number may be called again; it is kept")
def lift(entry: UUID, tenant_name: str | None, reason: str) -> None:
    """ENTRY (its id) holds no more; it is kept, with who lifted it and why."""
    from store import suppressions

    with database() as db:
        done = suppressions.lift(db, _owner(db, tenant_name), entry, by=actor(), reason=reason[:500], now=datetime.now(UTC))
    if done is None:
        raise ValueError(f"there is no entry {entry} there: see trunkline suppressions list, and --tenant")
    click.echo(f"number {done.number}: lifted by {done.lifted_by}: {done.lifted_reason}")


def _owner(db: Database, name: str | None) -> UUID | None:
    return None if name is None else tenant(db, name).id


def _whence(
    origin: str, source: str, list_name: str | None, drawn: datetime | None, note: str | None, now: datetime
) -> Provenance:
    from store.suppressions import Provenance

    for option, text, most in (("--source", source, 200), ("--list", list_name, 100), ("--note", note, 500)):
        if text is not None and not 1 <= len(text) <= most:
            raise ValueError(f"{option}: must have 1 to {most} characters")
    obtained = now if drawn is None else drawn.replace(tzinfo=UTC)
    return Provenance(origin, source, obtained, actor(), list_name=list_name, note=note)


def _number(text: str) -> str:
    """As it is kept. Errors: ``ValueError`` that says what is wrong and what would be right."""
    from calls.numbers import NumberError, parse_suppressed

    try:
        return parse_suppressed(text.strip())
    except NumberError as error:
        raise ValueError(f"number: {text!r:.40}: {error.detail}") from None


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The first column of each line that has something in it; a heading is left out."""
    with file.open(encoding="utf-8-sig") as lines:
        for position, line in enumerate(lines, 1):
            text = line.replace(";", ",").partition(",")[0].strip().strip('"').strip()
            if text and not (position == 1 and not any(char.isdigit() for char in text)):
                yield position, text


COMMANDS = (suppressions_group,)
