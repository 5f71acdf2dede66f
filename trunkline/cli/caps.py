"""trunkline tenants caps, prices: how much a tenant may do, and what calls cost."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from calls.place_zones import window_zone
from trunkline.cli.common import COUNT_OR_NONE, JSON_OPTION, OrNone, ParamType, actor, changed, database, show, tenant
from trunkline.cli.tenants import tenants_group

PRICE_COLUMNS = ("prefix", "per_minute", "per_attempt", "increment_s")
_MOST, _MOST_PRICE = Decimal(10**9), Decimal(1000)


class Money(ParamType):
    """An amount of the house's currency, with up to six places; becomes millionths."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return micros(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def micros(text: str, most: Decimal = _MOST) -> int:
    """Millionths of an amount up to ``most``. Errors: ``ValueError`` that says what would be right."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount: give one such as 0.0125") from None
    if not amount.is_finite() or amount < 0 or amount.as_tuple().exponent < -6 or amount > most:  # type: ignore[operator]
        raise ValueError(f"{text!r}: must be 0 to {most}, with at most six places")
    return int(amount * 1_000_000)


def amount(of: int | None) -> str | None:
    """The other way round."""
    return None if of is None else f"{Decimal(of) / 1_000_000:.6f}".rstrip("0").rstrip(".")


@tenants_group.command("caps")
@click.argument("name")
@click.option("--calls-per-minute", type=COUNT_OR_NONE, help="dials within any minute; none: no cap")
@click.option("--number-per-day", type=COUNT_OR_NONE, help="dials to one number on a day that may have rung; none: no cap")
@click.option("--minutes-per-day", type=COUNT_OR_NONE, help="minutes of talk on a day; none: no cap")
@click.option("--spend-per-day", type=OrNone(Money()), help="spend on a day, by trunkline prices; none: no cap")
@click.option("--new-prefixes-per-hour", type=COUNT_OR_NONE, help="destinations not called for 30 days; none: no cap")
@click.option("--reserve-s", type=click.IntRange(0, 14_400), help="s of talk that a dial counts with [default: 60]")
@click.option("--time-zone", help="IANA zone whose days are meant [default: UTC]")
@JSON_OPTION
def tenant_caps(name: str, as_json: bool, **options: Any) -> None:
    """The caps of tenant NAME, with how much of each is used; or change what is given. A change acts on the next claim."""
    from store import caps

    with database() as db:
        found = tenant(db, name)
        if options["time_zone"] is not None:
            window_zone(options["time_zone"])
        if any(value is not None for value in options.values()):
            caps.set_caps(db, found.id, actor=actor(), **changed("tenants caps", options))
        used = caps.used(db, found.id)
    if used is None:
        click.echo("[]" if as_json else f"tenant {name} has no caps")
        return
    counted = {
        "calls_per_minute": used.dials,
        "minutes_per_day": round(used.seconds / 60, 2),
        "spend_per_day": amount(used.micros),
        "new_prefixes_per_hour": len(used.new_prefixes),
    }
    rows = [
        {"cap": cap, "most": amount(most) if cap == "spend_per_day" else most, "used": counted.get(cap)}
        for cap, most in caps.shown(used.caps).items()
    ]
    show(rows, ("cap", "most", "used"), as_json=as_json)
    if not as_json:
        rule = used.caps
        click.echo(f"days of {rule.time_zone}; {used.running} calls on the line, each with {rule.reserve_s} s at least")


@click.group("prices")
def prices_group() -> None:
    """What calls cost, by prefix: by it the spend of tenants is counted that have a cap on it."""


@prices_group.command("list")
@JSON_OPTION
def list_prices(as_json: bool) -> None:
    """Every price, by prefix."""
    from store import prices

    with database() as db:
        rows = [
            {
                "prefix": one.prefix or "(all)",
                "per_minute": amount(one.minute_micros),
                "per_attempt": amount(one.attempt_micros),
                "increment_s": one.increment_s,
            }
            for one in prices.list_prices(db)
        ]
    show(rows, PRICE_COLUMNS, as_json=as_json)


@prices_group.command("set")
@click.argument("prefix")
@click.argument("per_minute", type=Money())
@click.option("--per-attempt", type=Money(), default=0, help="for each dial that leaves the switch")
@click.option("--increment-s", type=click.IntRange(1, 3600), default=60, show_default=True, help="s; charged in whole ones")
def set_price(prefix: str, per_minute: int, per_attempt: int, increment_s: int) -> None:
    """A minute to numbers that begin with PREFIX (E.164 digits; "all": every number) costs PER_MINUTE."""
    from store import prices
    from store.prices import Price

    one = Price(_prefix(prefix), per_minute, per_attempt, increment_s)
    with database() as db:
        prices.put(db, [one], actor=actor())
    click.echo(f"price of {prefix}: {amount(per_minute)} a minute in {increment_s} s, {amount(per_attempt)} a dial")


@prices_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_prices(file: Path) -> None:
    """Set the prices of a CSV FILE with the columns prefix, per_minute and, if you like, per_attempt and increment_s.

    All of them or, where a line is wrong, none. Prices of other prefixes stay.
    """
    from store import prices

    with file.open(newline="", encoding="utf-8-sig") as lines:
        wanted = list(_read(csv.DictReader(lines)))
    with database() as db:
        count = prices.put(db, wanted, actor=actor())
    click.echo(f"{count} prices set")


@prices_group.command("remove")
@click.argument("prefix")
def remove_price(prefix: str) -> None:
    """Nobody knows any more what calls to PREFIX cost, but by a shorter prefix."""
    from store import prices

    with database() as db:
        if not prices.remove(db, _prefix(prefix), actor=actor()):
            raise ValueError(f"there is no price of {prefix}: see trunkline prices list")
    click.echo(f"price of {prefix} removed")


def _prefix(text: str) -> str:
    digits = "" if text == "all" else text.removeprefix("+")
    if text != "all" and (not digits.isascii() or not digits.isdecimal() or len(digits) > 15):
        raise ValueError(f"prefix: {text!r} must be 1 to 15 digits, or all")
    return digits


def _read(lines: csv.DictReader[str]) -> Iterable[Any]:
    from store.prices import Price

    needed = {"prefix", "per_minute"}
    if not needed <= set(lines.fieldnames or ()):
        raise ValueError("the first line must name the columns prefix and per_minute")
    for line in lines:
        try:
            increment = int(line.get("increment_s") or 60)
            yield Price(
                _prefix(line["prefix"] or "all"),
                micros(line["per_minute"], _MOST_PRICE),
                micros(line.get("per_attempt") or "0", _MOST_PRICE),
                increment,
            )
        except ValueError as error:
            raise ValueError(f"line {lines.line_num}: {error}") from None


COMMANDS = (prices_group,)
