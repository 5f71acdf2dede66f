"""What the commands share: errors as one line, the database, numbers that may be ``none``, tables."""

from __future__ import annotations

import getpass
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import psycopg
import pydantic
import redis

from settings import Settings, environment_name, get_settings
from store.migrate import MigrationError
from store.pool import Database, open_database
from trunkline.guests import GuestRefused
from trunkline.private import ServerFailed
from trunkline.programs import NoServer
from trunkline.supervisor import ProcessFailed

if TYPE_CHECKING:
    from uuid import UUID

    from store.agents import Agent
    from store.carriers import CarrierLimits
    from store.changes import Change
    from store.tenants import Tenant

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not generic in every version we take

FIRST_CONNECTION_S = 5

#: What a user can do something about. Anything else is a fault of ours and keeps its traceback.
EXPECTED = (
    ValueError,
    MigrationError,
    psycopg.Error,
    redis.exceptions.RedisError,
    NoServer,
    ServerFailed,
    ProcessFailed,
    GuestRefused,
    TimeoutError,
)


def explain(error: Exception) -> str:
    """One line for the user; of a log's tail every line."""
    if isinstance(error, pydantic.ValidationError):
        return "; ".join(f"{_named(error.title, item['loc'])}: {item['msg']}" for item in error.errors())
    if isinstance(error, psycopg.OperationalError):
        return f"DATABASE_URL: no connection to Postgres: {' '.join(str(error).split())}"
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:  # not asked yet: the address is none
        return f"DATABASE_URL: {' '.join(str(error).split())}"
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "the database has no tables yet: run 'trunkline migrate'"
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return "the database is older than this version: run 'trunkline migrate'"
    if isinstance(error, redis.exceptions.RedisError):
        return f"REDIS_URL: {error}"
    if isinstance(error, (ProcessFailed, ServerFailed)):
        return str(error)
    return " ".join(str(error).split())


def _named(title: str, where: Sequence[int | str]) -> str:
    """Where the fault is; of a setting the environment's name."""
    name = ".".join(map(str, where))
    return environment_name(name) if title == Settings.__name__ else name


class Group(click.Group):
    """The outermost group: an error that a user can do something about ends as one line."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except EXPECTED as error:
            click.echo(f"trunkline: {explain(error)}", err=True)
            sys.exit(1)


@contextmanager
def database() -> Iterator[Database]:
    """The database of the environment's settings, connected."""
    settings = get_settings()
    # The pool would try again and again and keep the reason to its log; a person at a terminal wants it now.
    psycopg.connect(settings.database_url, connect_timeout=FIRST_CONNECTION_S).close()
    with open_database(settings, "cli", cooperative=False, wait_s=FIRST_CONNECTION_S) as db:
        yield db


@contextmanager
def changing() -> Iterator[Change]:
    """A change of the database and its line in the audit ledger, kept when the block ends without an error."""
    from store import changes

    with database() as db, changes.changing(db, actor()) as change:
        yield change


def note(db: Database, action: str, subject: str, data: Mapping[str, Any]) -> None:
    """A line in the audit ledger of what is about to be done in several transactions."""
    from store import changes

    with changes.changing(db, actor()) as change:
        change.note(action, subject, data)


def actor() -> str:
    """Who sits at the terminal, as far as the system knows."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return f"cli:uid-{os.getuid()}"


class _None:
    """Given as ``none``: the limit is to be cleared. Not the same as an option that was not given."""


NONE = _None()


class OrNone(ParamType):
    """What ``inner`` takes, or the word ``none``."""

    def __init__(self, inner: ParamType) -> None:
        self._inner = inner
        self.name = f"{inner.name}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return NONE if value == "none" else self._inner.convert(value, param, ctx)


class Rate(click.FloatRange):
    """A rate per second: 0 or more, and a number that can be counted to."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        rate = super().convert(value, param, ctx)
        if not math.isfinite(rate):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return rate


RATE = Rate()
COUNT_OR_NONE = OrNone(click.IntRange(0))
RATE_OR_NONE = OrNone(RATE)
TEXT_OR_NONE = OrNone(click.STRING)


def changed(what: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Of ``options`` those that were given, by the store's field names; NONE becomes None. ``ValueError`` if none was."""
    given = {field: None if value is NONE else value for field, value in options.items() if value is not None}
    if not given:
        raise ValueError(f"{what}: nothing to change: give at least one option, see --help")
    return given


def tenant(db: Database, name: str) -> Tenant:
    """The tenant of that name; ``ValueError`` with the remedy."""
    from store import tenants

    found = tenants.get_by_name(db, name)
    if found is None:
        raise ValueError(f"there is no tenant {name!r}: trunkline create-tenant {name}")
    return found


def agent(db: Database, tenant_name: str, name: str) -> Agent:
    """The tenant's agent of that name; ``ValueError`` with the remedy."""
    from store import agents

    found = agents.get_by_name(db, tenant(db, tenant_name).id, name)
    if found is None:
        raise ValueError(f"tenant {tenant_name} has no agent {name!r}: see trunkline agents list {tenant_name}")
    return found


def no_carrier(name: str) -> ValueError:
    """What to do about a carrier that does not exist."""
    return ValueError(f"there is no carrier {name!r}: trunkline create-carrier {name} --channels N --cps N")


def tell_no_calls(name: str, channels: int, cps: float) -> None:
    """Say so of a carrier through which nothing can be dialed, to whoever took 0 for any number."""
    for option, value in (("channels", channels), ("cps", cps)):
        if value == 0:
            remedy = f"trunkline carriers set {name} --{option} N"
            click.echo(
                f"no call goes through carrier {name}: {option} 0 is none, not any number; to change: {remedy}", err=True
            )


def carrier_ids(db: Database, names: Sequence[str]) -> list[UUID]:
    """The carriers' ids in the order of ``names``; ``ValueError`` with the remedy."""
    from store import carriers

    known: dict[str, CarrierLimits] = {carrier.name: carrier for carrier in carriers.list_limits(db)}
    for name in names:
        if name not in known:
            raise no_carrier(name)
    return [known[name].id for name in names]


JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="as JSON, for programs")


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """``rows`` as an aligned table of ``columns``, or all that is in them as JSON. What has no value is ``-``."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2, default=str))
        return
    cells = [[column.replace("_", " ") for column in columns]] + [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(map(len, place)) for place in zip(*cells, strict=True)]
    numbers = [bool(rows) and all(isinstance(row[column], int | float | None) for row in rows) for column in columns]
    for line in cells:
        places = zip(line, widths, numbers, strict=True)
        click.echo("  ".join(cell.rjust(w) if number else cell.ljust(w) for cell, w, number in places).rstrip())


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
