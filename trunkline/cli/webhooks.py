"""``trunkline listen``, and a new secret for an account's own webhooks."""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime, timedelta

import click

from trunkline.cli.common import database


@click.command("listen")
@click.option("--forward", required=True, metavar="URL", help="where to POST on this machine: http://localhost:3000/hooks")
@click.option(
    "--api",
    envvar="TRUNKLINE_API",
    default="http://127.0.0.1:8080",
    show_default=True,
    metavar="URL",
    help="the API's address",
)
@click.option(
    "--key",
    envvar="TRUNKLINE_API_KEY",
    show_envvar=True,
    required=True,
    help="an API key with the scope webhooks:manage; better in the environment than here",
)
@click.option("--events", default="", metavar="TYPES", help="types, separated by commas; all of them where none is named")
def listen(forward: str, api: str, key: str, events: str) -> None:
    """Forward an account's webhooks to this machine, signed, until Ctrl-C. No port need be open.

    It asks the API for them; endpoints go on being told. What happens while it is not running is not kept for it.
    """
    from trunkline.listen import Listener, Place

    for name, url in (("--forward", forward), ("--api", api)):
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter(f"{url!r} does not begin with http:// or https://", param_hint=name)
    types = [one.strip() for one in events.split(",") if one.strip()]
    try:
        Listener(Place(api, key, forward, types), click.echo).run()
    except KeyboardInterrupt:
        sys.exit(0)


@click.command("rotate-webhook-secret")
@click.argument("tenant")
@click.option("--overlap-h", type=click.FloatRange(0, 168), default=24.0, show_default=True, help="h; both secrets sign")
def rotate_webhook_secret(tenant: str, overlap_h: float) -> None:
    """A new secret for TENANT's own webhook address, and for the addresses that its calls name. Printed once."""
    from store import tenants, webhook_endpoints

    with database() as db:
        found = tenants.get_by_name(db, tenant)
        if found is None:
            raise ValueError(f"there is no tenant {tenant}")
        secret = webhook_endpoints.rotate_account(db, found.id, timedelta(hours=overlap_h), datetime.now(UTC))
    click.echo(f"webhook secret whsec_{base64.b64encode(secret).decode()}")


COMMANDS = (listen, rotate_webhook_secret)
