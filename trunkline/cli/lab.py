"""trunkline lab: the laboratory that calls of test keys go to."""

from __future__ import annotations

import click

from trunkline.cli.common import changing


@click.group("lab")
def lab_group() -> None:
    """The laboratory for calls of test keys: docs/test-keys.md. Nobody's phone rings there."""


@lab_group.command("setup")
@click.option("--address", default="127.0.0.1:5090", show_default=True, help="literal ip:port at which lab.carrier listens")
@click.option("--channels", type=click.IntRange(1), default=50, show_default=True, help="test calls at the same time")
@click.option("--cps", type=click.FloatRange(0.1, 1000), default=10.0, show_default=True, help="test calls per second")
def set_up(address: str, channels: int, cps: float) -> None:
    """Create the carrier, its endpoint and the route of test calls, or give them these numbers. Safe twice.

    The laboratory itself is a set of processes of its own: docs/test-keys.md.
    """
    from store import test_lab

    with changing() as change:
        test_lab.set_up(change.database, address=address, max_channels=channels, cps=cps)
        change.note("lab.set_up", f"carrier:{test_lab.CARRIER}", {"address": address, "channels": channels, "cps": cps})
    click.echo(f"carrier {test_lab.CARRIER} at {address} takes calls of test keys, and nothing else")
    click.echo("next: start the processes of Procfile.lab, then trunkline carriers apply")


COMMANDS = (lab_group,)
