"""trunkline keys, operator-keys: who may ask the API for what, and from where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from calls.access import SCOPES, networks
from trunkline.cli.common import JSON_OPTION, changing, database, show, tenant

if TYPE_CHECKING:
    from calls.access import Mode
    from store.keys import ApiKey
    from store.operator_keys import OperatorKey

COLUMNS = ("prefix", "name", "mode", "status", "scopes", "allowed_ips", "expires_at", "last_used_at")
OPERATOR_COLUMNS = ("prefix", "name", "status", "allowed_ips", "expires_at", "last_used_at")
DAYS = click.option("--days", type=click.IntRange(1, 3650), help="valid for so many days [default: until revoked]")
IPS = click.option("--ip", "ips", multiple=True, metavar="CIDR", help="only from there; several times [default: anywhere]")


@click.group("keys")
def keys_group() -> None:
    """API keys of tenants: docs/keys.md. A change acts on the next request."""


@keys_group.command("list")
@click.argument("tenant_name", metavar="TENANT")
@JSON_OPTION
def list_keys(tenant_name: str, as_json: bool) -> None:
    """Every key of TENANT, oldest first; those that are over too."""
    from store import keys
    from store.key_text import shown

    now = datetime.now(UTC)
    with database() as db:
        found = keys.list_keys(db, tenant(db, tenant_name).id)
    rows = [
        {**_row(one, now), "prefix": shown(one.mode, one.prefix), "mode": one.mode, "scopes": " ".join(one.scopes)}
        for one in found
    ]
    show(rows, COLUMNS, as_json=as_json)


def _row(one: ApiKey | OperatorKey, now: datetime) -> dict[str, Any]:
    ended = "revoked" if one.revoked_at is not None else "expired" if one.expires_at and one.expires_at <= now else "active"
    times = {name: getattr(one, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {
        "name": one.name,
        "status": ended,
        "allowed_ips": " ".join(str(net) for net in one.allowed_ips or []),
        **{name: None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for name, at in times.items()},
        "id": str(one.id),
    }


@keys_group.command("create")
@click.argument("tenant_name", metavar="TENANT")
@click.option("--name", default="", help="what it is for; one key of a name is in force")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="several times [default: all]")
@click.option("--test", is_flag=True, help="a test key: its calls go to the laboratory (docs/test-keys.md)")
@IPS
@DAYS
def create_key(
    tenant_name: str, name: str, scopes: tuple[str, ...], test: bool, ips: tuple[str, ...], days: int | None
) -> None:
    """Create an API key of TENANT and print it, this once."""
    click.echo(made(tenant_name, name, scopes or None, ips, days, "test" if test else "live"))


def made(
    tenant_name: str,
    name: str,
    scopes: tuple[str, ...] | None,
    ips: tuple[str, ...],
    days: int | None,
    mode: Mode = "live",
) -> str:
    """The text of a new key. ``scopes`` None: all that a key of the mode may have."""
    from store import keys

    with changing() as change:
        key, plaintext = keys.create(
            change.database,
            tenant_id=tenant(change.database, tenant_name).id,
            name=name,
            scopes=scopes,
            allowed_ips=networks(ips) or None,
            expires_at=_end(days),
            mode=mode,
        )
        data = {"tenant": tenant_name, "name": name, "scopes": key.scopes, "mode": mode, "allowed_ips": list(ips) or None}
        change.note("key.created", f"key:{key.prefix}", data)
    return plaintext


def _end(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


@keys_group.command("rotate")
@click.argument("tenant_name", metavar="TENANT")
@click.argument("key")
@click.option("--old-hours", type=click.FloatRange(0, 24 * 30), help="the old key ends after that [default: when revoked]")
def rotate_key(tenant_name: str, key: str, old_hours: float | None) -> None:
    """Have KEY (its prefix) of TENANT followed by a second one that may the same; prints that, this once."""
    from store import keys
    from store.key_text import prefix_of

    now, prefix = datetime.now(UTC), prefix_of(key)
    with changing() as change:
        owner = tenant(change.database, tenant_name)
        found = next((one for one in keys.list_keys(change.database, owner.id) if one.prefix == prefix), None)
        if found is None:
            raise ValueError(f"tenant {tenant_name} has no key {prefix!r}: see trunkline keys list {tenant_name}")
        old_expires_at = None if old_hours is None else now + timedelta(hours=old_hours)
        done = keys.rotate(change.database, tenant_id=owner.id, key_id=found.id, now=now, old_expires_at=old_expires_at)
        assert done is not None
        change.note("key.rotated", f"key:{prefix}", {"tenant": tenant_name, "new": done[1].prefix, "old_hours": old_hours})
    click.echo(done[2])


@keys_group.command("revoke")
@click.argument("key")
def revoke_key(key: str) -> None:
    """End an API key at once. KEY: the key itself, or its prefix (the part between tl_ and the next _)."""
    revoked(key)


def revoked(key: str) -> None:
    """End it and say so."""
    from store import keys
    from store.key_text import prefix_of

    prefix = prefix_of(key)
    with changing() as change:
        if not keys.revoke(change.database, prefix, datetime.now(UTC)):
            raise ValueError(f"no key with the prefix {prefix!r} is in force: see trunkline keys list TENANT")
        change.note("key.revoked", f"key:{prefix}", {})
    click.echo(f"tl_{prefix}_... is revoked")


@click.group("operator-keys")
def operator_keys_group() -> None:
    """Keys to /v1/operator, for those who run the platform: docs/operator-api.md."""


@operator_keys_group.command("list")
@JSON_OPTION
def list_operator_keys(as_json: bool) -> None:
    """Every operator's key, oldest first; those that are over too."""
    from store import operator_keys
    from store.key_text import shown

    now = datetime.now(UTC)
    with database() as db:
        rows = [{**_row(one, now), "prefix": shown("operator", one.prefix)} for one in operator_keys.list_keys(db)]
    show(rows, OPERATOR_COLUMNS, as_json=as_json)


@operator_keys_group.command("create")
@click.argument("name")
@IPS
@DAYS
def create_operator_key(name: str, ips: tuple[str, ...], days: int | None) -> None:
    """Create a key of the operator NAME (whose, or what for: the audit ledger has it) and print it, this once."""
    from store import operator_keys

    with changing() as change:
        key, plaintext = operator_keys.create(
            change.database, name=name, allowed_ips=networks(ips) or None, expires_at=_end(days)
        )
        change.note("operator_key.created", f"operator_key:{key.prefix}", {"name": name, "allowed_ips": list(ips) or None})
    click.echo(plaintext)


@operator_keys_group.command("revoke")
@click.argument("key")
def revoke_operator_key(key: str) -> None:
    """End an operator's key at once. KEY: the key itself, or its prefix."""
    from store import operator_keys
    from store.key_text import prefix_of

    prefix = prefix_of(key)
    with changing() as change:
        if not operator_keys.revoke(change.database, prefix, datetime.now(UTC)):
            raise ValueError(f"no operator's key with the prefix {prefix!r} is in force: see trunkline operator-keys list")
        change.note("operator_key.revoked", f"operator_key:{prefix}", {})
    click.echo(f"tlo_{prefix}_... is revoked")


COMMANDS = (keys_group, operator_keys_group)
