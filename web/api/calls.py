"""/v1/calls: place, read, list, hang up."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Response, g, request, url_for

from calls.ids import call_ref, new_uuid7
from crashpoint import crash_point
from store import call_list, calls, permission, tenants
from store.call_list import Filters
from store.calls import Accepted, Asked, NewCall, UnknownAgent
from store.hangup import OtherAction, request_hangup
from store.permission import Known
from store.pool import Database
from store.rows import Call, CallEvent
from store.snapshot import attempt_snapshot, snapshot, stamp
from web.api import dryrun, idempotency
from web.api.accepting import accepting
from web.api.attempt_answers import AttemptList
from web.api.call_answers import CallAnswer, CallPage, CanceledQueueAnswer, EventList, PlacedCallAnswer
from web.api.call_lines import LINES_CONTENT, lines, wants_lines
from web.api.flights import only_one
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.lookups import Lookups
from web.api.newcall import weigh, weighing
from web.api.once import once
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.queue import place_now
from web.api.requests import CallsQuery, NewCallRequest
from web.api.respond import answer, path_id, refuses
from web.api.rules_answers import DryRunAnswer
from web.api.together import accept_together
from web.auth import tenant
from web.problems import NO_SUCH_AGENT, FieldError, invalid, not_found
from web.runtime import runtime
from web.testmode import testing, which_calls

_SAFE_AGAIN = f"Send it again with the same {idempotency.HEADER}: it is carried out once at most."
_LOOK_FIRST = f"Look for it (GET /v1/calls) before you send it again. With an {idempotency.HEADER} that would be safe."
_ASK_AGAIN = "Ask again: asking twice changes nothing."
_CANCEL_AGAIN = "Ask again: then what was accepted meanwhile is canceled too."

blueprint = Blueprint("calls", __name__, url_prefix="/v1/calls", description="Calls, their events and their attempts")


@blueprint.post("", scope="calls:write")
@blueprint.arguments(NewCallRequest)
@blueprint.arguments(dryrun.PlaceQuery, location="query")
@blueprint.response(202, PlacedCallAnswer, description="Accepted", headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@blueprint.alt_response(200, schema=DryRunAnswer, description="A dry run: what would happen; nothing was kept")
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="placeCall")
def place_call(args: dict[str, Any], query: dict[str, Any]) -> Response:
    """Place a call

    202 means: kept, and will be dialed as soon as every limit allows, not before `not_before` and not after `expires_at`.
    No answer, or 503 with the code `outcome_unknown`, means: it may or may not have been kept. Sent again with the same
    `Idempotency-Key`, it is carried out once at most. 429 with the code `queue_full` means: your account has as many calls
    queued as it may, and this one was not kept. With `queue=true` the 202 says as well where the call stands, as
    `GET /v1/calls/{id}/queue` would. With `dry_run=true` the answer is 200: what would happen to the call, and why. With a
    test key `to` is one of the test numbers: the call goes to the laboratory, and your account's rules do not hold for it.
    """
    ours = runtime()
    now, test = ours.now(), testing()
    if query["dry_run"]:
        dryrun.refuse_key()
        return dryrun.say(weigh(args, tenant(), ours.settings, Lookups(ours.database, tenant().id, test=test), now))
    key = idempotency.idempotency_key(g.body, test=test)
    with only_one(tenant().id, "POST /v1/calls", None if key is None else key.key):
        return _placed(args, key, now, with_place=query["queue"])


def _placed(args: dict[str, Any], key: calls.IdempotencyKey | None, now: datetime, *, with_place: bool) -> Response:
    ours, test = runtime(), testing()
    account, ids = tenant(), (new_uuid7(), new_uuid7())
    weighed = weighing(args, account, ours.settings, Lookups(ours.database, account.id, test=test), now, ids)

    def plan(known: Known) -> NewCall:
        # What speaks against a call speaks only against a new one: a repetition is answered before this is reached,
        # although its expires_at may have passed meanwhile.
        planned = weighed(known)
        if planned.faults:
            raise invalid(*planned.faults)
        return planned.new

    asked = Asked(args["agent_id"], args["to"], args["from_"], plan, now, test, key, id=ids[0], attempt_id=ids[1])
    accepted = _accept(asked)
    headers = {"Location": f"{quote(request.script_root)}{request.path}/{call_ref(accepted.call.id)}"}
    told = accepted.replay
    if told is None:
        told = snapshot(accepted.call)
    else:
        headers["Idempotent-Replayed"] = "true"
    if with_place:
        # What a repetition is answered is kept; where its call stands is asked anew.
        with told_truly(_SAFE_AGAIN if key is not None else _LOOK_FIRST, accepted=True):
            told = {**told, "queue": place_now(accepted.call.id)}
    return answer(told, 202, headers)


def _accept(asked: Asked) -> Accepted:
    try:
        with accepting(), told_truly(_LOOK_FIRST if asked.idempotency is None else _SAFE_AGAIN):
            return accept_together(asked)
    except UnknownAgent:
        raise invalid(FieldError("/agent_id", "unknown_agent", NO_SUCH_AGENT)) from None


@blueprint.get("", scope="calls:read")
@blueprint.arguments(CallsQuery, location="query")
@blueprint.response(200, CallPage)
@refuses(blueprint, 422)
@blueprint.doc(operationId="listCalls", responses={200: {"content": LINES_CONTENT}})
def list_calls(query: dict[str, Any]) -> Response:
    """List calls, newest first

    New calls never move the pages that follow a cursor: to read on, give `next_cursor` as `starting_after` until it is null.
    A page looks at a bounded number of calls for those that fit all filters, so it may hold few or none and yet have a
    `next_cursor`. With `Accept: application/x-ndjson` all calls that fit are sent, one JSON object a line, without `limit`
    and `ending_before`; an answer that breaks off is not complete: go on with `starting_after` the last whole line's id.
    """
    after = query.get("starting_after")
    if wants_lines():
        return lines(_filters(query), after)
    found = call_list.page(
        runtime().database, tenant().id, query["limit"], _filters(query), after=after, before=query.get("ending_before")
    )
    data = [snapshot(shown.call, shown.dial) for shown in found.calls]
    cursor = None if found.cursor is None else call_ref(found.cursor)
    return answer({"data": data, "has_more": cursor is not None, "next_cursor": cursor})


@blueprint.get("/<call_id>", scope="calls:read")
@blueprint.response(200, CallAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getCall")
def get_call(call_id: str) -> Response:
    """Read a call"""
    return answer(_shown(path_id("call", call_id)))


@blueprint.get("/<call_id>/events", scope="calls:read")
@blueprint.response(200, EventList)
@refuses(blueprint, 404)
@blueprint.doc(operationId="listCallEvents")
def list_events(call_id: str) -> Response:
    """Read what happened to a call

    Everything seen or decided, in the order it became known; also what came late or twice.
    """
    call = _own_call(call_id)
    events = calls.list_events(runtime().database, call.tenant_id, call.id)
    return answer({"data": [_event(event) for event in events]})


@blueprint.get("/<call_id>/attempts", scope="calls:read")
@blueprint.response(200, AttemptList)
@refuses(blueprint, 404)
@blueprint.doc(operationId="listCallAttempts")
def list_attempts(call_id: str) -> Response:
    """Read every dial of a call"""
    call = _own_call(call_id)
    attempts = calls.list_attempts(runtime().database, call.tenant_id, call.id)
    said = permission.decisions(runtime().database, call.tenant_id, call.id)
    return answer({"data": [{**attempt_snapshot(attempt), "decision": said.get(attempt.id)} for attempt in attempts]})


@blueprint.post("/<call_id>/actions/hangup", scope="calls:write")
@blueprint.response(202, CallAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="hangUpCall")
def hang_up(call_id: str) -> Response:
    """Hang up

    A call still waiting is canceled at once and never dialed; a live one is hung up within moments, as its status then
    tells. Asking again, or for a call that has ended, changes nothing and is no error; with the same `Idempotency-Key` it is
    the same action. `Location` is the action, which tells whether it was carried out, and what came of it.
    """
    ours = runtime()
    wanted = path_id("call", call_id)
    key = idempotency.idempotency_key(None)
    try:
        with told_truly(_ASK_AGAIN):
            done = request_hangup(
                ours.database, tenant().id, wanted, "customer", ours.now(), action=None if key is None else key.key
            )
    except OtherAction:
        raise idempotency.other_action() from None
    crash_point("web.hangup_asked")
    if done.kind == "not_found":
        raise not_found("call")
    location = {"Location": url_for("actions.get_action", call_id=call_ref(wanted), action_id=str(done.command_id))}
    with told_truly(_ASK_AGAIN, accepted=True):
        return answer(_shown(wanted), 202, location)


@blueprint.post("/actions/cancel_queued", scope="calls:write")
@blueprint.response(202, CanceledQueueAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="cancelQueuedCalls")
def cancel_queued() -> Response:
    """Cancel every queued call

    From now on none of the calls accepted until `canceled_before` is dialed, however many there are; each ends as `canceled`
    soon, with its webhook. A call that is being dialed or talked on goes on, but is not dialed again.
    """

    def canceled(database: Database) -> Response:
        mark = tenants.cancel_queued(database, tenant().id, runtime().now())
        return answer({"canceled_before": stamp(mark)}, 202)

    with told_truly(_CANCEL_AGAIN):
        return once(None, canceled)


def _filters(query: dict[str, Any]) -> Filters:
    names = {"to": "to_number"}
    given = {names.get(name, name): value for name, value in query.items()} | {"test": which_calls(query.get("test"))}
    return Filters(**{name: given.get(name) for name in Filters.__dataclass_fields__})


def _shown(call_id: UUID) -> dict[str, Any]:
    """The tenant's call as JSON types; raises 404."""
    found = call_list.get(runtime().database, tenant().id, call_id)
    if found is None:
        raise not_found("call")
    return snapshot(found.call, found.dial)


def _own_call(call_id: str) -> Call:
    call = calls.get_call(runtime().database, tenant().id, path_id("call", call_id))
    if call is None:
        raise not_found("call")
    return call


def _event(event: CallEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "type": event.type,
        "source": event.source,
        "at": stamp(event.at),
        "recorded_at": stamp(event.recorded_at),
        "attempt_id": str(event.attempt_id) if event.attempt_id is not None else None,
        "data": event.data,
    }
