"""/v1/suppressions: the numbers that the account does not call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from flask import Response, url_for

from calls.ids import suppression_ref
from calls.numbers import NumberError, parse_suppressed
from store import calls, suppressions
from store.suppressions import Provenance
from web import auth
from web.api.headers import LOCATION_HEADER
from web.api.lists import Lists
from web.api.outcome import told_truly
from web.api.respond import answer, page, path_id, refuses
from web.api.suppression_fields import (
    AddedSuppressionAnswer,
    ImportAnswer,
    ImportRequest,
    LiftQuery,
    NewSuppressionRequest,
    SuppressionAnswer,
    SuppressionPage,
    SuppressionsQuery,
    show,
)
from web.auth import tenant
from web.jsonbody import pointer
from web.problems import FieldError, invalid, not_found
from web.runtime import runtime

#: Numbers read in one go; other requests have their turn between.
BREATH = 64
_ASK_AGAIN = "Send it again: asking twice changes nothing."


blueprint = Lists("suppressions", __name__, url_prefix="/v1/suppressions", description="Numbers that you do not call")


@blueprint.post("", scope="suppressions:manage")
@blueprint.arguments(NewSuppressionRequest)
@blueprint.response(201, AddedSuppressionAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="createSuppression")
def create_suppression(args: dict[str, Any]) -> Response:
    """Suppress a number

    From now on none of your calls goes there: those that wait are canceled, those that are being dialed or ring are hung up,
    and new ones are refused with the code `suppressed`. A conversation that is under way goes on. Asking again gives the
    entry that is there.
    """
    ours = runtime()
    now, account = ours.now(), tenant()
    call_id = args.get("call_id")
    if call_id is not None and calls.get_call(ours.database, account.id, call_id) is None:
        raise invalid(FieldError("/call_id", "unknown_call", "there is no such call for this API key"))
    whence = Provenance(
        origin="api",
        source=args["source"],
        obtained_at=args.get("obtained_at", now),
        by=who(),
        list_name=args.get("list_name"),
        note=args.get("note"),
        call_id=call_id,
    )
    with told_truly(_ASK_AGAIN):
        entry, added = suppressions.add(ours.database, account.id, args["number"], whence, now)
    shown = {**show(entry), "new": added.new == 1, "calls_ended": added.ended}
    location = url_for("suppressions.get_suppression", suppression_id=suppression_ref(entry.id))
    return answer(shown, 201, {"Location": location})


@blueprint.post("/import", scope="suppressions:manage")
@blueprint.arguments(ImportRequest)
@blueprint.response(200, ImportAnswer)
@refuses(blueprint, 400, 413, 415, writes=True)
@blueprint.doc(operationId="importSuppressions")
def import_suppressions(args: dict[str, Any]) -> Response:
    """Suppress a list of numbers

    Up to 10,000 in one request, kept in one transaction with where they come from. A member that is no number does not keep
    the others back: it is left out and told in `errors`. A number that is suppressed already keeps its entry.
    """
    ours = runtime()
    numbers, errors = read(args["numbers"])
    whence = Provenance(
        origin="import",
        source=args["source"],
        obtained_at=args["obtained_at"],
        by=who(),
        list_name=args.get("list_name"),
        note=args.get("note"),
    )
    with told_truly(_ASK_AGAIN):
        added = suppressions.add_all(ours.database, tenant().id, numbers, whence, ours.now())
    told = {"new": added.new, "known": len(numbers) - added.new, "refused": len(errors), "errors": errors}
    return answer({**told, "calls_ended": added.ended})


@blueprint.get("", scope="suppressions:manage")
@blueprint.arguments(SuppressionsQuery, location="query")
@blueprint.response(200, SuppressionPage)
@refuses(blueprint)
@blueprint.doc(operationId="listSuppressions")
def list_suppressions(query: dict[str, Any]) -> Response:
    """List suppressed numbers, newest first

    Your own: numbers that nobody of this system calls are not listed.
    """
    limit = query["limit"]
    found = suppressions.list_page(
        runtime().database,
        tenant().id,
        limit + 1,
        before=query.get("starting_after"),
        number=query.get("number"),
        lifted=query.get("lifted") == "include",
    )
    return page(found, limit, show)


@blueprint.get("/<suppression_id>", scope="suppressions:manage")
@blueprint.response(200, SuppressionAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getSuppression")
def get_suppression(suppression_id: str) -> Response:
    """Read an entry"""
    found = suppressions.get(runtime().database, tenant().id, path_id("suppression", suppression_id))
    if found is None:
        raise not_found("suppression")
    return answer(show(found))


@blueprint.delete("/<suppression_id>", scope="suppressions:manage")
@blueprint.arguments(LiftQuery, location="query")
@blueprint.response(200, SuppressionAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="liftSuppression")
def lift_suppression(query: dict[str, Any], suppression_id: str) -> Response:
    """Lift an entry

    The number may be called again, unless it is suppressed for everybody. The entry is kept, with who lifted it and why; one
    that was lifted already stays as it is.
    """
    ours = runtime()
    wanted = path_id("suppression", suppression_id)
    with told_truly(_ASK_AGAIN):
        lifted = suppressions.lift(ours.database, tenant().id, wanted, by=who(), reason=query["reason"], now=ours.now())
    if lifted is None:
        raise not_found("suppression")
    return answer(show(lifted))


def who() -> str:
    """Who asks, as the ledger names it."""
    return f"key:{auth.key().prefix}"


def read(members: Sequence[object]) -> tuple[list[str], list[dict[str, str]]]:
    """The numbers of a list, and what is wrong with those members that are none."""
    numbers: list[str] = []
    errors: list[dict[str, str]] = []
    for position, member in enumerate(members):
        if position % BREATH == BREATH - 1:
            time.sleep(0)
        if not isinstance(member, str):
            fault = ("wrong_type", "must be a string")
        else:
            try:
                numbers.append(parse_suppressed(member))
            except NumberError as error:
                fault = (error.code, error.detail)
            else:
                continue
        errors.append({"pointer": pointer("numbers", position), "code": fault[0], "detail": fault[1]})
    return numbers, errors
