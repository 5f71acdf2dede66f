"""/v1/calls/{id}/actions/dtmf, play, hold, resume, transfer: what can be done with whoever is on the line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, url_for

from calls.ids import call_ref
from store import commands
from store.call_actions import WAITING, Verb, request_action
from store.hangup import OtherAction
from store.transfers import Terms, request_agent, request_transfer
from web.api import idempotency
from web.api.action_answers import ActionAnswer
from web.api.actions import show
from web.api.headers import LOCATION_HEADER
from web.api.newcall import NOWHERE_TO
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.requests import DtmfRequest, HoldRequest, PlayRequest
from web.api.respond import answer, path_id, refuses
from web.api.transfer_fields import TransferRequest
from web.auth import tenant
from web.problems import FieldError, Problem, invalid, not_found
from web.runtime import runtime

blueprint = Blueprint("call_actions", __name__, url_prefix="/v1/calls", description="What can be done with a live call")

_LOOK = "Look at the call's actions (GET .../actions) before you ask again. With an Idempotency-Key asking again is safe."
_SAFE = "Ask again with the same Idempotency-Key: it is carried out once at most."


@blueprint.post("/<call_id>/actions/dtmf", scope="calls:write")
@blueprint.arguments(DtmfRequest)
@blueprint.response(202, ActionAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="sendDtmf")
def dtmf(args: dict[str, Any], call_id: str) -> Response:
    """Press keys

    Towards the callee, as RFC 4733 events, beside what the agent says, in the order in which they were asked for. Only in a
    call that is in progress. With the same `Idempotency-Key` it is the same action; without one each request presses again.
    Result `sent`: the switch has the keys and presses them one after the other; the far end does not confirm them.
    """
    return _ask(call_id, "dtmf", args)


@blueprint.post("/<call_id>/actions/play", scope="calls:write")
@blueprint.arguments(PlayRequest)
@blueprint.response(202, ActionAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="playAudio")
def play(args: dict[str, Any], call_id: str) -> Response:
    """Play a file

    To the callee, in turn: what of the agent's audio is on the switch, half a second at most, ends first; then the file; the
    agent's audio waits behind it and is not mixed with it. The agent's `clear` does not cut it off, and the agent goes on
    hearing the callee. Only in a call that is in progress and not on hold, and whose agent is no announcement. Result
    `played`: to its end.
    """
    return _ask(call_id, "play", args)


@blueprint.post("/<call_id>/actions/hold", scope="calls:write")
@blueprint.arguments(HoldRequest)
@blueprint.response(202, ActionAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="holdCall")
def hold(args: dict[str, Any], call_id: str) -> Response:
    """Put a call on hold

    The callee hears `audio` over and over, or silence, and nothing of the agent; the agent hears silence, and is told. What
    the agent had sent and was not heard is thrown away. Only in a call that is in progress, not on hold, and in which an
    agent of kind websocket or fleet talks. `holding` until it is over; the result is what ended it.
    """
    return _ask(call_id, "hold", args)


@blueprint.post("/<call_id>/actions/resume", scope="calls:write")
@blueprint.response(202, ActionAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="resumeCall")
def resume(call_id: str) -> Response:
    """Take a call off hold

    The hold's audio ends at once, the two hear each other again, and the agent is told. Only in a call that is on hold.
    """
    return _ask(call_id, "resume", {})


@blueprint.post("/<call_id>/actions/transfer", scope="calls:write")
@blueprint.arguments(TransferRequest)
@blueprint.response(202, ActionAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="transferCall")
def transfer(args: dict[str, Any], call_id: str) -> Response:
    """Transfer a call

    Rings `to`, while the agent goes on talking; who answers is put through to the callee, and the agent is told that the
    call was transferred. If nobody does, nothing has changed. The second leg is a call of its own (`leg_call_id`), with the
    limits and rules of every call, the first one's number to show, and `transfer_of`. `to` must be in `transfer_to` of the
    call's agent. `agent_id` in place of `to`: another agent of yours talks on, once it is ready; no leg is dialed.
    """
    ours, wanted = runtime(), path_id("call", call_id)
    key = idempotency.idempotency_key(None)
    name = None if key is None else key.key
    settings = ours.settings
    terms = Terms(
        settings.transfer_wait_s,
        args.get("ring_timeout_s", settings.ring_timeout_s),
        settings.pdd_s,
        settings.recipient_time_zone,
    )
    try:
        with told_truly(_LOOK if key is None else _SAFE):
            who = (ours.database, tenant().id, wanted)
            if "agent_id" in args:
                done = request_agent(*who, args["agent_id"], "customer", ours.now(), action=name)
            else:
                done = request_transfer(*who, args["to"], "customer", ours.now(), terms, action=name)
    except OtherAction:
        raise idempotency.other_action() from None
    if done.kind == "not_found":
        raise not_found("call")
    if done.kind == "not_in_progress":
        raise _not_in_progress(done.status)
    if done.kind == "pending":
        raise Problem(
            409, "transfer_pending", "This call is being put through, was, or is itself the second leg of a transfer."
        )
    if done.kind == "not_allowed":
        detail = "is not in transfer_to of the call's agent; add it there (PATCH /v1/agents/{id}), or give another"
        raise invalid(FieldError("/agent_id" if "agent_id" in args else "/to", "transfer_not_allowed", detail))
    if done.kind == "unknown_agent":
        detail = "there is no such agent of kind websocket or fleet for this API key that is in use and not paused"
        raise invalid(FieldError("/agent_id", "unknown_agent", detail))
    if done.kind == "no_route":
        raise invalid(NOWHERE_TO)
    if done.kind == "forbidden":
        raise invalid(*(FieldError("/to", one.code, one.words) for one in done.findings))
    return _asked(done.command_id, wanted, keyed=key is not None)


def _ask(call_id: str, verb: Verb, args: Mapping[str, Any]) -> Response:
    ours, wanted = runtime(), path_id("call", call_id)
    key = idempotency.idempotency_key(None)
    name = None if key is None else key.key
    try:
        with told_truly(_LOOK if key is None else _SAFE):
            done = request_action(ours.database, tenant().id, wanted, verb, args, "customer", ours.now(), action=name)
    except OtherAction:
        raise idempotency.other_action() from None
    if done.kind == "not_found":
        raise not_found("call")
    if done.kind == "not_in_progress":
        raise _not_in_progress(done.status)
    if done.kind == "announcement":
        raise Problem(
            409,
            "plays_already",
            "The call's agent is an announcement, whose end is the end of the call: nothing follows it.",
        )
    if done.kind == "not_a_conversation":
        raise Problem(
            409, "not_a_conversation", "No agent of kind websocket or fleet talks in this call, so nobody could be held off."
        )
    if done.kind == "on_hold":
        raise Problem(409, "on_hold", "This call is on hold already, or is being put there. Resume it first.")
    if done.kind == "not_on_hold":
        raise Problem(409, "not_on_hold", "This call is not on hold, or is being resumed already.")
    if done.kind == "too_many":
        raise Problem(
            409, "too_many_actions", f"{WAITING} actions of this call wait to be carried out. Wait for one of them."
        )
    return _asked(done.command_id, wanted, keyed=key is not None)


def _not_in_progress(status: str | None) -> Problem:
    return Problem(
        409,
        "not_in_progress",
        f"This call is {status}: that can be done only while it is in_progress. Wait for call.answered.",
        extra={"call_status": status},
    )


def _asked(command_id: UUID | None, wanted: UUID, *, keyed: bool) -> Response:
    ours = runtime()
    assert command_id is not None
    action_id = str(command_id)
    with told_truly(_SAFE if keyed else _LOOK, accepted=True):
        (action,) = commands.list_actions(ours.database, tenant().id, wanted, action_id)
    location = {"Location": url_for("actions.get_action", call_id=call_ref(wanted), action_id=action_id)}
    return answer(show(action), 202, location)
