"""``trunkline rehearse``: the budget's own scripts on a virtual clock, a busy half hour in seconds."""

from __future__ import annotations

import json
import pathlib
import sys

import click


@click.command("rehearse")
@click.option("--calls", type=click.IntRange(1, 5_000_000), default=8_000, show_default=True)
@click.option("--tenants", type=click.IntRange(1, 5_000), default=40, show_default=True)
@click.option("--carriers", type=click.IntRange(1, 100), default=6, show_default=True)
@click.option("--switches", type=click.IntRange(1, 50), default=3, show_default=True, help="each with a controller")
@click.option("--seed", default=1, show_default=True, help="the same seed gives the same run, to the microsecond")
@click.option("--crashes", type=click.IntRange(0, 1000), default=3, show_default=True, help="controllers that are killed")
@click.option("--wipes", type=click.IntRange(0, 100), default=1, show_default=True, help="times Redis forgets everything")
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
    as_json: bool,
    svg: pathlib.Path | None,
) -> None:
    """Rehearse limits, fairness and faults in virtual time on a private Redis; nothing is dialed.

    Exit status 1 when a limit was broken, a call lost or dialed twice, or anything else was not as it must be.
    """
    from lab.rehearse.draw import draw
    from lab.rehearse.drawing import drawing
    from lab.rehearse.redis import RehearsalRedis
    from lab.rehearse.report import as_text
    from lab.rehearse.run import rehearse as run

    plan = draw(seed, calls=calls, tenants=tenants, carriers=carriers, switches=switches, crashes=crashes, wipes=wipes)
    server = RehearsalRedis()
    try:
        quiet = as_json or not sys.stderr.isatty()
        with click.progressbar(length=calls, label="calls", file=sys.stderr, hidden=quiet) as bar:
            told = run(plan, server.url, progress=lambda done, _: bar.update(done - bar.pos))
    finally:
        server.close()
    if svg is not None:
        svg.write_text(drawing(told), encoding="utf-8")
    click.echo(json.dumps(told.as_json()) if as_json else as_text(told))
    if not told.ok:
        sys.exit(1)


COMMANDS = (rehearse,)
