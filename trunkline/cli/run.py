"""Settings, migrations, traces, and the commands that start processes."""

from __future__ import annotations

import pathlib
import sys

import click

from settings import get_settings
from trunkline.cli.common import database


@click.command("settings")
def show_settings() -> None:
    """Every setting with its environment name, default and meaning."""
    from settings import table

    click.echo(table())


@click.command("migrate")
def run_migrations() -> None:
    """Bring the database of DATABASE_URL up to date. Safe twice, and by two at once."""
    from store.migrate import migrate

    applied = migrate(get_settings().database_url)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
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
