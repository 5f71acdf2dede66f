"""trunkline carriers endpoint, render, apply, diff, preview, test-call: from a carrier's rows to the switches' gateways."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from trunkline.cli.carriers import carriers_group
from trunkline.cli.common import JSON_OPTION, carrier_ids, changing, database, no_carrier, note, show

if TYPE_CHECKING:
    from calls.trunk import Trunk
    from store.gateways import Kind, Order
    from store.pool import Database

#: s; between two looks whether an order was carried out.
LOOK_S = 0.1
DRIFT = ("switch", "gateway", "what", "detail")
WAIT = click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=20.0, show_default=True, help="s; for the switches"
)


@carriers_group.command("endpoint")
@click.argument("carrier")
@click.argument("name")
@click.argument("address", required=False)
@click.option("--off", is_flag=True, help="keep its gateway, but dial nothing there")
@click.option("--remove", is_flag=True, help="its gateways are killed when their calls are over")
def endpoint(carrier: str, name: str, address: str | None, off: bool, remove: bool) -> None:
    """Create the endpoint NAME of CARRIER, or give it another literal ADDRESS (192.0.2.1:5060, [2001:db8::1]:5060).

    Nothing is dialed there before it is applied: trunkline carriers apply.
    """
    from store import trunks

    with changing() as change:
        (carrier_id,) = carrier_ids(change.database, [carrier])
        if remove:
            if not trunks.remove_endpoint(change.database, carrier, name):
                raise ValueError(f"carrier {carrier} has no endpoint {name!r}: see trunkline carriers show {carrier}")
            change.note("endpoint.removed", f"carrier:{carrier}", {"endpoint": name})
            click.echo(f"endpoint {name} of {carrier} is removed; its gateways go when their calls are over")
            return
        if address is None:
            raise ValueError("carriers endpoint: give its ADDRESS, a literal ip:port")
        made = trunks.put_endpoint(
            change.database, carrier_id=carrier_id, carrier=carrier, name=name, address=address, enabled=not off
        )
        change.note("endpoint.put", f"carrier:{carrier}", {"endpoint": name, "address": address, "enabled": not off})
    click.echo(f"endpoint {made.name} of {carrier} -> {made.address}; now: trunkline carriers apply")


@carriers_group.command("render")
@click.option("--to", "directory", type=click.Path(file_okay=False, path_type=Path), help="write files there instead")
@click.option("--passwords", is_flag=True, help="with --to: the passwords from this environment, in files of mode 0600")
def render(directory: Path | None, passwords: bool) -> None:
    """The gateways as FreeSWITCH's XML, as they would be with what is set now. Changes nothing."""
    import os

    from controller.gateway_files import GatewayFiles
    from controller.gateway_xml import acl_file, gateway_file
    from store import gateways

    if passwords and directory is None:
        raise ValueError("--passwords: only with --to; a password is never printed")
    with database() as db:
        versions = gateways.preview(db, datetime.now(UTC))
    files = [gateway_file(version, os.environ if passwords else None) for version in versions]
    files.append(acl_file(versions))
    if directory is None:
        click.echo("".join(f"<!-- {file.name} -->\n{file.text}" for file in files), nl=False)
        return
    GatewayFiles(str(directory)).write(files)
    click.echo(f"{len(files)} files in {directory}")


@carriers_group.command("apply")
@click.option("--renew", multiple=True, metavar="CARRIER", help="a new version although nothing differs: another password")
@WAIT
def apply(renew: tuple[str, ...], wait_s: float) -> None:
    """Make every switch's gateways what the carriers say, beside the live calls; mend what drifted.

    The controller beside each switch writes the files and loads them. New dials take a new gateway when every switch that
    answers has it; the old one goes when its calls are over. Exit status 1 when something differs afterwards.
    """
    from store import gateways

    with database() as db:
        carrier_ids(db, renew)
        note(db, "gateways.apply", "gateways:all", {"renew": renew})
        made = gateways.plan(db, datetime.now(UTC), renew=renew)
        for version in made:
            click.echo(f"{version.gateway} -> {version.params['proxy']}")
        orders = _ordered(db, "apply", wait_s)
        _report(orders, as_json=False)
        waiting = gateways.not_dialed(db)
    for gateway in waiting:
        click.echo(f"{gateway} takes no dials yet")
    if waiting or any(order.done_at is None or order.findings for order in orders):
        raise SystemExit(1)


@carriers_group.command("diff")
@WAIT
@JSON_OPTION
def diff(wait_s: float, as_json: bool) -> None:
    """What the switches have against what the carriers say: gateways that are missing, different or unknown, addresses
    that may not call. Asked of every switch now. Exit status 1 when something differs.
    """
    with database() as db:
        orders = _ordered(db, "look", wait_s)
    _report(orders, as_json=as_json)
    if any(order.done_at is None or order.findings for order in orders):
        raise SystemExit(1)


def _ordered(db: Database, kind: Kind, wait_s: float) -> list[Order]:
    """Ask every switch's controller, and wait until each that is there has answered or the time is over; their orders.

    One that was not heard of lately does what it is asked when it is back; nobody waits for it.
    """
    from store import gateways, switches

    now = datetime.now(UTC)
    order_id, asked = gateways.order(db, kind, now)
    here = set(switches.live(db, now - timedelta(seconds=gateways.SILENT_S)))
    if not here:
        raise ValueError("no switch is there: start a controller beside one (trunkline up)")
    for name in sorted(set(asked) - here):
        click.echo(f"{name}: not there; it does so when it is back", err=True)
    deadline = time.monotonic() + wait_s
    while True:
        orders = [order for order in gateways.orders(db) if order.switch in here]
        if all(_answered(order, order_id) for order in orders) or time.monotonic() >= deadline:
            return orders
        time.sleep(LOOK_S)


def _answered(order: Order, order_id: UUID) -> bool:
    return order.done_at is not None or order.id > order_id  # a later one stands for ours


def _report(orders: list[Order], *, as_json: bool) -> None:
    rows = []
    for order in orders:
        if order.done_at is None:
            rows.append({"switch": order.switch, "gateway": "", "what": "silent", "detail": "its controller did not answer"})
        rows += [{"switch": order.switch, **finding} for finding in order.findings if order.done_at is not None]
        if not as_json and order.done_at is not None and not order.findings:
            click.echo(f"{order.switch}: as it should be")
    if rows or as_json:
        show(rows, DRIFT, as_json=as_json)


@carriers_group.command("preview")
@click.argument("carrier")
@click.argument("number")
@click.option("--from", "caller", help="the caller id, E.164 [default: the number itself]")
def preview(carrier: str, number: str, caller: str | None) -> None:
    """How NUMBER (E.164) would be dialed through CARRIER: number rules, gateways, headers, dial string. Nothing is."""
    from store import preview as rules

    with database() as db:
        found = rules.preview(db, carrier, number, caller)
    if found is None:
        raise no_carrier(carrier)
    trunk, ways = found.trunk, found.endpoints
    click.echo(f"number      {found.number} ({found.country}, {found.kind}) is written {found.written}")
    click.echo(f"route       {found.route or 'none'}{'' if found.served else f', which {carrier} does not serve'}")
    if not ways:
        click.echo(f"gateway     none: trunkline carriers endpoint {carrier} NAME IP:PORT")
    for way in ways:
        state = "" if way.enabled else ", off"
        click.echo(f"gateway     {way.gateway} -> {way.address} ({trunk.transport}{state})")
    click.echo(f"INVITE      {found.request_uri}")
    for line in found.headers:
        click.echo(f"            {line}")
    click.echo(f"codecs      {', '.join(trunk.codecs)}")
    click.echo(_dial_string(trunk, ways[0].gateway if ways else "gateway", found.number, found.caller))


def _dial_string(trunk: Trunk, gateway: str, number: str, caller: str) -> str:
    from calls.ids import call_ref
    from controller import commands
    from settings import get_settings

    settings, nobody = get_settings(), UUID(int=0)
    built = commands.originate(
        attempt_id=nobody,
        call_ref=call_ref(nobody),
        tenant="tenant",
        gateway=gateway,
        to_number=number,
        from_number=caller,
        originate_timeout_s=settings.pdd_s + min(settings.ring_timeout_s, trunk.ring_s or settings.ring_timeout_s),
        max_duration_s=settings.max_duration_s,
        trunk=trunk,
    )
    return commands.wire(built).decode().splitlines()[0].removeprefix("bgapi ")


@carriers_group.command("test-call")
@click.argument("carrier")
@click.argument("number")
@click.option("--tenant", "tenant_name", required=True, help="in whose name")
@click.option("--agent", "agent_name", required=True, help="the tenant's agent that talks, if somebody answers")
@click.option("--from", "caller", required=True, help="the caller id, E.164")
@click.option("--wait", "wait_s", type=click.FloatRange(5, 600), default=90.0, show_default=True, help="s; until it is over")
@click.option("--talk", "talk_s", type=click.IntRange(10, 300), default=10, show_default=True, help="s; then it is hung up")
def test_call(carrier: str, number: str, tenant_name: str, agent_name: str, caller: str, wait_s: float, talk_s: int) -> None:
    """One call to NUMBER (E.164) through CARRIER by the way of every call: permit, rules, gateway. Prints what SIP said.

    Exit status 1 when it was not answered.
    """
    from trunkline import trial

    with database() as db:
        (carrier_id,) = carrier_ids(db, [carrier])
        wanted = trial.Wanted(carrier, carrier_id, number, caller, tenant_name, agent_name, wait_s, talk_s)
        if not trial.place(db, wanted, click.echo):
            raise SystemExit(1)


COMMANDS: tuple[click.Command, ...] = ()  # they are subcommands of carriers
