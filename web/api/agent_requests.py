"""Schemas of what /v1/agents takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from calls.lanes import SEAT_POLICIES
from calls.numbers import parse_destination
from calls.script import needs
from store.agents import SAMPLE_RATES, Agent
from web.api.agent_answers import AGENT_KINDS, AGENT_PROTOCOLS, POLICY_WORDS
from web.api.fallback_fields import FallbackRequest
from web.api.fields import Choice, Fault, OneOf, Reference, Request, Telephone, Text, Whole
from web.api.requests import PageQuery
from web.api.retry_fields import Part
from web.api.runtime_fields import RuntimeRequest, runtime_fault
from web.api.script_fields import MenuRequest, PartRequest, audio_file, script, voice
from web.api.transfer_fields import transfer_list
from web.api.urls import Url
from web.api.webhook_fields import OVERLAP_MAX_S, OVERLAP_S

#: Of each kind the fields of which exactly one says who or where the agent is, and those that go with it.
WHERE = {"websocket": ("url",), "announcement": ("audio", "script"), "sip": ("number",), "fleet": ("pool",)}
WITH = {
    "websocket": ("protocol", "fallback", "greeting", "voice", "sample_rate"),
    "announcement": ("menu", "voice"),
    "sip": ("trunk", "user"),
    "fleet": ("seat_policy", "fallback", "greeting", "voice", "sample_rate"),
}
_PAUSED = "is your operator's to say; leave it out, and place no calls with this agent"
_SEATED = "cannot be changed, because calls that wait are in line for its seats; create another agent, and archive this one"


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


def _number() -> Telephone:
    return Telephone(
        parse_destination,
        metadata={"description": "sip: who is rung once somebody has answered", "example": "+442079460000"},
    )


def _fallback() -> Part:
    words = "websocket, fleet: what is done when it fails a call; else hangup"
    return Part(FallbackRequest, metadata={"description": words})


def _greeting(**more: Any) -> Part:
    words = "websocket, fleet: heard at the answer, before the agent; a text is spoken while the phone rings"
    return Part(PartRequest, metadata={"description": words}, **more)


def _runtime() -> Part:
    return Part(RuntimeRequest, metadata={"description": "what its calls are given when they ask: docs/runtime.md"})


def _protocol(**more: Any) -> Choice:
    words = "websocket: trunkline, or twilio (Media Streams), for a bot that was written for it"
    return Choice(AGENT_PROTOCOLS, metadata={"description": words, **more})


def _sample_rate(**more: Any) -> OneOf:
    words = "websocket, fleet: samples a second on the agent's socket, both ways; with protocol twilio 8000"
    return OneOf(SAMPLE_RATES, metadata={"description": words, **more})


def _trunk(**more: Any) -> Text:
    return Text(
        maximum=32,
        pattern="[a-z0-9][a-z0-9-]{0,31}",
        remedy="must be the name of a trunk, as your operator gave it to you",
        metadata={"description": "sip: the way to the number, where that is not its route: a switchboard of yours"},
        **more,
    )


def _user(**more: Any) -> Text:
    return Text(
        maximum=64,
        pattern="[A-Za-z0-9._+-]{1,64}",
        remedy="must be the user part of a SIP address: letters, digits, . _ + -",
        metadata={
            "description": "sip: what is dialed on the trunk in place of the number, such as an extension",
            "example": "200",
        },
        **more,
    )


def trunk_fault(trunk: str | None, user: str | None) -> Fault | None:
    """What speaks against that user without, or with, that trunk."""
    if user is not None and trunk is None:
        return Fault("required", "is required with user: a user is dialed on a trunk alone")
    return None


def moved_fault(known: Agent, args: Mapping[str, Any]) -> Fault | None:
    """What speaks against another trunk that is given without saying who is dialed there."""
    moves = args.get("trunk") not in (None, known.trunk)
    if moves and known.trunk_user is not None and "user" not in args:
        why = f"is required with another trunk: {known.trunk_user} is whom the trunk of before leads to; null: the number"
        return Fault("required", why)
    return None


def wanting(args: Mapping[str, Any]) -> list[str]:
    """Pointers to the texts sent that want variables."""
    parts = {f"/{name}/text": needs(None, None, args.get(name)) for name in ("greeting", "fallback")}
    found = {"/script": needs(args.get("script"), None), "/menu": needs(None, args.get("menu")), **parts}
    return [at for at, names in found.items() if names]


def rate_fault(protocol: str | None, rate: int | None) -> Fault | None:
    """What speaks against that rate in that protocol."""
    if protocol == "twilio" and rate not in (None, 8000):
        return Fault("conflict", "must be 8000 with protocol twilio, whose audio has no other rate")
    return None


def of_kind(kind: str) -> tuple[str, ...]:
    """The fields that an agent of the kind may have."""
    return (*WHERE[kind], *WITH[kind])


def foreign(kind: str, sent: Collection[str]) -> list[str]:
    """Those of the fields that were sent which belong to other kinds alone."""
    others = [name for other in WHERE for name in of_kind(other) if name not in of_kind(kind) and name in sent]
    return list(dict.fromkeys(others))


class NewAgentRequest(Request):
    """One agent to create: ``websocket`` needs ``url``, ``announcement`` needs ``audio`` or ``script``,
    ``sip`` needs ``number``, ``fleet`` needs ``pool``."""

    REFUSED: ClassVar[Mapping[str, str]] = {"paused": _PAUSED}

    name = _name(required=True)
    kind = Choice(AGENT_KINDS, required=True)
    url = _url()
    protocol = _protocol(default="trunkline")
    fallback = _fallback()
    greeting = _greeting()
    sample_rate = _sample_rate(default=8000)
    runtime = _runtime()
    audio = audio_file(description="announcement: file name")
    script = script("announcement: what is said, part by part, in place of audio")
    menu = Part(MenuRequest, metadata={"description": "announcement: keys that are understood"})
    voice = voice()
    number = _number()
    trunk = _trunk()
    user = _user()
    transfer_to = transfer_list()
    pool = Text(
        maximum=32,
        pattern="[a-z0-9][a-z0-9-]{0,31}",
        remedy="must be the name of a pool, as your operator gave it to you",
        metadata={"description": "fleet: the pool of workers whose seats its calls take"},
    )
    seat_policy = Choice(SEAT_POLICIES, metadata={"default": "reserved", "description": "fleet: " + POLICY_WORDS})

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits_kind(self, data: dict[str, Any], sent: dict[str, Any], **_: Any) -> None:
        kind = data.get("kind", "")
        if kind not in WHERE:
            return
        faults: dict[str, list[str]] = {}
        given = [name for name in WHERE[kind] if name in sent]
        if not given:
            others = " or ".join(WHERE[kind])
            faults[WHERE[kind][0]] = [Fault("required", f"is required for kind {kind}: give {others}")]
        for name in given[1:]:
            faults[name] = [Fault("conflict", f"stands beside {given[0]}; give one of the two")]
        for name in foreign(kind, sent):
            faults[name] = [Fault("not_allowed", f"belongs to no agent of kind {kind}; leave it out")]
        if (unread := runtime_fault(kind, sent)) is not None:
            faults["runtime"] = [unread]
        if (
            unspoken := rate_fault(data.get("protocol"), data.get("sample_rate"))
        ) is not None and "sample_rate" not in faults:
            faults["sample_rate"] = [unspoken]
        if (nowhere := trunk_fault(data.get("trunk"), data.get("user"))) is not None:
            faults.setdefault("trunk", [nowhere])
        if faults:
            raise ValidationError(faults)


class AgentChangeRequest(Request):
    """What of an agent is to be changed; what is left out stays."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "kind": "cannot be changed; create another agent, and archive this one",
        "paused": _PAUSED,
        "pool": _SEATED,
        "seat_policy": _SEATED,
    }

    name = _name()
    url = _url()
    protocol = _protocol()
    fallback = _fallback()
    greeting = _greeting(allow_none=True)
    sample_rate = _sample_rate()
    runtime = _runtime()
    audio = audio_file(description="announcement: file name; takes the place of a script")
    script = script("announcement: what is said, part by part; takes the place of audio")
    menu = Part(MenuRequest, metadata={"description": "announcement: takes the place of the whole menu before"})
    voice = voice()
    number = _number()
    trunk = _trunk(allow_none=True)
    user = _user(allow_none=True)
    transfer_to = transfer_list()

    @validates_schema(skip_on_field_errors=True)
    def _something(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError([Fault("required", "name at least one of the fields")])
        if "audio" in data and "script" in data:
            raise ValidationError({"script": [Fault("conflict", "stands beside audio; give one of the two")]})


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
