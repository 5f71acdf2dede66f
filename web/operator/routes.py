"""/v1/operator/routes: which numbers go to which carriers, in which order and at what price."""

from __future__ import annotations

from typing import Any

from flask import Response

from store import carriers
from store.carriers import Serving
from web.api.answer_fields import Answer, amount, several, text, texts, whole
from web.api.fields import Request, Whole
from web.api.respond import answer, refuses
from web.api.retry_fields import Part, Several
from web.operator.blueprint import ASK_AGAIN, NEEDS, blueprint, changing, missing, named
from web.operator.carrier_fields import Digits
from web.operator.fields import Amount
from web.operator.fields import name as a_name
from web.problems import FieldError, invalid
from web.runtime import runtime


class ServingRequest(Request):
    """A carrier that serves the route."""

    carrier = a_name(32, required=True)
    tier = Whole(1, 1000, metadata={"description": "lower ones first", "default": 1})
    weight = Whole(1, 1_000_000, metadata={"description": "within a tier", "default": 1})
    price = Amount(0, 99_999, metadata={"description": "per minute, in your currency"})


class PutRouteRequest(Request):
    """A route as it is to be; replaces all that it was."""

    prefixes = Several(
        Digits("[0-9]{0,15}", "0 to 15 digits without +; an empty text is every number", metadata={"example": "49"}),
        1000,
        required=True,
        metadata={"description": "E.164 prefixes without +; the longest of a number counts"},
    )
    carriers = Several(Part(ServingRequest), 100, required=True)


class ServingAnswer(Answer):
    """A carrier that serves the route."""

    carrier = text("the carrier")
    tier = whole("lower ones first")
    weight = whole("within a tier")
    price = amount("per minute; null: not known", null=True)


class RouteAnswer(Answer):
    """A route."""

    name = text("unique, and how paths name it")
    prefixes = texts("E.164 prefixes without +")
    carriers = several(ServingAnswer)


class RouteList(Answer):
    """Every route by name."""

    data = several(RouteAnswer)


@blueprint.get("/routes", scope=NEEDS)
@blueprint.response(200, RouteList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListRoutes")
def list_routes() -> Response:
    """List routes

    Those named `trial-...` are of test calls; no number leads to them.
    """
    return answer({"data": _shown()})


@blueprint.put("/routes/<route>", scope=NEEDS)
@blueprint.arguments(PutRouteRequest)
@blueprint.response(200, RouteAnswer)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="operatorPutRoute")
def put_route(args: dict[str, Any], route: str) -> Response:
    """Create or replace a route"""
    ids = {one.name: one.id for one in carriers.list_limits(runtime().database)}
    faults = [
        FieldError(f"/carriers/{n}/carrier", "unknown_carrier", "there is no such carrier; create it first")
        for n, one in enumerate(args["carriers"])
        if one["carrier"] not in ids
    ]
    if faults:
        raise invalid(*faults)
    serving = [
        Serving(ids[one["carrier"]], one.get("tier", 1), one.get("weight", 1), one.get("price")) for one in args["carriers"]
    ]
    with changing() as change:
        carriers.put_route(change.database, name=route, prefixes=args["prefixes"], carriers=serving)
        change.note("route.put", f"route:{route}", args)
    return answer(next(one for one in _shown() if one["name"] == route))


@blueprint.delete("/routes/<route>", scope=NEEDS)
@blueprint.response(200, RouteList)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorRemoveRoute")
def remove_route(route: str) -> Response:
    """Remove a route

    New calls to its numbers are refused; waiting ones wait until it is put again. Answers with the routes that are left.
    """
    with changing(ASK_AGAIN) as change:
        if not carriers.remove_route(change.database, named("route", route)):
            raise missing("route", route)
        change.note("route.removed", f"route:{route}", {})
    return answer({"data": _shown()})


def _shown() -> list[dict[str, Any]]:
    database = runtime().database
    names = {one.id: one.name for one in carriers.list_limits(database)}
    shown: dict[str, dict[str, Any]] = {}
    for one in carriers.list_routes(database):
        serving = [
            {"carrier": names[s.carrier_id], "tier": s.tier, "weight": s.weight, "price": s.price} for s in one.serving
        ]
        entry = shown.setdefault(one.name, {"name": one.name, "prefixes": [], "carriers": serving})
        entry["prefixes"].append(one.prefix)
    return list(shown.values())
