"""create-...: tenants, keys, carriers with their endpoints, routes."""

from __future__ import annotations

from typing import Any

import click

from calls.access import SCOPES
from trunkline.cli import keys
from trunkline.cli.common import RATE, carrier_ids, changing, tell_no_calls
from trunkline.cli.tenants import checked_webhook_url


@click.command("create-tenant")
@click.argument("name")
@click.option("--webhook-url", help="where events go that have no address of their own")
@click.option("--weight", default=1, show_default=True, help="its share of a contested carrier")
def create_tenant(name: str, webhook_url: str | None, weight: int) -> None:
    """Create a tenant; prints its id and the secret that signs its webhooks."""
    import base64

    from store import tenants

    if webhook_url is not None:
        checked_webhook_url(webhook_url)
    with changing() as change:
        made = tenants.create(change.database, name=name, webhook_url=webhook_url, weight=weight)
        change.note("tenant.created", f"tenant:{name}", {"webhook_url": webhook_url, "weight": weight})
    click.echo(f"tenant {made.name} {made.id}")
    click.echo(f"webhook secret whsec_{base64.b64encode(made.webhook_secret).decode()}")
    click.echo(
        f"it dials nothing yet: trunkline tenants destinations allow {name} COUNTRY...;"
        f" trunkline tenants caller-ids add {name} NUMBER"
    )


@click.command("create-key")
@click.argument("tenant_name", metavar="TENANT")
@click.option("--name", default="", help="what the key is for")
@click.option("--days", type=click.IntRange(1, 3650), help="valid for so many days [default: until revoked]")
def create_key(tenant_name: str, name: str, days: int | None) -> None:
    """Create an API key of TENANT that may everything, and print it, this once. Less: trunkline keys create."""
    click.echo(keys.made(tenant_name, name, SCOPES, (), days))


@click.command("revoke-key")
@click.argument("key")
def revoke_key(key: str) -> None:
    """End an API key at once. KEY: the key itself, or its prefix (the part between tl_ and the next _)."""
    keys.revoked(key)


@click.command("create-carrier")
@click.argument("name")
@click.option("--channels", type=click.IntRange(0), required=True, help="calls at the same time, at most; 0: none")
@click.option("--cps", type=RATE, required=True, help="INVITEs per second, at most")
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
    """Create a carrier, or set all that one allows anew. To change one number: carriers set."""
    from store import carriers

    allows: dict[str, Any] = {
        "max_channels": channels,
        "cps": cps,
        "window_ms": window_ms,
        "invite_cost": invite_cost,
        "pdd_s": pdd_s,
        "jitter_ms": jitter_ms,
        "linger_ms": linger_ms,
    }
    with changing() as change:
        carrier = carriers.put_carrier(change.database, name=name, **allows)
        change.note("carrier.put", f"carrier:{name}", allows)
    click.echo(f"carrier {carrier.name} {carrier.id}")
    tell_no_calls(carrier.name, carrier.max_channels, carrier.cps)


@click.command("create-endpoint")
@click.argument("carrier")
@click.argument("gateway")
@click.argument("address")
@click.option("--disabled", is_flag=True, help="known, but not dialed")
def create_endpoint(carrier: str, gateway: str, address: str, disabled: bool) -> None:
    """Create or change an endpoint of CARRIER: the sofia GATEWAY that leads to its literal ADDRESS, ip:port."""
    from store import carriers

    with changing() as change:
        (carrier_id,) = carrier_ids(change.database, [carrier])
        endpoint = carriers.put_endpoint(
            change.database, carrier_id=carrier_id, gateway=gateway, address=address, enabled=not disabled
        )
        data = {"gateway": gateway, "address": address, "enabled": not disabled}
        change.note("endpoint.put", f"carrier:{carrier}", data)
    click.echo(f"endpoint {endpoint.gateway} -> {endpoint.address}")


@click.command("create-route")
@click.argument("name")
@click.option("--prefix", "prefixes", multiple=True, required=True, help="E.164 prefix without +; '' is every number")
@click.option("--carrier", "names", multiple=True, required=True, help="a carrier's name, in order of preference")
def create_route(name: str, prefixes: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Create or replace the route NAME: which numbers go to which carriers, each before the next. More: routes set."""
    from store import carriers

    with changing() as change:
        ids = carrier_ids(change.database, names)
        tiers = [carriers.Serving(carrier_id, tier=tier) for tier, carrier_id in enumerate(ids, 1)]
        carriers.put_route(change.database, name=name, prefixes=prefixes, carriers=tiers)
        change.note("route.put", f"route:{name}", {"prefixes": prefixes, "carriers": names})
    click.echo(f"route {name}: {', '.join(prefix or 'every number' for prefix in prefixes)} -> {', '.join(names)}")


COMMANDS = (create_tenant, create_key, revoke_key, create_carrier, create_endpoint, create_route)
