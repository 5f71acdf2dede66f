"""trunkline tenants destinations | caller-ids | rules: what a tenant may dial, show, and when. docs/rules.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from trunkline.cli.common import JSON_OPTION, NONE, TEXT_OR_NONE, changed, changing, database, show, tenant
from trunkline.cli.tenants import tenants_group

RISK = click.Choice(["low", "special", "toll_fraud"])
MATCHES = click.argument("matches", metavar="COUNTRY|PREFIX...", nargs=-1, required=True)
COLUMNS = ("match", "allowed", "up_to_risk", "its_risk")


@tenants_group.group("destinations")
def destinations_group() -> None:
    """What a tenant may dial: countries (DE) and prefixes (+4930). What is not listed is not dialed."""


@destinations_group.command("list")
@click.argument("name")
@JSON_OPTION
def list_destinations(name: str, as_json: bool) -> None:
    """Every entry of tenant NAME, with the class of risk of each country itself."""
    from store import outbound

    with database() as db:
        rules = outbound.get(db, tenant(db, name).id)
    show([] if rules is None else rows(rules.destinations), COLUMNS, as_json=as_json)
    if rules is None and not as_json:
        click.echo(f"nothing was ever set for {name}: none of its calls is dialed")


def rows(destinations: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A list of destinations as it is shown."""
    from calls.risks import of_country

    return [
        {
            "match": match,
            "allowed": entry["allow"],
            "up_to_risk": entry["risk"] if entry["allow"] else None,
            "its_risk": None if match.startswith("+") else of_country(match),
        }
        for match, entry in sorted(destinations.items())
    ]


@destinations_group.command("allow")
@click.argument("name")
@MATCHES
@click.option("--risk", type=RISK, default="low", show_default=True, help="numbers up to this class of risk")
def allow(name: str, matches: tuple[str, ...], risk: Any) -> None:
    """Let tenant NAME dial numbers of these countries and prefixes; + is every number."""
    from calls.destinations import Entry
    from store import outbound

    with changing() as change:
        outbound.allow(change.database, tenant(change.database, name).id, [Entry(match, risk=risk) for match in matches])
        change.note("tenant.destinations_allowed", f"tenant:{name}", {"matches": matches, "risk": risk})
    click.echo(f"tenant {name}: {', '.join(matches)} allowed up to class {risk}")
    warn_of_class(matches, risk)


def warn_of_class(matches: Sequence[str], risk: Any) -> None:
    """Says which countries that were allowed up to ``risk`` are of a higher class themselves."""
    from calls.risks import above, of_country

    for match in matches:
        its = of_country(match)
        if its is not None and above(its, risk):
            click.echo(f"{match} itself is of class {its}: nothing of it is dialed until it is allowed with --risk {its}")


@destinations_group.command("deny")
@click.argument("name")
@MATCHES
def deny(name: str, matches: tuple[str, ...]) -> None:
    """Exclude these from what a wider entry of tenant NAME allows."""
    from calls.destinations import Entry
    from store import outbound

    with changing() as change:
        outbound.allow(change.database, tenant(change.database, name).id, [Entry(match, allow=False) for match in matches])
        change.note("tenant.destinations_denied", f"tenant:{name}", {"matches": matches})
    click.echo(f"tenant {name}: {', '.join(matches)} excluded")


@destinations_group.command("remove")
@click.argument("name")
@MATCHES
def remove_destinations(name: str, matches: tuple[str, ...]) -> None:
    """Take entries from the list of tenant NAME; what was only by them allowed is not dialed any more."""
    from store import outbound

    with changing() as change:
        outbound.forget(change.database, tenant(change.database, name).id, matches)
        change.note("tenant.destinations_removed", f"tenant:{name}", {"matches": matches})
    click.echo(f"tenant {name}: {', '.join(matches)} removed")


@tenants_group.group("caller-ids")
def caller_ids_group() -> None:
    """Which numbers a tenant's calls may show, beside those on which it is called (trunkline numbers)."""


@caller_ids_group.command("list")
@click.argument("name")
@JSON_OPTION
def list_caller_ids(name: str, as_json: bool) -> None:
    """Every number that calls of tenant NAME may show."""
    from store import outbound

    with database() as db:
        found = outbound.list_caller_ids(db, tenant(db, name).id, limit=100_000)
    rows = [
        {"number": f"{one.number}..." if one.block else one.number, "how": one.how, "reference": one.reference}
        for one in found
    ]
    show(rows, ("number", "how", "reference"), as_json=as_json)


@caller_ids_group.command("add")
@click.argument("name")
@click.argument("number")
@click.option("--block", is_flag=True, help="NUMBER is what a block of numbers begins with")
@click.option("--verified", is_flag=True, help="the tenant has proven that it is its own; else it is assigned to it")
@click.option("--reference", help="where the proof is")
def add_caller_id(name: str, number: str, block: bool, verified: bool, reference: str | None) -> None:
    """Let calls of tenant NAME show NUMBER (E.164)."""
    from store import outbound

    how = "verified" if verified else "assigned"
    with changing() as change:
        made = outbound.put_caller_id(
            change.database, tenant(change.database, name).id, number, block=block, how=how, reference=reference
        )
        personal = {"numbers": [made.number], "reference": reference}
        change.note("tenant.caller_id_put", f"tenant:{name}", {"block": block, "how": how}, personal=personal)
    click.echo(f"tenant {name}: {made.number}{'...' if block else ''} {made.how}")


@caller_ids_group.command("remove")
@click.argument("name")
@click.argument("number")
def remove_caller_id(name: str, number: str) -> None:
    """Calls of tenant NAME may no longer show NUMBER."""
    from store import outbound

    with changing() as change:
        if not outbound.remove_caller_id(change.database, tenant(change.database, name).id, number):
            raise ValueError(f"caller-ids remove: {number} is not among those that were added to {name}")
        change.note("tenant.caller_id_removed", f"tenant:{name}", {}, personal={"numbers": [number]})
    click.echo(f"tenant {name}: {number} removed")


@tenants_group.group("rules")
def rules_group() -> None:
    """Calling hours, time zone and consent of a tenant's outbound calls."""


@rules_group.command("show")
@click.argument("name")
def show_rules(name: str) -> None:
    """What holds for tenant NAME."""
    from calls.data import ruleset
    from store import outbound

    with database() as db:
        rules = outbound.get(db, tenant(db, name).id)
    if rules is None:
        click.echo(f"nothing was ever set for {name}: none of its calls is dialed")
        return
    said = rules.consent
    click.echo(f"hours      {rules.hours}{f' ({rules.hours_reason})' if rules.hours_reason else ''}")
    click.echo(f"time zone  {rules.time_zone or '-'}")
    click.echo("consent    " + ("-" if said is None else f"{said['basis']} ({said['reference']})"))
    click.echo(f"allowed    {len(rules.destinations)} destinations: trunkline tenants destinations list {name}")
    click.echo(f"rule set   {ruleset()}, changed {rules.changed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")


@rules_group.command("set")
@click.argument("name")
@click.option(
    "--hours",
    type=click.Choice(["country", "none"]),
    help="those of the callee's country; or none, as --hours-reason attests",
)
@click.option("--hours-reason", help="with none: who attests that these calls solicit nobody, and on what ground")
@click.option("--time-zone", type=TEXT_OR_NONE, help="of callees whose zone nobody knows; none: they are not called")
@click.option(
    "--consent-basis", type=TEXT_OR_NONE, help="for calls that name no consent of their own; none: no such default"
)
@click.option("--consent-reference", help="with it: where its proof is")
def set_rules(name: str, **options: Any) -> None:
    """Change what is given of tenant NAME, and nothing else."""
    from calls.consent import Consent
    from store import outbound

    changes = changed("tenants rules set", options)
    basis, reference = options.pop("consent_basis"), changes.pop("consent_reference", None)
    if changes.pop("consent_basis", None) is not None:
        changes["consent"] = Consent(basis, datetime.now(UTC), reference)
    elif basis is NONE:
        changes["consent"] = None
    elif reference is not None:
        raise ValueError("--consent-reference: belongs to --consent-basis; give both")
    with changing() as change:
        rules = outbound.update(change.database, tenant(change.database, name).id, **changes)
        data, personal = outbound.told(changes)
        change.note("tenant.rules_changed", f"tenant:{name}", data, personal=personal)
    click.echo(f"tenant {name}: hours {rules.hours}, consent {'-' if rules.consent is None else rules.consent['basis']}")


@rules_group.command("suggest")
@click.argument("name")
def suggest(name: str) -> None:
    """The commands that would allow what the newest 10,000 calls of tenant NAME dialed and showed. Runs none of them."""
    import phonenumbers

    from calls.risks import RISKS, risk_of
    from store import outbound

    with database() as db:
        used = outbound.used(db, tenant(db, name).id)
    countries: Counter[tuple[str, Any]] = Counter()
    for to, _ in used:
        country = phonenumbers.region_code_for_number(phonenumbers.parse(to, None)) or ""
        countries[(country, risk_of(to, country))] += 1
    if not used:
        click.echo(f"{name} has placed no call yet")
    for risk in RISKS:
        names = sorted({country for country, its in countries if its == risk and country})
        if names:
            click.echo(f"trunkline tenants destinations allow {name} {' '.join(names)} --risk {risk}")
    for caller in sorted({caller for _, caller in used}):
        click.echo(f"trunkline tenants caller-ids add {name} {caller}")


#: Groups of ``trunkline tenants``; nothing of its own.
COMMANDS: tuple[click.Command, ...] = ()
