"""Schemas of what the API takes. Everything not named here is refused by name."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, validates_schema

from calls.numbers import parse_caller_id, parse_destination
from calls.rules import MAX_ATTEMPTS
from web.api.answers import AGENT_KINDS, PRIORITIES, STATUSES
from web.api.fields import Choice, Fault, Moment, Object, QueryWhole, Reference, Request, Telephone, Text, Whole
from web.api.recording_fields import RecordingRequest
from web.api.retry_fields import Part, QuerySwitch, RetryRequest, WindowRequest
from web.api.rules_fields import ConsentRequest, RecipientRequest
from web.api.urls import WEBHOOK_SCHEMES, Url

PAGE_DEFAULT, PAGE_MOST = 50, 200


class NewCallRequest(Request):
    """One call to place."""

    to = Telephone(parse_destination, required=True, metadata={"description": "number to dial", "example": "+4930123456"})
    from_ = Telephone(
        parse_caller_id,
        required=True,
        data_key="from",
        metadata={"description": "number to show", "example": "+442079460000"},
    )
    agent_id = Reference("agent", required=True, metadata={"description": "who talks to whoever answers"})
    agent_variables = Object(
        "max_variables_bytes",
        names=r"[A-Za-z_][A-Za-z0-9_]{0,63}",
        metadata={"description": "given to the agent; names of letters, digits and _"},
    )
    metadata = Object("max_metadata_bytes", metadata={"description": "yours; returned in answers and webhooks as sent"})
    priority = Choice(PRIORITIES, metadata={"default": "normal", "description": "class of service"})
    not_before = Moment(metadata={"description": "dialed at once unless this lies ahead"})
    expires_at = Moment(metadata={"description": "not dialed after this; else a day after it may first be dialed"})
    ring_timeout_s = Whole(5, 120, metadata={"description": "s; first ringing to answer"})
    max_duration_s = Whole(10, 14_400, metadata={"description": "s; longest talk"})
    max_attempts = Whole(1, MAX_ATTEMPTS, metadata={"description": "the same as retry.max_attempts; give one of the two"})
    retry = Part(RetryRequest, metadata={"description": "when it is dialed again, and how often"})
    window = Part(WindowRequest, metadata={"description": "hours in which it may be dialed; else at any time"})
    recipient = Part(RecipientRequest, metadata={"description": "where the callee is; else where the number's prefix says"})
    consent = Part(
        ConsentRequest, metadata={"description": "on what ground it is made; else your account's own, if it has one"}
    )
    recording = Part(RecordingRequest, metadata={"description": "whether it is recorded; else as your account has it"})
    webhook_url = Url(
        WEBHOOK_SCHEMES,
        "webhook_allow_private",
        metadata={"description": "where this call's webhooks go; else your account's address"},
    )
    client_reference = Text(maximum=255, metadata={"description": "yours; returned in answers and webhooks"})


class NewAgentRequest(Request):
    """One agent to create: ``websocket`` needs ``url``, ``announcement`` needs ``audio``."""

    name = Text(
        maximum=63,
        pattern="[a-z0-9][a-z0-9-]{0,62}",
        remedy="must be lower-case letters, digits and -, not starting with -",
        required=True,
    )
    kind = Choice(AGENT_KINDS, required=True)
    url = Url(("wss", "ws"), "agent_allow_private", metadata={"description": "websocket: your server"})
    audio = Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        metadata={"description": "announcement: file name"},
    )

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def _fits_kind(self, data: dict[str, Any], sent: dict[str, Any], **_: Any) -> None:
        wanted = {"websocket": "url", "announcement": "audio"}
        needed = wanted.get(data.get("kind", ""))
        if needed is None:
            return
        faults: dict[str, list[str]] = {}
        for field in wanted.values():
            if field == needed and field not in sent:
                faults[field] = [Fault("required", f"is required for kind {data['kind']}")]
            if field != needed and field in sent:
                faults[field] = [Fault("not_allowed", f"belongs to no agent of kind {data['kind']}; leave it out")]
        if faults:
            raise ValidationError(faults)


class PageQuery(Request):
    """Where in a list, and how much of it."""

    limit = QueryWhole(1, PAGE_MOST, load_default=PAGE_DEFAULT, metadata={"default": PAGE_DEFAULT})


class CallsQuery(PageQuery):
    """Which calls."""

    starting_after = Reference("call", metadata={"description": "next_cursor of the page before"})
    status = Choice(STATUSES, metadata={"description": "only calls that are there now"})
    test = QuerySwitch(
        metadata={"description": "true: only calls of test keys; else of live keys alone. A test key lists its own kind"}
    )


class AgentsQuery(PageQuery):
    """Which agents."""

    starting_after = Reference("agent", metadata={"description": "next_cursor of the page before"})
