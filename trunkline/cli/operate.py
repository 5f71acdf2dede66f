"""trunkline drain, undrain, kill: out of service in order, and at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from settings import get_settings
from trunkline.cli.common import actor, agent, carrier_ids, database, note, tenant

if TYPE_CHECKING:
    from store.kill import Target
    from store.pool import Database

#: s; between two looks at what is left.
LOOK_S = 0.5
WAIT = click.option("--wait", "wait_s", type=click.FloatRange(0), default=0.0, help="s; until no call is left, at most")


@click.command("drain")
@click.argument("switch")
@WAIT
@click.option("--undo", is_flag=True, help="the same as trunkline undrain")
def drain(switch: str, wait_s: float, undo: bool) -> None:
    """Dial nothing new on SWITCH. Calls that are up there end by themselves; what is queued leaves by other switches.

    Exit status 1 when calls are left after --wait.
    """
    from store import switches

    with database() as db:
        if undo:
            back(db, switch)
            return
        since = change(db, switch, datetime.now(UTC))
        click.echo(f"switch {switch}: drained since {since:%Y-%m-%d %H:%M:%S} UTC")
        wait_for_none(lambda: switches.calls_left(db, switch), wait_s)


@click.command("undrain")
@click.argument("switch")
def undrain(switch: str) -> None:
    """Dial on SWITCH again."""
    with database() as db:
        back(db, switch)


def back(db: Database, switch: str) -> None:
    """In service again."""
    change(db, switch, None)
    click.echo(f"switch {switch}: in service")


def change(db: Database, switch: str, now: datetime | None) -> datetime | None:
    """As ``store.switches.drain``; ``ValueError`` with the remedy."""
    from store import changes, switches

    try:
        with changes.changing(db, actor()) as done:
            since = switches.drain(done.database, switch, now)
            done.note("switch.undrained" if now is None else "switch.drained", f"switch:{switch}", {})
            return since
    except LookupError:
        raise ValueError(f"there is no switch {switch!r}: trunkline why lists those that were ever seen") from None


def wait_for_none(left: Callable[[], int], wait_s: float) -> None:
    """Says how many calls are left until none is or the time is over; exit status 1 then, if it was to be waited for."""
    until, told = time.monotonic() + wait_s, -1
    while True:
        count = left()
        if count != told:
            click.echo(f"{count} {'call' if count == 1 else 'calls'} left")
            told = count
        if count == 0 or time.monotonic() >= until:
            break
        time.sleep(LOOK_S)
    if told and wait_s:
        raise TimeoutError(f"{told} left after {wait_s:g} s")


@click.command("kill")
@click.option("--tenant", "tenant_name", help="every live call of this tenant, which is paused first")
@click.option("--agent", "agent_name", metavar="TENANT/AGENT", help="of this agent, which is paused first")
@click.option("--carrier", "carrier_name", help="through this carrier, which is paused first")
@click.option("--switch", "switch_name", help="on this switch, which is drained first")
@click.option("--all", "everything", is_flag=True, help="every live call there is; every switch is drained first")
@click.option("--cancel-queued", is_flag=True, help="with --tenant or --all: cancel what waits, too")
@click.option("--yes", is_flag=True, help="do not ask")
@WAIT
def kill(
    tenant_name: str | None,
    agent_name: str | None,
    carrier_name: str | None,
    switch_name: str | None,
    everything: bool,
    cancel_queued: bool,
    yes: bool,
    wait_s: float,
) -> None:
    """Hang up every live call of something, and dial nothing new of it until it is resumed (undrained).

    Nothing is dialed again because of it. Exit status 1 when calls are left after --wait.
    """
    from store import kill as rows

    given = {"tenant": tenant_name, "agent": agent_name, "carrier": carrier_name, "switch": switch_name}
    named = {kind: name for kind, name in given.items() if name is not None}
    if len(named) + everything != 1:
        raise ValueError("kill: give one of --tenant, --agent, --carrier, --switch and --all")
    if cancel_queued and not (tenant_name or everything):
        raise ValueError("--cancel-queued: what waits belongs to no switch or carrier yet; give --tenant or --all")
    what = "everything" if everything else " ".join(next(iter(named.items())))
    with database() as db:
        target, stop = _target(db, named)
        if not yes:
            count = rows.live(db, target)
            click.confirm(f"Hang up {count} live calls of {what}, and dial nothing new of it?", abort=True)
        note(db, "calls.killed", what.replace(" ", ":"), {"cancel_queued": cancel_queued})
        stop()
        if cancel_queued:
            _cancel_queued(db, tenant_name)
        asked = rows.kill(db, target, datetime.now(UTC))
        time.sleep(get_settings().kill_again_s)
        asked += rows.kill(db, target, datetime.now(UTC))
        click.echo(f"{what}: stopped; {asked} live calls are being hung up")
        wait_for_none(lambda: _again(db, target), wait_s)


def _again(db: Database, target: Target) -> int:
    """What is left; asked to end once more, should anything have slipped through."""
    from store import kill as rows

    rows.kill(db, target, datetime.now(UTC))
    return rows.live(db, target)


def _target(db: Database, named: dict[str, str]) -> tuple[Target, Callable[[], object]]:
    """Whose calls, and what keeps new ones from being dialed. ``ValueError`` with the remedy for an unknown name."""
    from store import agents, carriers, overview, switches, tenants
    from store.kill import Target

    if "tenant" in named:
        owner = tenant(db, named["tenant"])
        return Target(tenant_id=owner.id), lambda: tenants.set_paused(db, owner.id, True)
    if "agent" in named:
        owner_name, slash, name = named["agent"].partition("/")
        if not slash:
            raise ValueError(f"--agent: give TENANT/AGENT, not {named['agent']!r}")
        whose = agent(db, owner_name, name)
        return Target(agent_id=whose.id), lambda: agents.set_paused(db, whose.id, True)
    if "carrier" in named:
        (carrier_id,) = carrier_ids(db, [named["carrier"]])
        return Target(carrier_id=carrier_id), lambda: carriers.set_paused(db, carrier_id, True)
    known = [one.name for one in overview.switches(db)]
    if "switch" in named:
        if named["switch"] not in known:
            raise ValueError(f"there is no switch {named['switch']!r}: trunkline why lists those that were ever seen")
        known = [named["switch"]]
        return Target(switch=known[0]), lambda: switches.drain(db, known[0], datetime.now(UTC))
    return Target(), lambda: [switches.drain(db, one, datetime.now(UTC)) for one in known]


def _cancel_queued(db: Database, tenant_name: str | None) -> None:
    """A mark per tenant; the watchdog ends what it covers, however much that is."""
    from store import backlog, tenants

    whose = tenants.list_tenants(db) if tenant_name is None else [tenant(db, tenant_name)]
    count = 0
    for one in whose:
        count += backlog.queued(db, one.id)
        tenants.cancel_queued(db, one.id, datetime.now(UTC))
    click.echo(f"{count} queued calls are canceled")


@click.command("take-budget")
@click.option("--yes", is_flag=True, help="do not ask")
def take_budget(yes: bool) -> None:
    """Have the budget rebuilt by this version's scripts, though a newer version has opened it: the way back from an upgrade.

    Stop the newer version's feeders first, or they take it again. Nothing is dialed until a feeder of this version has
    rebuilt it.
    """
    from budget.scripts import VERSION
    from store import epoch

    with database() as db:
        truth = epoch.get(db)
        if truth.scripts == VERSION:
            click.echo(f"the budget is of scripts version {VERSION} already")
            return
        if not yes:
            click.confirm(
                f"Close the budget of scripts version {truth.scripts} and open one of version {VERSION}?", abort=True
            )
        note(db, "budget.taken", f"budget:{truth.epoch}", {"scripts": VERSION, "from": truth.scripts})
        epoch.bump(db, truth.epoch, None, VERSION)
    click.echo(f"the budget is closed; a feeder of scripts version {VERSION} opens it")


COMMANDS = (drain, undrain, kill, take_budget)
