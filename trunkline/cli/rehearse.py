"""``trunkline rehearse``: the budget's own scripts on a virtual clock, a busy half hour in seconds."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from functools import partial

import click

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
    as_json: bool,
    svg: pathlib.Path | None,
) -> None:
    """Rehearse limits, fairness and faults in virtual time on a private Redis; nothing is dialed.

    Exit status 1 when a limit was broken, a call lost or dialed twice, or anything else was not as it must be. With --state
    every call has its rows, and its events come lost, late, twice and in any order while everything dies in turn.
    """
    from lab.rehearse.draw import draw
    from lab.rehearse.drawing import drawing
    from lab.rehearse.redis import RehearsalRedis
    from lab.rehearse.report import as_text
    from lab.rehearse.run import rehearse as run
    from lab.rehearse.state.world import rehearse_state, with_state_faults

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

            if state:
                whole = rehearse_state(with_state_faults(plan, faults=faults), server.url, progress=progress)
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
