"""The command line ``trunkline``. Every error is one line on stderr; exit status 1, or 2 for a wrong command line."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
import psycopg
import pydantic
import redis

from settings import get_settings
from store.migrate import MigrationError, migrate
from store.pool import Database, open_database
from trunkline.guests import GuestRefused
from trunkline.private import ServerFailed
from trunkline.programs import NoServer
from trunkline.supervisor import ProcessFailed

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
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    if isinstance(error, psycopg.OperationalError):
        return f"DATABASE_URL: no connection to Postgres: {' '.join(str(error).split())}"
    if isinstance(error, psycopg.errors.UndefinedTable):
        return "the database has no tables yet: run 'trunkline migrate'"
    if isinstance(error, redis.exceptions.RedisError):
        return f"REDIS_URL: {error}"
    if isinstance(error, (ProcessFailed, ServerFailed)):
        return str(error)
    return " ".join(str(error).split())


@contextmanager
def database() -> Iterator[Database]:
    """The database of the environment's settings, connected."""
    settings = get_settings()
    # The pool would try again and again and keep the reason to its log; a person at a terminal wants it now.
    psycopg.connect(settings.database_url, connect_timeout=FIRST_CONNECTION_S).close()
    with open_database(settings, "cli", cooperative=False, wait_s=FIRST_CONNECTION_S) as db:
        yield db


class _Group(click.Group):
    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except EXPECTED as error:
            click.echo(f"trunkline: {explain(error)}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trunkline")
def main() -> None:
    """Trunkline: calls placed by program through FreeSWITCH. Settings come from the environment: trunkline settings."""


@main.command("settings")
def show_settings() -> None:
    """Every setting with its environment name, default and meaning."""
    from settings import table

    click.echo(table())


@main.command("migrate")
def run_migrations() -> None:
    """Bring the database of DATABASE_URL up to date. Safe twice, and by two at once."""
    applied = migrate(get_settings().database_url)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to do")


@main.command("create-tenant")
@click.argument("name")
@click.option("--webhook-url", help="where events go that have no address of their own")
@click.option("--weight", default=1, show_default=True, help="its share of a contested carrier")
def create_tenant(name: str, webhook_url: str | None, weight: int) -> None:
    """Create a tenant; prints its id and the secret that signs its webhooks."""
    import base64

    from store import tenants

    with database() as db:
        tenant = tenants.create(db, name=name, webhook_url=webhook_url, weight=weight)
    click.echo(f"tenant {tenant.name} {tenant.id}")
    click.echo(f"webhook secret whsec_{base64.b64encode(tenant.webhook_secret).decode()}")


@main.command("create-key")
@click.argument("tenant")
@click.option("--name", default="", help="what the key is for")
@click.option("--days", type=click.IntRange(1, 3650), help="valid for so many days [default: until revoked]")
def create_key(tenant: str, name: str, days: int | None) -> None:
    """Create an API key of TENANT and print it, this once."""
    from store import keys

    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with database() as db:
        _, plaintext = keys.create(db, tenant_id=_tenant(db, tenant), name=name, expires_at=expires_at)
    click.echo(plaintext)


@main.command("revoke-key")
@click.argument("key")
def revoke_key(key: str) -> None:
    """End an API key at once. KEY: the key itself, or its prefix (the part between tl_ and the next _)."""
    from store import keys

    parsed = keys.parse_key(key)
    prefix = key.removeprefix("tl_").split("_", 1)[0] if parsed is None else parsed[0]
    with database() as db:
        if not keys.revoke(db, prefix, datetime.now(UTC)):
            raise ValueError(f"revoke-key: no key with the prefix {prefix!r} is in force")
    click.echo(f"tl_{prefix}_... is revoked")


@main.command("create-agent")
@click.argument("tenant")
@click.argument("name")
@click.option("--url", help="ws:// or wss:// address of a voice agent")
@click.option("--audio", help="or: name of a .wav file in the announcement directory, played without an agent")
def create_agent(tenant: str, name: str, url: str | None, audio: str | None) -> None:
    """Create an agent of TENANT: who talks to the callee. Prints its id as calls name it."""
    from calls.ids import agent_ref
    from store import agents

    if (url is None) == (audio is None):
        raise ValueError("create-agent: give either --url or --audio")
    with database() as db:
        agent = agents.create(
            db,
            tenant_id=_tenant(db, tenant),
            name=name,
            kind="websocket" if url is not None else "announcement",
            url=url,
            audio=audio,
        )
    click.echo(agent_ref(agent.id))


@main.command("create-carrier")
@click.argument("name")
@click.option("--channels", type=click.IntRange(0), required=True, help="calls at the same time, at most")
@click.option("--cps", type=click.FloatRange(0), required=True, help="INVITEs per second, at most")
@click.option("--window-ms", default=1000, show_default=True, help="ms; over how long the carrier counts them")
@click.option("--invite-cost", type=click.IntRange(1, 2), default=1, show_default=True, help="2 on a digest trunk")
@click.option("--pdd", "pdd_s", type=int, help="s; INVITE to first 18x [default: the setting]")
@click.option("--jitter-ms", type=int, help="ms; only widens the setting")
@click.option("--linger-ms", type=int, help="ms [default: the setting]")
def create_carrier(
    name: str,
    channels: int,
    cps: float,
    window_ms: int,
    invite_cost: int,
    pdd_s: int | None,
    jitter_ms: int | None,
    linger_ms: int | None,
) -> None:
    """Create or change a carrier and what it allows."""
    from store import carriers

    with database() as db:
        carrier = carriers.put_carrier(
            db,
            name=name,
            max_channels=channels,
            cps=cps,
            window_ms=window_ms,
            invite_cost=invite_cost,
            pdd_s=pdd_s,
            jitter_ms=jitter_ms,
            linger_ms=linger_ms,
        )
    click.echo(f"carrier {carrier.name} {carrier.id}")


@main.command("create-endpoint")
@click.argument("carrier")
@click.argument("gateway")
@click.argument("address")
@click.option("--disabled", is_flag=True, help="known, but not dialed")
def create_endpoint(carrier: str, gateway: str, address: str, disabled: bool) -> None:
    """Create or change an endpoint of CARRIER: the sofia GATEWAY that leads to its literal ADDRESS, ip:port."""
    from store import carriers

    with database() as db:
        endpoint = carriers.put_endpoint(
            db, carrier_id=_carriers(db, [carrier])[0], gateway=gateway, address=address, enabled=not disabled
        )
    click.echo(f"endpoint {endpoint.gateway} -> {endpoint.address}")


@main.command("create-route")
@click.argument("name")
@click.option("--prefix", "prefixes", multiple=True, required=True, help="E.164 prefix without +; '' is every number")
@click.option("--carrier", "names", multiple=True, required=True, help="a carrier's name, in order of preference")
def create_route(name: str, prefixes: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Create or replace the route NAME: which numbers go to which carriers."""
    from store import carriers

    with database() as db:
        ids = _carriers(db, names)
        tiers = [carriers.RouteCarrier(carrier_id, tier=tier) for tier, carrier_id in enumerate(ids, 1)]
        carriers.put_route(db, name=name, prefixes=prefixes, carriers=tiers)
    click.echo(f"route {name}: {', '.join(prefix or 'every number' for prefix in prefixes)} -> {', '.join(names)}")


@main.command("trace")
@click.argument("call", metavar="ID")
def trace_call(call: str) -> None:
    """Everything known of a call (call_...) or an attempt (its UUID), in order of time."""
    from store.trace import trace

    with database() as db:
        lines = trace(db, call)
    if not lines:
        raise ValueError(f"there is no call or attempt {call}")
    for line in lines:
        click.echo(line)


@main.command("demo")
@click.option("--exit", "leave", is_flag=True, help="end after the summary instead of staying up")
@click.option("--calls", "count", type=click.IntRange(1, 2000), default=120, show_default=True)
@click.option("--seed", default=1, show_default=True, help="chooses numbers and outcomes")
def run_demo(leave: bool, count: int, seed: int) -> None:
    """Everything on this machine against a lab switch and two lab carriers; nothing is left behind."""
    from trunkline.demo import demo

    sys.exit(demo(pathlib.Path.cwd(), calls=count, seed=seed, leave=leave))


@main.command("up")
@click.option("--procfile", type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path), default="Procfile")
def run_up(procfile: pathlib.Path) -> None:
    """Run the Procfile's processes with the settings of the environment, until Ctrl-C."""
    from trunkline.up import up

    sys.exit(up(procfile))


def _tenant(db: Database, name: str) -> UUID:
    from store import tenants

    tenant = tenants.get_by_name(db, name)
    if tenant is None:
        raise ValueError(f"there is no tenant {name!r}: trunkline create-tenant {name}")
    return tenant.id


def _carriers(db: Database, names: Sequence[str]) -> list[UUID]:
    from store import carriers

    known = {carrier.name: carrier.id for carrier in carriers.list_limits(db)}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no carrier {name!r}: trunkline create-carrier {name} --channels N --cps N")
    return [known[name] for name in names]
