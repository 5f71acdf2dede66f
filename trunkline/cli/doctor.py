"""trunkline doctor: is this house set up so that it can be trusted with calls?"""

from __future__ import annotations

import json
import sys

import click
import psycopg

from settings import get_settings
from trunkline.cli.common import JSON_OPTION, database


@click.command("doctor")
@click.option("--strict", is_flag=True, help="warnings count as failures")
@JSON_OPTION
def doctor(strict: bool, as_json: bool) -> None:
    """Check Postgres, Redis, the switch beside us, its gateways, and the agents; each finding with its remedy.

    Run it on each switch's host, with the environment of its controller. Exit status 1 when something fails.
    """
    from budget.connect import connect
    from trunkline.doctor.finding import Level
    from trunkline.doctor.visit import examine

    settings = get_settings()
    redis = connect(settings)
    try:
        with database() as db:
            found = examine(settings, db, redis)
    except psycopg.OperationalError as error:
        found = examine(settings, None, redis, " ".join(str(error).split()))
    finally:
        redis.close()
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found], indent=2))
    else:
        for one in found:
            click.echo(f"{one.level:<5} {one.about}: {one.what}")
            if one.remedy:
                click.echo(f"      -> {one.remedy}")
        counted = {level: sum(one.level is level for one in found) for level in Level}
        click.echo(", ".join(f"{count} {level}" for level, count in counted.items()))
    bad = (Level.WARN, Level.FAIL) if strict else (Level.FAIL,)
    if any(one.level in bad for one in found):
        sys.exit(1)


COMMANDS = (doctor,)
