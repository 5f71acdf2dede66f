"""trunkline numbers: on which numbers tenants are called, and who answers."""

from __future__ import annotations

from datetime import UTC

import click

from trunkline.cli.common import JSON_OPTION, agent, carrier_ids, changing, database, show, tenant

COLUMNS = ("number", "tenant", "agent", "state", "pool", "carrier")


@click.group("numbers")
def numbers_group() -> None:
    """Numbers on which tenants are called. A change acts on the next call."""


@numbers_group.command("list")
@click.argument("tenant_name", metavar="[TENANT]", required=False)
@JSON_OPTION
def list_numbers(tenant_name: str | None, as_json: bool) -> None:
    """Every number, or those of TENANT; and how many callers were sent away because they dialed no such number."""
    from store import numbers

    with database() as db:
        owner = None if tenant_name is None else tenant(db, tenant_name).id
        rows = [
            {
                "number": one.number,
                "tenant": one.tenant_name,
                "agent": one.agent_name,
                "state": "on" if one.enabled else "off",
                "pool": one.pool,
                "carrier": one.carrier_name,
            }
            for one in numbers.list_numbers(db, owner)
        ]
        refused = [] if owner is not None or as_json else numbers.list_refused(db)
    show(rows, COLUMNS, as_json=as_json)
    for one in refused:
        at = one.last_at.astimezone(UTC).isoformat(timespec="seconds")
        click.echo(f"refused on {one.switch}: {one.count} ({one.reason}), the last {at}, who dialed {one.last_number}")


@numbers_group.command("add")
@click.argument("tenant_name", metavar="TENANT")
@click.argument("number")
@click.option("--agent", "agent_name", required=True, help="who answers")
@click.option("--carrier", "carrier_name", help="whose number it is, where several carriers call from one address")
@click.option("--pool", help="its calls count in this agent pool too: see scopes set agents:POOL")
@click.option("--off", is_flag=True, help="its callers hear that there is no such number")
def add(tenant_name: str, number: str, agent_name: str, carrier_name: str | None, pool: str | None, off: bool) -> None:
    """Give NUMBER (E.164) to TENANT, or change what becomes of its calls: what is not given is none."""
    from store import numbers

    with changing() as change:
        theirs = agent(change.database, tenant_name, agent_name)
        its = None if carrier_name is None else carrier_ids(change.database, [carrier_name])[0]
        did = numbers.put(
            change.database,
            number=e164(number),
            tenant_id=theirs.tenant_id,
            agent_id=theirs.id,
            carrier_id=its,
            pool=pool,
            enabled=not off,
        )
        data = {"tenant": tenant_name, "agent": agent_name, "carrier": carrier_name, "pool": pool, "enabled": not off}
        change.note("number.put", f"tenant:{tenant_name}", data, personal={"numbers": [did.number]})
    click.echo(f"number {did.number}: {did.tenant_name}/{did.agent_name}, {'on' if did.enabled else 'off'}")


@numbers_group.command("remove")
@click.argument("number")
def remove(number: str) -> None:
    """NUMBER is nobody's any more; calls that are up go on."""
    from store import numbers

    with changing() as change:
        if not numbers.remove(change.database, plain := e164(number)):
            raise ValueError(f"number: {number} is nobody's: see trunkline numbers list")
        change.note("number.removed", "numbers", {}, personal={"numbers": [plain]})
    click.echo(f"number {number} removed")


def e164(number: str) -> str:
    """As it is kept. Errors: ``ValueError`` that says what is wrong and what would be right."""
    from calls.numbers import NumberError, parse_caller_id

    try:
        return parse_caller_id(number).e164
    except NumberError as error:
        raise ValueError(f"number: {error.detail}") from None


COMMANDS = (numbers_group,)
