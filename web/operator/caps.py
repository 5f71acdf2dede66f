"""/v1/operator/tenants/{tenant}/caps: how much a tenant may do, and how much of it is used. docs/caps.md."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response
from marshmallow import validates_schema

from calls.caps import Caps, Used
from store import caps
from web.api.answer_fields import Answer, amount, part, text, whole
from web.api.fields import Request, Whole, fault
from web.api.respond import answer, refuses
from web.api.retry_fields import Zone
from web.operator.blueprint import NEEDS, actor, blueprint, writing
from web.operator.fields import Money, money
from web.operator.tenants import the_tenant
from web.runtime import runtime

_COUNT, _SPEND = 2**31 - 1, 10**9
_DIALS = "dials within any 60 s"
_NUMBER = "dials to one number on a day that may have rung"
_MINUTES = "minutes of talk of the calls dialed on a day"
_SPENT = "what those calls cost, in the currency of the prices"
_NEW = "destinations begun within an hour that were not dialed for 30 days"
_NONE = "; null: no cap"


def _count(least: int, description: str) -> Whole:
    return Whole(least, _COUNT, allow_none=True, metadata={"description": description + _NONE})


class ChangeCapsRequest(Request):
    """What is to change; what is left out stays."""

    calls_per_minute = _count(1, _DIALS)
    number_per_day = _count(1, _NUMBER)
    minutes_per_day = _count(0, _MINUTES)
    spend_per_day = Money(_SPEND, allow_none=True, metadata={"description": _SPENT + _NONE})
    new_prefixes_per_hour = _count(0, _NEW)
    reserve_s = Whole(0, 14_400, metadata={"description": "s of talk that a dial counts with"})
    time_zone = Zone(metadata={"description": "IANA zone whose days are meant", "example": "Europe/Berlin"})

    @validates_schema(skip_on_field_errors=True, pass_original=True)
    def _something(self, _: Any, sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give at least one thing to change")


class UsedCapsAnswer(Answer):
    """How much is used now, what is reserved for calls on the line included."""

    calls_per_minute = whole(_DIALS + ", as many as the cap at most")
    minutes_per_day = amount(_MINUTES)
    spend_per_day = amount(_SPENT)
    new_prefixes_per_hour = whole(_NEW)
    on_the_line = whole("calls dialed today that are up")


class CapsAnswer(Answer):
    """The caps of a tenant."""

    calls_per_minute = whole(_DIALS + _NONE, null=True)
    number_per_day = whole(_NUMBER + _NONE, null=True)
    minutes_per_day = whole(_MINUTES + _NONE, null=True)
    spend_per_day = amount(_SPENT + _NONE, null=True)
    new_prefixes_per_hour = whole(_NEW + _NONE, null=True)
    reserve_s = whole("s of talk that a dial counts with")
    time_zone = text("whose days are meant")
    used = part(UsedCapsAnswer, "null: there is no cap, so nothing is counted", null=True)


@blueprint.get("/tenants/<tenant>/caps", scope=NEEDS)
@blueprint.response(200, CapsAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetCaps")
def get_caps(tenant: str) -> Response:
    """Read a tenant's caps"""
    return answer(_shown(the_tenant(tenant).id))


@blueprint.patch("/tenants/<tenant>/caps", scope=NEEDS)
@blueprint.arguments(ChangeCapsRequest)
@blueprint.response(200, CapsAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeCaps")
def change_caps(args: dict[str, Any], tenant: str) -> Response:
    """Change a tenant's caps

    Only what is named. It acts on the next claim; what waits for a cap is looked at again at once. Counting begins with the
    first cap; with the last one that is taken away, what was counted goes.
    """
    owner = the_tenant(tenant)
    with writing():
        caps.set_caps(runtime().database, owner.id, actor=actor(), **args)
    return answer(_shown(owner.id))


def _shown(tenant_id: UUID) -> dict[str, Any]:
    used = caps.used(runtime().database, tenant_id)
    rule = Caps() if used is None else used.caps
    return {
        "calls_per_minute": rule.calls_per_minute,
        "number_per_day": rule.number_per_day,
        "minutes_per_day": rule.minutes_per_day,
        "spend_per_day": money(rule.spend_per_day),
        "new_prefixes_per_hour": rule.new_prefixes_per_hour,
        "reserve_s": rule.reserve_s,
        "time_zone": rule.time_zone,
        "used": None if used is None else _used(used),
    }


def _used(used: Used) -> dict[str, Any]:
    return {
        "calls_per_minute": used.dials,
        "minutes_per_day": round(used.seconds / 60, 2),
        "spend_per_day": money(used.micros),
        "new_prefixes_per_hour": len(used.new_prefixes),
        "on_the_line": used.running,
    }
