"""Schemas of what the API takes. Everything not named here is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import ValidationError, validates_schema

from calls.cause_table import END_REASONS
from calls.numbers import parse_caller_id, parse_destination
from calls.rules import MAX_ATTEMPTS
from web.api.call_answers import PRIORITIES, STATUSES
from web.api.fields import Choice, Fault, Moment, Object, QueryWhole, Reference, Request, Telephone, Text, Whole
from web.api.recording_fields import RecordingRequest
from web.api.retry_fields import Part, QuerySwitch, RetryRequest, WindowRequest
from web.api.rules_fields import ConsentRequest, RecipientRequest
from web.api.urls import WEBHOOK_SCHEMES, Url
from web.api.webhook_part import WebhookRequest

PAGE_DEFAULT, PAGE_MOST = 50, 200


class NewCallRequest(Request):
    """One call to place."""

    REFUSED: ClassVar[Mapping[str, str]] = {
        "number_pool_id": "number pools are not there yet; give the number to show as from",
        "screening": "machines are not told from people yet; leave it out: whoever answers is put through to the agent",
    }

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
        metadata={"description": "where this call's webhooks go; the same as webhook.url"},
    )
    webhook = Part(
        WebhookRequest,
        metadata={"description": "where this call's webhooks go, and which; else to your account's endpoints"},
    )
    client_reference = Text(maximum=255, metadata={"description": "yours; returned in answers and webhooks"})


class DtmfRequest(Request):
    """Keys to press."""

    digits = Text(
        maximum=32,
        pattern="[0-9A-D*#w]{1,32}",
        remedy="must be 1 to 32 of 0-9 A-D * # and w, a pause of half a second",
        required=True,
        metadata={"description": "keys towards the callee: 0-9 A-D * #; w: a pause of half a second", "example": "1w42#"},
    )
    tone_ms = Whole(60, 1000, metadata={"description": "ms; how long each key is pressed", "default": 250})

    @validates_schema(skip_on_field_errors=True)
    def _presses(self, data: dict[str, Any], **_: Any) -> None:
        if not data["digits"].strip("w"):
            raise ValidationError({"digits": [Fault("bad_format", "must hold a key, not only pauses")]})


class PlayRequest(Request):
    """A file to play."""

    audio = Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        required=True,
        metadata={"description": "file in the announcement directory", "example": "hold_on.wav"},
    )


class HoldRequest(Request):
    """What is heard meanwhile."""

    audio = Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path; leave it out for silence",
        metadata={
            "description": "file in the announcement directory, over and over; not given: silence",
            "example": "hold_music.wav",
        },
    )


class PageQuery(Request):
    """Where in a list, and how much of it."""

    limit = QueryWhole(1, PAGE_MOST, load_default=PAGE_DEFAULT, metadata={"default": PAGE_DEFAULT})


class CallsQuery(PageQuery):
    """Which calls: those of which all that is given is true."""

    starting_after = Reference(
        "call", metadata={"description": "only calls older than this: next_cursor of the page before"}
    )
    ending_before = Reference("call", metadata={"description": "only calls newer than this, the nearest ones"})
    status = Choice(STATUSES, metadata={"description": "only calls that are there now"})
    batch_id = Reference("batch", metadata={"description": "only calls of this batch"})
    to = Text(
        maximum=16,
        pattern="[+][1-9][0-9]{5,14}",
        remedy="must be an E.164 number; in an address + is written %2B",
        metadata={"description": "only calls to this number; write + as %2B"},
    )
    end_reason = Choice(tuple(END_REASONS), metadata={"description": "only calls that ended for this reason"})
    agent_id = Reference("agent", metadata={"description": "only calls of this agent"})
    client_reference = Text(maximum=255, metadata={"description": "only calls that you gave this name"})
    created_after = Moment(metadata={"description": "only calls accepted then or later; write + as %2B"})
    created_before = Moment(metadata={"description": "only calls accepted before then"})
    test = QuerySwitch(
        metadata={"description": "true: only calls of test keys; else of live keys alone. A test key lists its own kind"}
    )

    @validates_schema(skip_on_field_errors=True)
    def _one_direction(self, data: dict[str, Any], **_: Any) -> None:
        if "starting_after" in data and "ending_before" in data:
            raise ValidationError({"ending_before": [Fault("conflict", "give starting_after or ending_before, not both")]})
