"""/v1/operator/limits: every limit that is not a carrier's own, by its scope."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from flask import Response
from marshmallow import validates_schema

from store import scopes
from web.api.answer_fields import Answer, amount, several, text, truth, whole
from web.api.fields import Request, Whole, fault
from web.api.respond import answer, refuses
from web.operator.blueprint import NEEDS, blueprint, changing, missing
from web.operator.fields import Amount
from web.runtime import runtime

_SCOPE = re.compile(r"[A-Za-z0-9.:_-]{1,128}")


class ChangeLimitRequest(Request):
    """What is to change; what is left out stays."""

    max_channels = Whole(0, 2**31 - 1, allow_none=True, metadata={"description": "calls at the same time; null: any number"})
    cps = Amount(0, 99_999.999, allow_none=True, metadata={"description": "INVITEs per second; null: no limit"})
    window_ms = Whole(100, 60_000, metadata={"description": "ms; over how long they are counted"})
    weight = Whole(1, 1000, metadata={"description": "a campaign's share of its tenant's turns"})

    @validates_schema(pass_original=True)
    def _something(self, _: Any, sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give at least one thing to change")


class OperatorLimitAnswer(Answer):
    """A limit."""

    scope = text("what it limits: " + scopes.FORMS)
    max_channels = whole("calls at the same time, at most; null: any number", null=True)
    cps = amount("INVITEs per second, at most; null: no limit", null=True)
    window_ms = whole("ms; over how long they are counted")
    weight = whole("a campaign's share of its tenant's turns")
    paused = truth("true: nothing new is dialed under it")


class OperatorLimitList(Answer):
    """Every limit by scope."""

    data = several(OperatorLimitAnswer)


@blueprint.get("/limits", scope=NEEDS)
@blueprint.response(200, OperatorLimitList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListLimits")
def list_platform_limits() -> Response:
    """List limits

    Of everything but carriers: `global`, `switch:NAME`, `account:NAME`, `ip:ADDRESS`, and what is of tenants.
    """
    return answer({"data": [asdict(one) for one in scopes.list_scopes(runtime().database)]})


@blueprint.patch("/limits/<scope>", scope=NEEDS)
@blueprint.arguments(ChangeLimitRequest)
@blueprint.response(200, OperatorLimitAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeLimit")
def change_limit(args: dict[str, Any], scope: str) -> Response:
    """Set a limit

    Only what is named; a scope that has no limit yet gets one. It acts within a second.
    """
    with changing() as change:
        done = scopes.update(change.database, _named(scope), **args)
        change.note("limit.changed", f"limit:{done.scope}", args)
    return answer(asdict(done))


@blueprint.delete("/limits/<scope>", scope=NEEDS)
@blueprint.response(200, OperatorLimitList)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorRemoveLimit")
def remove_limit(scope: str) -> Response:
    """Take every limit off a scope

    Answers with the limits that are left.
    """
    with changing() as change:
        if not scopes.remove(change.database, _named(scope)):
            raise missing("limit", scope)
        change.note("limit.removed", f"limit:{scope}", {})
    return answer({"data": [asdict(one) for one in scopes.list_scopes(runtime().database)]})


def _named(scope: str) -> str:
    if _SCOPE.fullmatch(scope) is None:
        raise missing("limit", scope)
    return scope
