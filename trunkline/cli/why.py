"""trunkline why: why are we not dialing, in one screen."""

from __future__ import annotations

import json

import click
import psycopg

from settings import get_settings
from trunkline.cli.common import JSON_OPTION, database, show

CARRIERS = ("carrier", "health", "in_use", "cps_now", "next_ms", "waiting", "asked_s", "held_by")
TENANTS = ("tenant", "queued", "in_lanes", "waits_for")


@click.command("why")
@JSON_OPTION
def why(as_json: bool) -> None:
    """Why are we not dialing? Everything that could hold a call, and one sentence at the end.

    Waiting are tenants, urgent/normal/bulk. The last line begins with "Nothing holds" or "Held by".
    """
    from budget.connect import connect
    from trunkline.why import Report, look

    settings = get_settings()
    redis = connect(settings)
    try:
        with database() as db:
            report: Report = look(settings, db, redis)
    except psycopg.OperationalError as error:
        report = look(settings, None, redis, " ".join(str(error).split()))
    finally:
        redis.close()
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, default=str))
        return
    for what, said in report.facts:
        click.echo(f"{what:<9} {said}")
    for rows, columns in ((report.carriers, CARRIERS), (report.tenants, TENANTS)):
        if rows:
            click.echo()
            show(rows, columns, as_json=False)
    click.echo()
    for note in report.notes:
        click.echo(note)
    for reason in report.reasons:
        if reason.remedy:
            click.echo(f"{reason.what} -> {reason.remedy}")
    click.echo(report.sentence)


COMMANDS = (why,)
