"""Settings, migrations, traces, and the commands that start processes."""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING

import click

from settings import get_settings
from trunkline.cli.common import database

if TYPE_CHECKING:
    from store.migrate import Phase


@click.command("settings")
def show_settings() -> None:
    """Every setting with its environment name, default and meaning."""
    from settings import table

    click.echo(table())


@click.command("migrate")
@click.option("--pre", "phase", flag_value="pre", help="only what adds: before new processes are started beside old ones")
@click.option("--post", "phase", flag_value="post", help="what takes away: when the old processes are gone")
def run_migrations(phase: Phase | None) -> None:
    """Bring the database of DATABASE_URL up to date. Safe twice, by two at once, and while calls flow.

    Without an option: all that may run now, so everything that adds, and what takes away unless a process is connected that
    does not know it.
    """
    from store.migrate import migrate, pending

    url = get_settings().database_url
    applied = migrate(url, phase=phase or "safe")
    for name in applied:
        click.echo(f"applied {name}")
    left = pending(url)
    if left:
        click.echo(f"left until the older processes are gone: {', '.join(left)}; then trunkline migrate --post")
    elif not applied:
        click.echo("nothing to do")


@click.command("trace")
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


@click.command("demo")
@click.option("--exit", "leave", is_flag=True, help="end after the summary instead of staying up")
@click.option("--calls", "count", type=click.IntRange(1, 2000), default=120, show_default=True)
@click.option("--seed", default=1, show_default=True, help="chooses numbers and outcomes")
def run_demo(leave: bool, count: int, seed: int) -> None:
    """Everything on this machine against a lab switch and two lab carriers; nothing is left behind."""
    from trunkline.demo import demo

    sys.exit(demo(pathlib.Path.cwd(), calls=count, seed=seed, leave=leave))


@click.command("up")
@click.option("--procfile", type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path), default="Procfile")
def run_up(procfile: pathlib.Path) -> None:
    """Run the Procfile's processes with the settings of the environment, until Ctrl-C."""
    from trunkline.up import up

    sys.exit(up(procfile))


COMMANDS = (show_settings, run_migrations, trace_call, run_demo, run_up)
