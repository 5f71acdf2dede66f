"""/v1/operator/carriers: made, shown, changed, paused; and how a number would be dialed through one."""

from __future__ import annotations

from typing import Any

from flask import Response, url_for

from calls.numbers import parse_caller_id, parse_destination
from store import carrier_set, carriers, trunks
from store.pool import Database
from store.preview import preview
from store.tenants import NameTaken
from web.api import idempotency
from web.api.answer_fields import Answer, several, text, texts, truth
from web.api.fields import Request, Telephone
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.respond import answer, refuses
from web.operator.blueprint import LOOK_FIRST, NEEDS, blueprint, changing, missing, named, once
from web.operator.carrier_fields import (
    CarrierAnswer,
    CarrierList,
    ChangeCarrierRequest,
    EndpointAnswer,
    NewCarrierRequest,
    changes,
    show,
    show_endpoint,
)
from web.problems import FieldError, Problem
from web.runtime import runtime


class PreviewQuery(Request):
    """Which number, and by which caller id."""

    number = Telephone(
        parse_destination, required=True, metadata={"description": "number to dial", "example": "+4930123456"}
    )
    from_ = Telephone(
        parse_caller_id,
        data_key="from",
        metadata={"description": "caller id; else the number itself", "example": "+442079460000"},
    )


class PreviewAnswer(Answer):
    """How a number would be dialed, by the carrier's rules. No switch is asked."""

    number = text("E.164")
    country = text("ISO 3166-1", null=True)
    kind = text("what kind of number it is")
    written = text("the number as this carrier wants it")
    route = text("that a call to the number takes; null: none", null=True)
    served = truth("whether this carrier serves that route")
    endpoints = several(EndpointAnswer)
    request_uri = text("of the INVITE, at the first endpoint")
    headers = texts("From, identity and Privacy, as the carrier reads them")
    codecs = texts("in the order in which they are offered")


@blueprint.post("/carriers", scope=NEEDS)
@blueprint.arguments(NewCarrierRequest)
@blueprint.response(201, CarrierAnswer, headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorCreateCarrier")
def create_carrier(args: dict[str, Any]) -> Response:
    """Create a carrier

    It is dialed when it has an endpoint that is loaded, and a route leads to it.
    """
    return once(lambda database: _created(database, args), LOOK_FIRST)


def _created(database: Database, args: dict[str, Any]) -> Response:
    name = args["name"]
    try:
        with changing(LOOK_FIRST, database) as change:
            carrier_set.create(change.database, **args)
            change.note("carrier.created", f"carrier:{name}", args)
    except NameTaken:
        detail = "there is a carrier of this name already; change it, or choose another name"
        raise Problem(409, "name_taken", "name: " + detail, [FieldError("/name", "name_taken", detail)]) from None
    return answer(shown(name, database), 201, {"Location": url_for("operator.get_carrier", carrier=name)})


@blueprint.get("/carriers", scope=NEEDS)
@blueprint.response(200, CarrierList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListCarriers")
def list_carriers() -> Response:
    """List carriers

    Every carrier by name, with all that is set for it. What each is doing now: `GET /v1/operator/why`.
    """
    database = runtime().database
    sides, ends = {trunk.id: trunk for trunk in trunks.list_trunks(database)}, carriers.list_endpoints(database)
    return answer({"data": [show(one, sides[one.id], ends) for one in carriers.list_limits(database) if one.id in sides]})


@blueprint.get("/carriers/<carrier>", scope=NEEDS)
@blueprint.response(200, CarrierAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetCarrier")
def get_carrier(carrier: str) -> Response:
    """Read a carrier"""
    return answer(shown(named("carrier", carrier)))


@blueprint.patch("/carriers/<carrier>", scope=NEEDS)
@blueprint.arguments(ChangeCarrierRequest)
@blueprint.response(200, CarrierAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeCarrier")
def change_carrier(args: dict[str, Any], carrier: str) -> Response:
    """Change a carrier

    Only what is named, all of it or nothing. It acts within a second, but for what is a gateway's own (address, transport,
    authentication, From, OPTIONS): that acts when it is applied (`POST /v1/operator/gateways/actions/apply`), and
    touches no live call. A digest password is not sent here: it stays in the controllers' environment, under the name
    `secret_env`.
    """
    wanted = changes(args)
    with changing() as change:
        if carrier_set.change(change.database, named("carrier", carrier), wanted) is None:
            raise missing("carrier", carrier)
        change.note("carrier.changed", f"carrier:{carrier}", wanted)
    return answer(shown(carrier))


@blueprint.get("/carriers/<carrier>/preview", scope=NEEDS)
@blueprint.arguments(PreviewQuery, location="query")
@blueprint.response(200, PreviewAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorPreviewDial")
def preview_dial(query: dict[str, Any], carrier: str) -> Response:
    """Preview a dial

    The number rules, gateways and headers of a dial through this carrier. Nothing is dialed. The switch's own dial string is
    the terminal's: `trunkline carriers preview`.
    """
    found = preview(runtime().database, named("carrier", carrier), query["number"], query.get("from_"))
    if found is None:
        raise missing("carrier", carrier)
    return answer(
        {
            "number": found.number,
            "country": found.country,
            "kind": str(found.kind),
            "written": found.written,
            "route": found.route,
            "served": found.served,
            "endpoints": [show_endpoint(end) for end in found.endpoints],
            "request_uri": found.request_uri,
            "headers": found.headers,
            "codecs": list(found.trunk.codecs),
        }
    )


def shown(name: str, database: Database | None = None) -> dict[str, Any]:
    """The carrier as it is now, or 404. ``database``: of the transaction that asks; None: one of its own."""
    database = database or runtime().database
    trunk = trunks.get(database, name)
    limits = next((one for one in carriers.list_limits(database) if one.name == name), None)
    if trunk is None or limits is None:
        raise missing("carrier", name)
    return show(limits, trunk, carriers.list_endpoints(database))
