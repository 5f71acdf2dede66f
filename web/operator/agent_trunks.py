"""/v1/operator/trunks: ways to switchboards, by name, for agents of kind sip."""

from __future__ import annotations

from typing import Any

from flask import Response

from calls.ids import tenant_ref
from store import agent_trunks, carriers
from store.agent_trunks import AgentTrunk
from web.api.answer_fields import Answer, several, text, texts
from web.api.fields import Reference, Request
from web.api.respond import answer, refuses
from web.operator.blueprint import NEEDS, blueprint, changing, missing, named
from web.operator.fields import name as a_name
from web.operator.lent import lending
from web.problems import FieldError, invalid
from web.runtime import runtime


class PutTrunkRequest(Request):
    """A trunk as it is to be; replaces what it was."""

    carrier = a_name(32, required=True, metadata={"description": "that leads there"})
    tenant_id = Reference(
        "tenant",
        required=True,
        allow_none=True,
        metadata={"description": "whose agents alone may have it, and choose what is dialed there; null: all"},
    )


class TrunkAnswer(Answer):
    """A way to a switchboard: a route that no number leads to."""

    name = text("unique, and how agents name it")
    tenant_id = text("whose agents alone may have it; null: everybody's", null=True)
    carriers = texts("those that lead there")


class TrunkList(Answer):
    """Every trunk, by name."""

    data = several(TrunkAnswer)


@blueprint.get("/trunks", scope=NEEDS)
@blueprint.response(200, TrunkList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListTrunks")
def list_trunks() -> Response:
    """List trunks to switchboards"""
    return _listed()


@blueprint.put("/trunks/<trunk>", scope=NEEDS)
@blueprint.arguments(PutTrunkRequest)
@blueprint.response(200, TrunkAnswer)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="operatorPutTrunk")
def put_trunk(args: dict[str, Any], trunk: str) -> Response:
    """Create or replace a trunk to a switchboard

    Its tenant chooses what is dialed there, in place of a number. It is not given to one tenant while agents of others
    have it.
    """
    whose = args["tenant_id"]
    carrier = next((one for one in carriers.list_limits(runtime().database) if one.name == args["carrier"]), None)
    if carrier is None:
        raise invalid(FieldError("/carrier", "unknown_carrier", "there is no such carrier; create it first"))
    with lending("trunk_in_use"), changing() as change:
        done = agent_trunks.put(change.database, named("trunk", trunk), carrier_id=carrier.id, tenant_id=whose)
        noted = {"carrier": carrier.name, "tenant_id": None if whose is None else str(whose)}
        change.note("trunk.changed", f"trunk:{done.name}", noted)
    return answer(_show(done))


@blueprint.delete("/trunks/<trunk>", scope=NEEDS)
@blueprint.response(200, TrunkList)
@refuses(blueprint, 404, 409, writes=True)
@blueprint.doc(operationId="operatorRemoveTrunk")
def remove_trunk(trunk: str) -> Response:
    """Remove a trunk to a switchboard

    Answers with those that are left. Refused while an agent has it.
    """
    with lending("trunk_in_use"), changing() as change:
        if not agent_trunks.remove(change.database, named("trunk", trunk)):
            raise missing("trunk", trunk)
        change.note("trunk.removed", f"trunk:{trunk}", {})
    return _listed()


def _listed() -> Response:
    return answer({"data": [_show(one) for one in agent_trunks.list_trunks(runtime().database)]})


def _show(trunk: AgentTrunk) -> dict[str, Any]:
    return {
        "name": trunk.name,
        "tenant_id": None if trunk.tenant_id is None else tenant_ref(trunk.tenant_id),
        "carriers": list(trunk.carriers),
    }
