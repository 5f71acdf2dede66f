"""What the API takes about webhooks."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, validates_schema

from calls.webhook_events import EVERY
from web.api.fields import Choice, Fault, Moment, Reference, Request, Text, Whole
from web.api.requests import PageQuery
from web.api.retry_fields import Part, Several, Switch
from web.api.urls import WEBHOOK_SCHEMES, Url
from web.api.webhook_part import Events

STATUSES = ("pending", "delivered", "failed", "skipped", "listening")
#: s; how long two secrets sign: as long as it is not said, and at most.
OVERLAP_S, OVERLAP_MAX_S = 86_400, 7 * 86_400
#: s; a listener is answered after so long at the latest.
WAIT_MAX_S = 20


def _url(**more: Any) -> Url:
    return Url(
        WEBHOOK_SCHEMES, "webhook_allow_private", metadata={"description": "where to POST: https, port 443 or 8443"}, **more
    )


def _description() -> Text:
    return Text(minimum=0, maximum=255, metadata={"description": "yours; empty: none"})


class NewWebhookEndpointRequest(Request):
    """Where to tell of events, and of which."""

    url = _url(required=True)
    events = Events(load_default=lambda: [EVERY], metadata={"default": [EVERY], "description": "types to tell of"})
    description = _description()


class WebhookEndpointChanges(Request):
    """What is to be otherwise; what is not named stays."""

    url = _url()
    events = Events(metadata={"description": "types to tell of"})
    description = _description()
    enabled = Switch(metadata={"description": "false: it is told of nothing; true: again from now on, from a new start"})

    @validates_schema(pass_original=True, skip_on_field_errors=True)
    def _something(self, _data: dict[str, Any], sent: dict[str, Any], **_: Any) -> None:
        if not sent:
            raise ValidationError([Fault("required", "name at least one of url, events, description and enabled")])


class RotateWebhookSecretRequest(Request):
    """How long the secret of before goes on signing beside the new one."""

    overlap_s = Whole(
        0, OVERLAP_MAX_S, load_default=OVERLAP_S, metadata={"default": OVERLAP_S, "description": "s; 0: it ends at once"}
    )


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    starting_after = Reference("delivery", metadata={"description": "next_cursor of the page before"})
    endpoint_id = Reference("endpoint", metadata={"description": "only those to this endpoint"})
    call_id = Reference("call", metadata={"description": "only those about this call"})
    status = Choice(STATUSES, metadata={"description": "only those that are so now"})


class EndpointsQuery(PageQuery):
    """Which endpoints."""

    starting_after = Reference("endpoint", metadata={"description": "next_cursor of the page before"})


class ReplayWebhooksRequest(Request):
    """What an endpoint is to be told again."""

    endpoint_id = Reference("endpoint", required=True, metadata={"description": "whom to tell"})
    since = Moment(required=True, metadata={"format": "date-time", "description": "events from then on"})
    until = Moment(metadata={"format": "date-time", "description": "and before then; else until now"})
    events = Events(metadata={"description": "only these types"})
    which = Choice(
        ("undelivered", "all"),
        load_default="undelivered",
        metadata={"default": "undelivered", "description": "undelivered: what was given up or passed over"},
    )

    @validates_schema(skip_on_field_errors=True)
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        if "until" in data and data["until"] <= data["since"]:
            raise ValidationError({"until": [Fault("before_since", "must lie after since")]})


class NewWebhookListenerRequest(Request):
    """Of what a terminal wants to hear."""

    events = Events(load_default=lambda: [EVERY], metadata={"default": [EVERY], "description": "types to hear of"})


class HeardWebhookRequest(Request):
    """What became of one event on the listener's machine."""

    delivery_id = Reference("delivery", required=True)
    code = Whole(100, 599, metadata={"description": "HTTP status; left out: nobody answered"})
    error = Text(maximum=255, metadata={"description": "why nobody did"})


class PollWebhooksRequest(Request):
    """What came of the events before, and how long to wait for more."""

    heard = Several(
        Part(HeardWebhookRequest),
        100,
        metadata={"description": "of events that were fetched before: they are not given again"},
    )
    wait_s = Whole(0, WAIT_MAX_S, load_default=0, metadata={"default": 0, "description": "s; how long to wait for an event"})
