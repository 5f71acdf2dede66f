"""/v1/operator/tenants/{tenant}/suppressions: the numbers that one tenant does not call. docs/suppressions.md."""

from __future__ import annotations

from typing import Any

from flask import Response, url_for

from web.api.answer_fields import PageAnswer, several
from web.api.headers import LOCATION_HEADER
from web.api.respond import answer, refuses
from web.api.suppression_fields import (
    AddedSuppressionAnswer,
    ImportAnswer,
    ImportRequest,
    LiftQuery,
    SuppressionAnswer,
    SuppressionsQuery,
    SuppressRequest,
)
from web.operator.blueprint import NEEDS, blueprint
from web.operator.suppressions import add, add_list, entry, lift, page_of
from web.operator.tenants import the_tenant


class TenantSuppressionAnswer(SuppressionAnswer):
    """A number that the tenant does not call, and why."""


class TenantSuppressionPage(PageAnswer):
    """A page of a tenant's entries, newest first."""

    data = several(TenantSuppressionAnswer)


@blueprint.post("/tenants/<tenant>/suppressions", scope=NEEDS)
@blueprint.arguments(SuppressRequest)
@blueprint.response(201, AddedSuppressionAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorCreateTenantSuppression")
def suppress_for_tenant(args: dict[str, Any], tenant: str) -> Response:
    """Suppress a number for a tenant

    As if the tenant had done it: its calls that wait are canceled, those that are being dialed or ring are hung up, new ones
    are refused, and it sees the entry. Other tenants may call the number. Asking again gives the entry that is there.
    """
    shown = add(the_tenant(tenant).id, args)
    where = url_for("operator.get_tenant_suppression", tenant=tenant, entry_id=shown["id"])
    return answer(shown, 201, {"Location": where})


@blueprint.post("/tenants/<tenant>/suppressions/import", scope=NEEDS)
@blueprint.arguments(ImportRequest)
@blueprint.response(200, ImportAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorImportTenantSuppressions")
def import_for_tenant(args: dict[str, Any], tenant: str) -> Response:
    """Suppress a list of numbers for a tenant

    As `POST /v1/suppressions/import`: up to 10,000 in one request and one transaction; what is no number is left out and
    told in `errors`.
    """
    return answer(add_list(the_tenant(tenant).id, args))


@blueprint.get("/tenants/<tenant>/suppressions", scope=NEEDS)
@blueprint.arguments(SuppressionsQuery, location="query")
@blueprint.response(200, TenantSuppressionPage)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorListTenantSuppressions")
def list_tenant_suppressions(query: dict[str, Any], tenant: str) -> Response:
    """List the numbers that a tenant does not call, newest first

    Its own, whoever added them; what the whole house does not call is not listed.
    """
    return page_of(the_tenant(tenant).id, query)


@blueprint.get("/tenants/<tenant>/suppressions/<entry_id>", scope=NEEDS)
@blueprint.response(200, TenantSuppressionAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetTenantSuppression")
def get_tenant_suppression(tenant: str, entry_id: str) -> Response:
    """Read an entry of a tenant's"""
    return answer(entry(the_tenant(tenant).id, entry_id))


@blueprint.delete("/tenants/<tenant>/suppressions/<entry_id>", scope=NEEDS)
@blueprint.arguments(LiftQuery, location="query")
@blueprint.response(200, TenantSuppressionAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorLiftTenantSuppression")
def lift_for_tenant(query: dict[str, Any], tenant: str, entry_id: str) -> Response:
    """Lift an entry of a tenant's

    The number may be called again by that tenant, unless the house suppresses it. The entry is kept, with who lifted it and
    why, also where the tenant itself had added it; one that was lifted already stays as it is.
    """
    return answer(lift(the_tenant(tenant).id, entry_id, query["reason"]))
