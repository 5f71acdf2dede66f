"""``trunkline rehearse``: the budget's own scripts on a virtual clock, a busy half hour in seconds."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lab.rehearse.fleet.world import FleetReport
    from lab.rehearse.state.world import StateReport

#: s; between two lines of a run whose standard error is no terminal.
TELL_S = 60.0


@click.command("rehearse")
@click.option("--calls", type=click.IntRange(1, 5_000_000), default=8_000, show_default=True)
@click.option("--tenants", type=click.IntRange(1, 5_000), default=40, show_default=True)
@click.option("--carriers", type=click.IntRange(1, 100), default=6, show_default=True)
@click.option("--switches", type=click.IntRange(1, 50), default=3, show_default=True, help="each with a controller")
@click.option("--seed", default=1, show_default=True, help="the same seed gives the same run, to the microsecond")
@click.option("--crashes", type=click.IntRange(0, 1000), default=3, show_default=True, help="controllers that are killed")
@click.option("--wipes", type=click.IntRange(0, 100), default=1, show_default=True, help="times Redis forgets everything")
@click.option("--state", is_flag=True, help="call state too: rows, events lost and late, switches that die")
@click.option("--faults", type=click.IntRange(0, 1000), default=3, show_default=True, help="of each kind, with --state")
@click.option("--seats", type=click.IntRange(1, 500), help="each call wants a seat of the fleet; there are so many a host")
@click.option("--hosts", type=click.IntRange(1, 100), help="of the fleet, each with a keeper  [default: 5]")
@click.option("--kills", type=click.IntRange(0, 10_000), help="workers of the fleet that are killed  [default: 40]")
@click.option("--keepers", type=click.IntRange(0, 1000), help="keepers of the fleet that are killed  [default: 5]")
@click.option("--json", "as_json", is_flag=True, help="the figures for machines")
@click.option("--svg", type=click.Path(dir_okay=False, writable=True, path_type=pathlib.Path), help="draw the run, a file")
def rehearse(
    calls: int,
    tenants: int,
    carriers: int,
    switches: int,
    seed: int,
    crashes: int,
    wipes: int,
    state: bool,
    faults: int,
    seats: int | None,
    hosts: int | None,
    kills: int | None,
    keepers: int | None,
    as_json: bool,
    svg: pathlib.Path | None,
) -> None:
    """Rehearse limits, fairness and faults in virtual time on a private Redis; nothing is dialed.

    Exit status 1 when a limit was broken, a call lost or dialed twice, or anything else was not as it must be. With --state
    every call has its rows, and its events come lost, late, twice and in any order while everything dies in turn. With
    --seats every call wants a worker of the fleet, and those die in turn.
    """
    from lab.rehearse.draw import draw
    from lab.rehearse.drawing import drawing
    from lab.rehearse.fleet.plan import Staff
    from lab.rehearse.fleet.world import rehearse_fleet
    from lab.rehearse.redis import RehearsalRedis
    from lab.rehearse.report import as_text
    from lab.rehearse.run import rehearse as run
    from lab.rehearse.state.world import rehearse_state, with_state_faults

    of_the_fleet = {"seats": seats, "hosts": hosts, "kills": kills, "keepers": keepers}
    given = {name: value for name, value in of_the_fleet.items() if value is not None}
    if given and seats is None:
        raise click.UsageError(f"--{next(iter(given))} goes with --seats")
    if seats is not None and state:
        raise click.UsageError("--seats and --state are two rehearsals")
    plan = draw(seed, calls=calls, tenants=tenants, carriers=carriers, switches=switches, crashes=crashes, wipes=wipes)
    server = RehearsalRedis()
    try:
        quiet = as_json or not sys.stderr.isatty()
        with click.progressbar(length=calls, label="calls", file=sys.stderr, hidden=quiet) as bar:
            told_at = time.monotonic()

            def progress(done: int, virtual_s: float) -> None:
                # Without a terminal a line each minute: a run of a million takes an hour, and may be cut off.
                nonlocal told_at
                if quiet and time.monotonic() - told_at >= TELL_S:
                    told_at = time.monotonic()
                    click.echo(f"{done:,} of {calls:,} calls have ended, {virtual_s:,.0f} s in virtual time", err=True)
                bar.update(done - bar.pos)

            if state or given:
                whole: StateReport | FleetReport
                if state:
                    whole = rehearse_state(with_state_faults(plan, faults=faults), server.url, progress=progress)
                else:
                    whole = rehearse_fleet(plan, Staff(**given), server.url, progress=progress)
                told, ok, text, plain = whole.budget, whole.ok, whole.as_text, whole.as_json
            else:
                told = run(plan, server.url, progress=progress)
                ok, text, plain = told.ok, partial(as_text, told), told.as_json
    finally:
        server.close()
    if svg is not None:
        svg.write_text(drawing(told), encoding="utf-8")
    click.echo(json.dumps(plain()) if as_json else text())
    if not ok:
        sys.exit(1)


COMMANDS = (rehearse,)
