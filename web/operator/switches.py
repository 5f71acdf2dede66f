"""/v1/operator/switches: which there are, and taking one out of service in order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response

from store import overview, switches
from store.overview import Switch
from store.pool import Database
from store.snapshot import stamp
from web.api import idempotency
from web.api.answer_fields import Answer, amount, moment, several, text, whole
from web.api.headers import REPLAYED_HEADER
from web.api.respond import answer, refuses
from web.operator.blueprint import NEEDS, blueprint, changing, missing, named, once
from web.runtime import runtime


class SwitchAnswer(Answer):
    """A switch that a controller has spoken for."""

    name = text("unique, and how paths name it")
    seen_at = moment("last heard of", null=True)
    seen_ago_s = amount("s; how long ago, by the database's clock", null=True)
    drained_at = moment("since then nothing new is dialed on it; null: it is in service", null=True)
    calls = whole("being dialed, ringing or talked on there")


class SwitchList(Answer):
    """Every switch there ever was, by name."""

    data = several(SwitchAnswer)


@blueprint.get("/switches", scope=NEEDS)
@blueprint.response(200, SwitchList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListSwitches")
def list_switches() -> Response:
    """List switches"""
    return answer({"data": [show(one) for one in overview.switches(runtime().database)]})


@blueprint.post("/switches/<switch>/actions/drain", scope=NEEDS)
@blueprint.response(202, SwitchAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorDrainSwitch")
def drain_switch(switch: str) -> Response:
    """Drain a switch

    Nothing new is dialed on it; calls that are up there end by themselves, what is queued leaves by other switches. `calls`
    tells how many are left. Asking again changes nothing.
    """
    return once(lambda database: _change(database, switch, runtime().now(), "switch.drained"))


@blueprint.post("/switches/<switch>/actions/undrain", scope=NEEDS)
@blueprint.response(202, SwitchAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorUndrainSwitch")
def undrain_switch(switch: str) -> Response:
    """Put a switch back into service"""
    return once(lambda database: _change(database, switch, None, "switch.undrained"))


def _change(database: Database, switch: str, now: datetime | None, action: str) -> Response:
    with changing(database=database) as change:
        try:
            switches.drain(change.database, named("switch", switch), now)
        except LookupError:
            raise missing("switch", switch) from None
        change.note(action, f"switch:{switch}", {})
    return answer(next(show(one) for one in overview.switches(database) if one.name == switch), 202)


def show(one: Switch) -> dict[str, Any]:
    """The switch as it is answered."""
    return {
        "name": one.name,
        "seen_at": stamp(one.seen_at),
        "seen_ago_s": None if one.ago is None else round(max(0.0, one.ago.total_seconds()), 3),
        "drained_at": stamp(one.drained_at),
        "calls": one.calls,
    }
