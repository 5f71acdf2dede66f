"""/v1/operator/prices: what calls cost, by prefix; by it the spend of tenants is counted. docs/caps.md."""

from __future__ import annotations

import re
from typing import Any

from flask import Response

from store import prices
from store.pool import Database
from store.prices import Price
from web.api import idempotency
from web.api.answer_fields import Answer, PageAnswer, amount, several, text, truth, whole
from web.api.fields import Request, Text, Whole
from web.api.headers import REPLAYED_HEADER
from web.api.requests import PageQuery
from web.api.respond import answer, refuses
from web.api.retry_fields import Part, Several
from web.operator.blueprint import NEEDS, actor, blueprint, missing, once, writing
from web.operator.fields import Money, money
from web.problems import FieldError, invalid
from web.runtime import runtime

#: Of one request; a longer list comes in parts.
IMPORT_MOST = 1000
_ALL = "all"
_PREFIX = f"({_ALL}|[0-9]{{1,15}})"
_REMEDY = "must be 1 to 15 digits without +, or all"
_MOST = 1000
_TELL_PREFIX = "E.164 digits without +, the longest that fits a number holds; all: every number"


class PriceRequest(Request):
    """What calls cost."""

    per_minute = Money(_MOST, required=True, metadata={"description": "of talk, in your currency", "example": 0.0125})
    per_attempt = Money(_MOST, metadata={"description": "for each dial that leaves the switch", "default": 0})
    increment_s = Whole(1, 3600, metadata={"description": "s; charged in whole ones", "default": 60})


class PriceOfRequest(PriceRequest):
    """What calls to a prefix cost."""

    prefix = Text(
        maximum=15,
        pattern=_PREFIX,
        remedy=_REMEDY,
        required=True,
        metadata={"description": _TELL_PREFIX, "example": "4915"},
    )


class ImportPricesRequest(Request):
    """Prices of many prefixes."""

    prices = Several(Part(PriceOfRequest), IMPORT_MOST, required=True)


class PricesQuery(PageQuery):
    """Where in the list."""

    starting_after = Text(
        maximum=15,
        pattern=_PREFIX,
        remedy=_REMEDY,
        metadata={"description": "next_cursor of the page before", "example": "4915"},
    )


class PriceAnswer(Answer):
    """What calls to a prefix cost."""

    prefix = text(_TELL_PREFIX, example="4915")
    per_minute = amount("of talk, in your currency")
    per_attempt = amount("for each dial that leaves the switch")
    increment_s = whole("s; charged in whole ones")


class PricePage(PageAnswer):
    """A page of prices by prefix."""

    data = several(PriceAnswer)


class ImportedPricesAnswer(Answer):
    """What was set."""

    prices = whole("how many")


class RemovedPriceAnswer(Answer):
    """It is gone."""

    prefix = text(_TELL_PREFIX, example="4915")
    deleted = truth("always true")


@blueprint.get("/prices", scope=NEEDS)
@blueprint.arguments(PricesQuery, location="query")
@blueprint.response(200, PricePage)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListPrices")
def list_prices(query: dict[str, Any]) -> Response:
    """List prices by prefix"""
    limit, after = query["limit"], query.get("starting_after")
    found = prices.list_page(runtime().database, limit + 1, None if after is None else _digits(after))
    data, more = [_show(one) for one in found[:limit]], len(found) > limit
    return answer({"data": data, "has_more": more, "next_cursor": data[-1]["prefix"] if more else None})


@blueprint.get("/prices/<prefix>", scope=NEEDS)
@blueprint.response(200, PriceAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetPrice")
def get_price(prefix: str) -> Response:
    """Read the price of a prefix

    Of this very prefix; where there is none, that of a shorter one holds.
    """
    found = prices.get(runtime().database, _digits(prefix)) if re.fullmatch(_PREFIX, prefix) else None
    if found is None:
        raise missing("price", prefix)
    return answer(_show(found))


@blueprint.put("/prices/<prefix>", scope=NEEDS)
@blueprint.arguments(PriceRequest)
@blueprint.response(200, PriceAnswer)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="operatorPutPrice")
def put_price(args: dict[str, Any], prefix: str) -> Response:
    """Set what calls to a prefix cost

    Calls that were dialed keep the price that they were dialed by.
    """
    if re.fullmatch(_PREFIX, prefix) is None:
        raise invalid(FieldError("prefix", "bad_format", _REMEDY, "parameter"))
    one = _read({**args, "prefix": prefix})
    with writing():
        prices.put(runtime().database, [one], actor=actor())
    return answer(_show(one))


@blueprint.post("/prices/import", scope=NEEDS)
@blueprint.arguments(ImportPricesRequest)
@blueprint.response(200, ImportedPricesAnswer, headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorImportPrices")
def import_prices(args: dict[str, Any]) -> Response:
    """Set the prices of many prefixes

    All of them or, where one is wrong, none. Prices of other prefixes stay.
    """

    def imported(database: Database) -> Response:
        with writing():
            count = prices.put(database, [_read(one) for one in args["prices"]], actor=actor())
        return answer({"prices": count})

    return once(imported)


@blueprint.delete("/prices/<prefix>", scope=NEEDS)
@blueprint.response(200, RemovedPriceAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorRemovePrice")
def remove_price(prefix: str) -> Response:
    """Remove the price of a prefix

    Nobody knows any more what calls there cost, but by a shorter prefix. Where a tenant's spend is capped, numbers without
    a price are not dialed.
    """
    if re.fullmatch(_PREFIX, prefix) is None:
        raise missing("price", prefix)
    with writing():
        if not prices.remove(runtime().database, _digits(prefix), actor=actor()):
            raise missing("price", prefix)
    return answer({"prefix": prefix, "deleted": True})


def _digits(prefix: str) -> str:
    return "" if prefix == _ALL else prefix


def _read(args: dict[str, Any]) -> Price:
    return Price(_digits(args["prefix"]), args["per_minute"], args.get("per_attempt", 0), args.get("increment_s", 60))


def _show(one: Price) -> dict[str, Any]:
    return {
        "prefix": one.prefix or _ALL,
        "per_minute": money(one.minute_micros),
        "per_attempt": money(one.attempt_micros),
        "increment_s": one.increment_s,
    }
