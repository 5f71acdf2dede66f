"""/internal/calls/{id}: what the agent of a call asks and hands in, by its call token (docs/runtime.md)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import ValidationError

from calls.ids import agent_ref, call_ref
from store import results
from store import runtime as store
from store.results import NewResult, OtherResult
from store.runtime import RuntimeCall
from store.snapshot import given_recipient, stamp
from web.api.parser import faults_of
from web.api.respond import answer
from web.internal.call_auth import CALLS, caller, no_such_call
from web.internal.result_fields import ResultRequest
from web.jsonbody import read_json
from web.problems import Problem, invalid
from web.runtime import runtime

blueprint = Blueprint("internal_calls", __name__, url_prefix=CALLS.rstrip("/"))
_RESULT = ResultRequest()


@blueprint.get("/<call_id>/runtime-config")
def runtime_config(call_id: str) -> Response:
    """What the agent is to work with, as its resource and its call have it at this moment."""
    who = caller(call_id)
    found = store.config(who.database, who.tenant_id, who.call_id, who.attempt_id, who.agent_id)
    if found is None:
        raise no_such_call()
    return answer(_config(found))


@blueprint.post("/<call_id>/result")
def take_result(call_id: str) -> Response:
    """What came of the attempt, as its agent has it: taken once of each. The same again is answered as the first time."""
    who, ours = caller(call_id), runtime()
    new = _new_result(read_json(request, ours.settings.max_result_bytes))
    try:
        taken = results.take(
            who.database,
            who.tenant_id,
            who.attempt_id,
            who.agent_id,
            new,
            days=ours.settings.recording_days,
            now=ours.now(),
        )
    except OtherResult:
        raise Problem(
            409,
            "result_taken",
            "Another result of this agent for this attempt was taken before; it stays as it is, and this one was not kept.",
        ) from None
    if taken is None:
        raise no_such_call()
    return answer(results.brief(taken.result), 201, {"Idempotent-Replayed": "true"} if taken.again else {})


def _new_result(body: Any) -> NewResult:
    try:
        given = _RESULT.load(body)
    except ValidationError as error:
        raise invalid(*faults_of(error.messages_dict)) from None
    text = json.dumps(given, sort_keys=True, separators=(",", ":")).encode()
    outcome, summary = given.pop("outcome"), given.pop("summary", None)
    return NewResult(outcome, summary, given, hashlib.sha256(text).digest())


def _config(found: RuntimeCall) -> dict[str, Any]:
    own = found.runtime
    return {
        "call": {
            "id": call_ref(found.call_id),
            "attempt_id": str(found.attempt_id),
            "attempt_number": found.number,
            "state": found.state,
            "direction": found.direction,
            "to": found.to_number,
            "from": found.from_number,
            "answered_at": stamp(found.answered_at),
            "max_duration_s": found.max_duration_s,
            "client_reference": found.client_reference,
            "metadata": found.metadata,
            "recipient": given_recipient(found.recipient),
            "test": found.test,
        },
        "agent": {"id": agent_ref(found.agent_id), "name": found.agent_name, "kind": found.agent_kind},
        "prompt": own.get("prompt"),
        "voice": own.get("voice"),
        "tools": own.get("tools", []),
        "variables": found.variables,
        "settings": own.get("settings", {}),
    }
