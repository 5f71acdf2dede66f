"""/v1/operator/destinations: which countries and prefixes nobody dials, or every tenant may. docs/rules.md."""

from __future__ import annotations

from typing import Any

from flask import Response

from store import house
from web.api.respond import answer, refuses
from web.operator.blueprint import NEEDS, blueprint, changing
from web.operator.destinations import ChangeDestinationsRequest, DestinationList, entries_of, note, show
from web.runtime import runtime


@blueprint.get("/destinations", scope=NEEDS)
@blueprint.response(200, DestinationList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListHouseDestinations")
def list_house_destinations() -> Response:
    """List what holds for every tenant's destinations"""
    return answer(show(house.get(runtime().database).destinations))


@blueprint.patch("/destinations", scope=NEEDS)
@blueprint.arguments(ChangeDestinationsRequest)
@blueprint.response(200, DestinationList)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeHouseDestinations")
def change_house_destinations(args: dict[str, Any]) -> Response:
    """Change what holds for every tenant's destinations

    All of it or nothing. What an entry excludes (`allow` false) nobody dials, whatever a tenant's own list says. What one
    allows each tenant may dial for which anything was set, up to that class of risk, unless the tenant's own list has an
    entry for the number: then that one decides. It acts on the next accept and on the next claim: also on what is queued.
    """
    entries, gone = entries_of(args), args.get("remove", [])
    with changing() as change:
        if gone:
            house.forget(change.database, gone)
            change.note("house.destinations_removed", "house", {"matches": gone})
        if entries:
            house.allow(change.database, entries)
            note(change, "house", "house", entries)
    return answer(show(house.get(runtime().database).destinations))
