"""/internal/calls/{id}: what the agent of a call asks and hands in, by its call token (docs/runtime.md)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from calls.ids import agent_ref, call_ref
from store import runtime as store
from store.runtime import RuntimeCall
from store.snapshot import given_recipient, stamp
from web.api.respond import answer
from web.internal.call_auth import CALLS, caller, no_such_call

blueprint = Blueprint("internal_calls", __name__, url_prefix=CALLS.rstrip("/"))


@blueprint.get("/<call_id>/runtime-config")
def runtime_config(call_id: str) -> Response:
    """What the agent is to work with, as its resource and its call have it at this moment."""
    who = caller(call_id)
    found = store.config(who.database, who.tenant_id, who.call_id, who.attempt_id)
    if found is None:
        raise no_such_call()
    return answer(_config(found))


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
