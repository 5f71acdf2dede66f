"""trunkline routes: which numbers go to which carriers, in which order and at what price."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import click

from trunkline.cli.common import JSON_OPTION, ParamType, carrier_ids, changing, database, show

COLUMNS = ("name", "prefix", "tier", "carrier", "weight", "price")


@click.group("routes")
def routes_group() -> None:
    """Routes: E.164 prefixes and the carriers that serve them. The longest prefix of a number counts."""


@routes_group.command("list")
@JSON_OPTION
def list_routes(as_json: bool) -> None:
    """Every route, prefix and carrier in order of preference; prefix * is every number."""
    from store import carriers

    with database() as db:
        names = {carrier.id: carrier.name for carrier in carriers.list_limits(db)}
        rows = [
            {
                "name": route.name,
                "prefix": route.prefix or "*",
                "tier": serving.tier,
                "carrier": names[serving.carrier_id],
                "weight": serving.weight,
                "price": serving.price,
            }
            for route in carriers.list_routes(db)
            for serving in route.serving
        ]
    show(rows, COLUMNS, as_json=as_json)


class Served(NamedTuple):
    """A carrier as an option names it."""

    name: str
    tier: int
    weight: int
    price: float | None


class _Served(ParamType):
    name = "carrier[:tier[:weight[:price]]]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Served:  # noqa: ARG002
        if isinstance(value, Served):
            return value
        name, *numbers = str(value).split(":")
        try:
            if not name or len(numbers) > 3:
                raise ValueError(value)
            tier, weight, price = [*numbers, *["1", "1", ""][len(numbers) :]]
            served = Served(name, int(tier), int(weight), float(price) if price else None)
            if served.price is not None and not math.isfinite(served.price):
                raise ValueError(price)
            return served
        except ValueError:
            self.fail(
                f"{value!r} is not carrier:tier:weight:price, such as acme:1:10:0.0125; price per minute may be left out"
            )


@routes_group.command("set")
@click.argument("name")
@click.option("--prefix", "prefixes", multiple=True, required=True, help="E.164 prefix without +; '' or * is every number")
@click.option(
    "--carrier", "served", type=_Served(), multiple=True, required=True, help="lower tiers first, by weight within one"
)
def set_route(name: str, prefixes: tuple[str, ...], served: tuple[Served, ...]) -> None:
    """Create or replace the route NAME. Both options may be given several times."""
    from store import carriers

    plain = ["" if prefix == "*" else prefix for prefix in prefixes]
    with changing() as change:
        ids = carrier_ids(change.database, [one.name for one in served])
        order = [carriers.Serving(id_, one.tier, one.weight, one.price) for id_, one in zip(ids, served, strict=True)]
        carriers.put_route(change.database, name=name, prefixes=plain, carriers=order)
        change.note("route.put", f"route:{name}", {"prefixes": plain, "carriers": [one._asdict() for one in served]})
    leads = ", ".join(one.name for one in sorted(served, key=lambda one: (one.tier, -one.weight)))
    click.echo(f"route {name}: {', '.join(prefix or 'every number' for prefix in plain)} -> {leads}")


@routes_group.command("remove")
@click.argument("name")
def remove_route(name: str) -> None:
    """Take the route NAME away: new calls to its numbers are refused, waiting ones wait until it is set again."""
    from store import carriers

    with changing() as change:
        if not carriers.remove_route(change.database, name):
            raise ValueError(f"there is no route {name!r}: see trunkline routes list")
        change.note("route.removed", f"route:{name}", {})
    click.echo(f"route {name} is removed")


COMMANDS = (routes_group,)
