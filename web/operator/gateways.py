"""/v1/operator/gateways: what each switch has of the carriers' gateways, as Postgres knows it; look again, or put it right.

The controllers beside the switches do it: this room only orders it, and reads what they found.
"""

from __future__ import annotations

from typing import Any

from flask import Response

from store import carriers, gateways
from store.pool import Database
from store.snapshot import stamp
from web.api import idempotency
from web.api.answer_fields import Answer, moment, several, text, texts
from web.api.fields import Request, Text
from web.api.headers import REPLAYED_HEADER
from web.api.respond import answer, refuses
from web.api.retry_fields import Several
from web.operator.blueprint import NEEDS, blueprint, changing, once
from web.problems import FieldError, invalid
from web.runtime import runtime


class ApplyRequest(Request):
    """What to apply."""

    renew = Several(
        Text(maximum=32),
        200,
        metadata={"description": "carriers that get new gateways although nothing differs, as when the password is another"},
    )


class FindingAnswer(Answer):
    """Something that differs on a switch."""

    gateway = text("which gateway or address")
    what = text("missing, different, unknown ...")
    detail = text("the same in words")


class SwitchOrderAnswer(Answer):
    """What the controller beside a switch was last asked, and what it found."""

    switch = text("the switch")
    kind = text("look: compare; apply: put right", enum=["look", "apply"])
    asked_at = moment("asked")
    done_at = moment("done; null: its controller has not answered yet", null=True)
    findings = several(FindingAnswer)


class LoadAnswer(Answer):
    """What a switch has of a gateway."""

    switch = text("the switch")
    gateway = text("the gateway")
    state = text("loaded: it is dialed", enum=["loaded", "failed", "gone"])
    why = text("of failed")
    at = moment("since when")


class GatewaysAnswer(Answer):
    """The gateways of all switches."""

    orders = several(SwitchOrderAnswer)
    gateways = several(LoadAnswer)
    not_dialed = texts("that are to be dialed and are not, or not on every switch")


class OrderedAnswer(Answer):
    """It was asked of these switches; what comes of it: `GET /v1/operator/gateways`."""

    switches = texts("whose controllers were asked")
    made = texts("gateways that are new")


@blueprint.get("/gateways", scope=NEEDS)
@blueprint.response(200, GatewaysAnswer)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListGateways")
def list_gateways() -> Response:
    """Read what the switches have

    The last look of each switch's controller, and what it found to differ from what the carriers say.
    """
    database = runtime().database
    orders = [
        {
            "switch": one.switch,
            "kind": one.kind,
            "asked_at": stamp(one.asked_at),
            "done_at": stamp(one.done_at),
            "findings": [
                {name: str(found.get(name, "")) for name in ("gateway", "what", "detail")} for found in one.findings
            ],
        }
        for one in gateways.orders(database)
    ]
    loads = [
        {"switch": one.switch, "gateway": one.gateway, "state": one.state, "why": one.why, "at": stamp(one.at)}
        for one in gateways.loads(database)
    ]
    return answer({"orders": orders, "gateways": loads, "not_dialed": gateways.not_dialed(database)})


@blueprint.post("/gateways/actions/look", scope=NEEDS)
@blueprint.response(202, OrderedAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorLookAtGateways")
def look_at_gateways() -> Response:
    """Have every switch's gateways compared

    With what the carriers say. Nothing is changed.
    """

    def ordered(database: Database) -> Response:
        with changing(database=database) as change:
            _, asked = gateways.order(change.database, "look", runtime().now())
            change.note("gateways.look", "gateways:all", {"switches": asked})
        return answer({"switches": asked, "made": []}, 202)

    return once(ordered)


@blueprint.post("/gateways/actions/apply", scope=NEEDS)
@blueprint.arguments(ApplyRequest)
@blueprint.response(202, OrderedAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorApplyGateways")
def apply_gateways(args: dict[str, Any]) -> Response:
    """Make every switch's gateways what the carriers say

    Beside the live calls. New dials take a new gateway when every switch that answers has it; the old one goes when
    its calls are over.
    """
    return once(lambda database: _applied(database, args.get("renew", [])))


def _applied(database: Database, renew: list[str]) -> Response:
    now = runtime().now()
    known = {one.name for one in carriers.list_limits(database)}
    faults = [
        FieldError(f"/renew/{n}", "unknown_carrier", "there is none") for n, one in enumerate(renew) if one not in known
    ]
    if faults:
        raise invalid(*faults)
    with changing(database=database) as change:
        made = [version.gateway for version in gateways.plan(change.database, now, renew=renew)]
        _, asked = gateways.order(change.database, "apply", now)
        change.note("gateways.apply", "gateways:all", {"switches": asked, "made": made, "renew": renew})
    return answer({"switches": asked, "made": made}, 202)
