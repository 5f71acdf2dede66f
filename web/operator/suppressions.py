"""/v1/operator/suppressions: the numbers that nobody of this house calls. docs/suppressions.md.

A tenant's own, which are the same but for whom they bind, are in web/operator/tenant_suppressions.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, url_for

from store import suppressions
from store.suppressions import Provenance
from web.api.headers import LOCATION_HEADER
from web.api.respond import answer, page, path_id, refuses
from web.api.suppression_fields import (
    AddedSuppressionAnswer,
    ImportAnswer,
    ImportRequest,
    LiftQuery,
    SuppressionAnswer,
    SuppressionPage,
    SuppressionsQuery,
    SuppressRequest,
    show,
)
from web.api.suppressions import read
from web.operator.blueprint import NEEDS, actor, blueprint, writing
from web.problems import not_found
from web.runtime import runtime


@blueprint.post("/suppressions", scope=NEEDS)
@blueprint.arguments(SuppressRequest)
@blueprint.response(201, AddedSuppressionAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="operatorCreateSuppression")
def suppress_for_all(args: dict[str, Any]) -> Response:
    """Suppress a number for everybody

    Nobody of this house calls it from now on: calls that wait are canceled, those that are being dialed or ring are hung up,
    and new ones are refused. Tenants do not see the entry; they see the refusal. Asking again gives the entry that is there.
    """
    shown = add(None, args)
    return answer(shown, 201, {"Location": url_for("operator.get_suppression_for_all", suppression_id=shown["id"])})


@blueprint.post("/suppressions/import", scope=NEEDS)
@blueprint.arguments(ImportRequest)
@blueprint.response(200, ImportAnswer)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="operatorImportSuppressions")
def import_for_all(args: dict[str, Any]) -> Response:
    """Suppress a list of numbers for everybody

    As `POST /v1/suppressions/import`: up to 10,000 in one request and one transaction; what is no number is left out and
    told in `errors`.
    """
    return answer(add_list(None, args))


@blueprint.get("/suppressions", scope=NEEDS)
@blueprint.arguments(SuppressionsQuery, location="query")
@blueprint.response(200, SuppressionPage)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListSuppressions")
def list_for_all(query: dict[str, Any]) -> Response:
    """List the numbers that nobody calls, newest first

    The house's own: what a tenant suppressed for itself is not listed.
    """
    return page_of(None, query)


@blueprint.get("/suppressions/<suppression_id>", scope=NEEDS)
@blueprint.response(200, SuppressionAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetSuppression")
def get_suppression_for_all(suppression_id: str) -> Response:
    """Read an entry of the house's"""
    return answer(entry(None, suppression_id))


@blueprint.delete("/suppressions/<suppression_id>", scope=NEEDS)
@blueprint.arguments(LiftQuery, location="query")
@blueprint.response(200, SuppressionAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="operatorLiftSuppression")
def lift_for_all(query: dict[str, Any], suppression_id: str) -> Response:
    """Lift an entry of the house's

    The number may be called again, but by tenants that suppress it themselves. The entry is kept, with who lifted it and
    why; one that was lifted already stays as it is.
    """
    return answer(lift(None, suppression_id, query["reason"]))


# --- of the house (None), or of one tenant ------------------------------------------------------------------------------


def add(tenant_id: UUID | None, args: dict[str, Any]) -> dict[str, Any]:
    """The entry that was added, or was there, and what came of it."""
    ours = runtime()
    now = ours.now()
    with writing():
        made, added = suppressions.add(ours.database, tenant_id, args["number"], _whence("operator", args, now), now)
    return {**show(made), "new": added.new == 1, "calls_ended": added.ended}


def add_list(tenant_id: UUID | None, args: dict[str, Any]) -> dict[str, Any]:
    """What came of a list."""
    ours = runtime()
    now = ours.now()
    numbers, errors = read(args["numbers"])
    with writing():
        added = suppressions.add_all(ours.database, tenant_id, numbers, _whence("import", args, now), now)
    told = {"new": added.new, "known": len(numbers) - added.new, "refused": len(errors), "errors": errors}
    return {**told, "calls_ended": added.ended}


def page_of(tenant_id: UUID | None, query: dict[str, Any]) -> Response:
    """A page of entries, newest first."""
    limit = query["limit"]
    found = suppressions.list_page(
        runtime().database,
        tenant_id,
        limit + 1,
        before=query.get("starting_after"),
        number=query.get("number"),
        lifted=query.get("lifted") == "include",
    )
    return page(found, limit, show)


def entry(tenant_id: UUID | None, suppression_id: str) -> dict[str, Any]:
    """The entry, or 404."""
    found = suppressions.get(runtime().database, tenant_id, path_id("suppression", suppression_id))
    if found is None:
        raise not_found("suppression")
    return show(found)


def lift(tenant_id: UUID | None, suppression_id: str, reason: str) -> dict[str, Any]:
    """The entry, lifted; or 404."""
    ours, wanted = runtime(), path_id("suppression", suppression_id)
    with writing():
        lifted = suppressions.lift(ours.database, tenant_id, wanted, by=actor(), reason=reason, now=ours.now())
    if lifted is None:
        raise not_found("suppression")
    return show(lifted)


def _whence(origin: str, args: dict[str, Any], now: datetime) -> Provenance:
    return Provenance(
        origin=origin,
        source=args["source"],
        obtained_at=args.get("obtained_at", now),
        by=actor(),
        list_name=args.get("list_name"),
        note=args.get("note"),
    )
