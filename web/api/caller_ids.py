"""/v1/caller_ids: which numbers the account's calls may show."""

from __future__ import annotations

from typing import Any

from flask import Response

from store import outbound
from store.outbound import CallerId
from store.snapshot import stamp
from web.api.fields import Text
from web.api.parser import Blueprint
from web.api.requests import PageQuery
from web.api.respond import page, refuses
from web.api.rules_answers import CallerIdPage
from web.auth import tenant
from web.runtime import runtime

blueprint = Blueprint("caller_ids", __name__, url_prefix="/v1/caller_ids", description="Numbers that your calls may show")


class CallerIdsQuery(PageQuery):
    """Which of them."""

    starting_after = Text(
        maximum=16,
        pattern="[+][1-9][0-9]{0,14}",
        remedy="must be the next_cursor of the page before",
        metadata={"description": "next_cursor of the page before"},
    )


@blueprint.get("", scope="calls:read")
@blueprint.arguments(CallerIdsQuery, location="query")
@blueprint.response(200, CallerIdPage)
@refuses(blueprint)
@blueprint.doc(operationId="listCallerIds")
def list_caller_ids(query: dict[str, Any]) -> Response:
    """List the numbers that your calls may show

    Any other `from` is refused with the code `caller_id_not_allowed`. Whoever operates the system verifies and assigns them.
    """
    limit = query["limit"]
    found = outbound.list_caller_ids(runtime().database, tenant().id, limit + 1, query.get("starting_after"))
    return page(found, limit, show)


def show(one: CallerId) -> dict[str, Any]:
    """The number as the API shows it."""
    return {
        "id": one.number,
        "block": one.block,
        "how": one.how,
        "reference": one.reference,
        "created_at": stamp(one.created_at),
    }
