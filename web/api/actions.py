"""/v1/calls/{id}/actions: what was asked of a call, and what came of it."""

from __future__ import annotations

from typing import Any

from flask import Response

from calls.ids import call_ref
from store import call_actions, calls, commands, holds, transfers
from store.commands import Action
from store.hangup import ALREADY_ENDED
from store.recording_actions import PAUSED, RESUMED
from store.snapshot import stamp
from store.wish import CANCELED
from web.api.action_answers import ActionAnswer, ActionList
from web.api.parser import Blueprint
from web.api.respond import answer, path_id, refuses
from web.auth import tenant
from web.problems import not_found
from web.runtime import runtime

blueprint = Blueprint("actions", __name__, url_prefix="/v1/calls", description="What was asked of a call")

_RESULTS = {
    "killed": "hung_up",
    "ended": "ended",
    ALREADY_ENDED: "already_ended",
    CANCELED: "canceled",
    PAUSED: "paused",
    RESUMED: "resumed",
    call_actions.SENT: "sent",
    call_actions.PLAYED: "played",
    call_actions.CUT_SHORT: "cut_short",
    call_actions.TOO_LATE: "too_late",
    transfers.TRANSFERRED: "transferred",  # of a hold too
    holds.AGENT_FAILED: "agent_failed",
    transfers.HANDED_ON: "transferred",
}


@blueprint.get("/<call_id>/actions", scope="calls:read")
@blueprint.response(200, ActionList)
@refuses(blueprint, 404)
@blueprint.doc(operationId="listCallActions")
def list_actions(call_id: str) -> Response:
    """Read what was asked of a call"""
    ours, wanted = runtime(), path_id("call", call_id)
    if calls.get_call(ours.database, tenant().id, wanted) is None:
        raise not_found("call")
    return answer({"data": [show(one) for one in commands.list_actions(ours.database, tenant().id, wanted)]})


@blueprint.get("/<call_id>/actions/<action_id>", scope="calls:read")
@blueprint.response(200, ActionAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getCallAction")
def get_action(call_id: str, action_id: str) -> Response:
    """Read what came of an action

    By its id, or by the `Idempotency-Key` it was asked under.
    """
    found = commands.list_actions(runtime().database, tenant().id, path_id("call", call_id), action_id)
    if not found:
        raise not_found("action")
    return answer(show(found[0]))


def show(action: Action) -> dict[str, Any]:
    """The action as JSON types. Not which keys: they may be a secret of the callee's."""
    return {
        "id": str(action.id),
        "type": action.verb,
        "requested_by": action.requested_by,
        "idempotency_key": action.action,
        "attempt_id": str(action.attempt_id),
        "status": _status(action),
        "result": None if action.result is None else _result(action.result),
        "leg_call_id": None if action.leg_id is None else call_ref(action.leg_id),
        "created_at": stamp(action.created_at),
        "done_at": None if action.done_at is None else stamp(action.done_at),
    }


def _status(action: Action) -> str:
    if action.done_at is not None:
        return "done"
    if action.begun_at is None:
        return "requested"
    return "holding" if action.verb == "hold" else "playing"


def _result(result: str) -> str:
    if result.startswith(call_actions.NOT_PLAYED):
        return "not_played"
    if result.startswith(transfers.NOT_TRANSFERRED):
        return "not_transferred"
    return _RESULTS.get(result, "refused")
