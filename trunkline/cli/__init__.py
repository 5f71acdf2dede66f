"""The command line ``trunkline``. Every error is one line on stderr; exit status 1, or 2 for a wrong command line.

One file a subject; each has its commands in ``COMMANDS``, and imports what is heavy only when one of them runs.
"""

from __future__ import annotations

import click

from trunkline.cli import (
    agents,
    audit,
    caps,
    carriers,
    destinations,
    doctor,
    gateways,
    keys,
    lab,
    make,
    new_agent,
    numbers,
    operate,
    pools,
    rehearse,
    routes,
    run,
    scopes,
    suppressions,
    tenant_rules,
    tenants,
    trunks,
    webhooks,
    why,
)
from trunkline.cli.common import EXPECTED, Group, explain

__all__ = ["EXPECTED", "explain", "main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trunkline")
def main() -> None:
    """Trunkline: calls placed by program through FreeSWITCH. Settings come from the environment: trunkline settings."""


for subject in (
    run,
    make,
    new_agent,
    carriers,
    gateways,
    routes,
    tenants,
    trunks,
    tenant_rules,
    keys,
    caps,
    destinations,
    lab,
    agents,
    pools,
    numbers,
    scopes,
    webhooks,
    suppressions,
    why,
    audit,
    doctor,
    operate,
    rehearse,
):
    for command in subject.COMMANDS:
        main.add_command(command)
