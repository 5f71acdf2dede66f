"""/v1/operator/tenants/{tenant}/caller_ids: which numbers a tenant's calls may show."""

from __future__ import annotations

from typing import Any

from flask import Response

from store import outbound
from web.api.answer_fields import Answer, text, truth
from web.api.caller_ids import CallerIdsQuery, show
from web.api.fields import Choice, Request
from web.api.respond import answer, page, refuses
from web.api.retry_fields import Switch
from web.api.rules_answers import CallerIdAnswer, CallerIdPage
from web.operator.blueprint import NEEDS, blueprint, changing, missing
from web.operator.fields import Words
from web.operator.tenants import the_tenant
from web.runtime import runtime


class PutCallerIdRequest(Request):
    """How the tenant comes to show the number."""

    block = Switch(metadata={"description": "true: every number that begins so", "default": False})
    how = Choice(
        ("assigned", "verified"),
        metadata={"description": "verified: proven to be the tenant's; assigned: given to it", "default": "assigned"},
    )
    reference = Words(255, metadata={"description": "where the proof is", "example": "letter of 3 May"})


class RemovedCallerIdAnswer(Answer):
    """It is gone."""

    id = text("the number", example="+442079460000")
    deleted = truth("always true")


@blueprint.get("/tenants/<tenant>/caller_ids", scope=NEEDS)
@blueprint.arguments(CallerIdsQuery, location="query")
@blueprint.response(200, CallerIdPage)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorListCallerIds")
def list_tenant_caller_ids(query: dict[str, Any], tenant: str) -> Response:
    """List the numbers that a tenant's calls may show

    Those that were added, and those on which it is called (`inbound`).
    """
    limit, owner = query["limit"], the_tenant(tenant)
    return page(outbound.list_caller_ids(runtime().database, owner.id, limit + 1, query.get("starting_after")), limit, show)


@blueprint.get("/tenants/<tenant>/caller_ids/<number>", scope=NEEDS)
@blueprint.response(200, CallerIdAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetCallerId")
def get_caller_id(tenant: str, number: str) -> Response:
    """Read a number that a tenant's calls may show"""
    found = outbound.get_caller_id(runtime().database, the_tenant(tenant).id, number)
    if found is None:
        raise missing("caller id", number)
    return answer(show(found))


@blueprint.put("/tenants/<tenant>/caller_ids/<number>", scope=NEEDS)
@blueprint.arguments(PutCallerIdRequest)
@blueprint.response(200, CallerIdAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorPutCallerId")
def put_caller_id(args: dict[str, Any], tenant: str, number: str) -> Response:
    """Let a tenant's calls show a number

    E.164, or what the numbers of a block begin with. Replaces what was said of it before.
    """
    owner = the_tenant(tenant)
    block, how, reference = args.get("block", False), args.get("how", "assigned"), args.get("reference")
    with changing() as change:
        made = outbound.put_caller_id(change.database, owner.id, number, block=block, how=how, reference=reference)
        personal = {"numbers": [made.number], "reference": reference}
        change.note("tenant.caller_id_put", f"tenant:{owner.name}", {"block": block, "how": how}, personal=personal)
    return answer(show(made))


@blueprint.delete("/tenants/<tenant>/caller_ids/<number>", scope=NEEDS)
@blueprint.response(200, RemovedCallerIdAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorRemoveCallerId")
def remove_caller_id(tenant: str, number: str) -> Response:
    """Take a number from a tenant

    Its calls may no longer show it. A number on which the tenant is called stays as long as it is called on it.
    """
    owner = the_tenant(tenant)
    with changing() as change:
        if not outbound.remove_caller_id(change.database, owner.id, number):
            raise missing("caller id", number)
        change.note("tenant.caller_id_removed", f"tenant:{owner.name}", {}, personal={"numbers": [number]})
    return answer({"id": number, "deleted": True})
