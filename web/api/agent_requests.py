"""Schemas of what /v1/agents takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from web.api.agent_answers import AGENT_KINDS, AGENT_PROTOCOLS
from web.api.fallback_fields import FallbackRequest
from web.api.fields import Choice, Fault, Reference, Request, Text, Whole
from web.api.requests import PageQuery
from web.api.retry_fields import Part
from web.api.runtime_fields import RuntimeRequest, runtime_fault
from web.api.urls import Url
from web.api.webhook_fields import OVERLAP_MAX_S, OVERLAP_S

#: Which field says where an agent of a kind is.
WHERE = {"websocket": "url", "announcement": "audio"}
#: What else only agents of a kind have.
ALSO = {"protocol": "websocket", "fallback": "websocket"}
_PAUSED = "is your operator's to say; leave it out, and place no calls with this agent"
_LATER = {
    "fleet": "agents that this platform runs itself are not there yet; use websocket, with the address of your own",
    "sip": "calls cannot be handed on by SIP yet; use websocket, or announcement",
}


def _name(**more: Any) -> Text:
    return Text(
        maximum=63,
        pattern="[a-z0-9][a-z0-9-]{0,62}",
        remedy="must be lower-case letters, digits and -, not starting with -",
        metadata={"description": "unique among your agents that are in use"},
        **more,
    )


def _url() -> Url:
    return Url(("wss", "ws"), "agent_allow_private", metadata={"description": "websocket: your server"})


def _audio() -> Text:
    return Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        metadata={"description": "announcement: file name"},
    )


def _runtime() -> Part:
    return Part(RuntimeRequest, metadata={"description": "what its calls are given when they ask: docs/runtime.md"})


def _protocol(**more: Any) -> Choice:
    words = "websocket: trunkline, or twilio (Media Streams), for a bot that was written for it"
    return Choice(AGENT_PROTOCOLS, metadata={"description": words, **more})


class NewAgentRequest(Request):
    """One agent to create: ``websocket`` needs ``url``, ``announcement`` needs ``audio``."""

    REFUSED: ClassVar[Mapping[str, str]] = {"paused": _PAUSED}

    name = _name(required=True)
    kind = Choice(AGENT_KINDS, later=_LATER, required=True)
    url = _url()
    protocol = _protocol(default="trunkline")
    audio = _audio()
    fallback = Part(FallbackRequest, metadata={"description": "websocket: what is done when it fails a call; else hangup"})
    runtime = _runtime()

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits_kind(self, data: dict[str, Any], sent: dict[str, Any], **_: Any) -> None:
        needed = WHERE.get(data.get("kind", ""))
        if needed is None:
            return
        faults: dict[str, list[str]] = {}
        for field in WHERE.values():
            if field == needed and field not in sent:
                faults[field] = [Fault("required", f"is required for kind {data['kind']}")]
            if field != needed and field in sent:
                faults[field] = [Fault("not_allowed", f"belongs to no agent of kind {data['kind']}; leave it out")]
        for field, kind in ALSO.items():
            if kind != data["kind"] and field in sent:
                faults[field] = [Fault("not_allowed", f"belongs to no agent of kind {data['kind']}; leave it out")]
        if (unread := runtime_fault(data["kind"], sent)) is not None:
            faults["runtime"] = [unread]
        if faults:
            raise ValidationError(faults)


class AgentChangeRequest(Request):
    """What of an agent is to be changed; what is left out stays."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "kind": "cannot be changed; create another agent, and archive this one",
        "paused": _PAUSED,
    }

    name = _name()
    url = _url()
    protocol = _protocol()
    audio = _audio()
    fallback = Part(FallbackRequest, metadata={"description": "websocket: what is done when it fails a call; else hangup"})
    runtime = _runtime()

    @validates_schema(skip_on_field_errors=True)
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            any_of = "name, url, protocol, audio, fallback and runtime"
            raise ValidationError([Fault("required", f"name at least one of {any_of}")])


class RotateAgentSecretRequest(Request):
    """How long the secret of before goes on signing."""

    overlap_s = Whole(
        0,
        OVERLAP_MAX_S,
        load_default=OVERLAP_S,
        metadata={"default": OVERLAP_S, "description": "s; the new one signs after so long, the one before until then"},
    )


class AgentsQuery(PageQuery):
    """Which agents."""

    starting_after = Reference("agent", metadata={"description": "next_cursor of the page before"})
