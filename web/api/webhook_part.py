"""The part ``webhook`` of a new call: where this call is told of, and of which types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError, validates_schema

from calls.webhook_events import EVENT_TYPES, EVERY, named
from web.api.fields import Choice, Fault, Reference, Request
from web.api.lookups import Lookups
from web.api.retry_fields import Several
from web.api.urls import WEBHOOK_SCHEMES, Url
from web.problems import FieldError


class Events(Several):
    """Event types, each of which exists; ``*`` is all of them, those that are added later too."""

    def __init__(self, **more: Any):
        super().__init__(Choice((*EVENT_TYPES, EVERY)), 64, **more)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return named(super()._deserialize(value, *args, **kwargs))


class WebhookRequest(Request):
    """Where, instead of at the account's endpoints: an address, or one of the endpoints."""

    url = Url(WEBHOOK_SCHEMES, "webhook_allow_private", metadata={"description": "address; give this or endpoint_id"})
    endpoint_id = Reference("endpoint", metadata={"description": "one of your endpoints; give this or url"})
    events = Events(metadata={"description": "types to tell of; else all, or what the endpoint asks for"})

    @validates_schema(pass_original=True, skip_on_field_errors=True)
    def _one_place(self, _data: dict[str, Any], sent: dict[str, Any], **_: Any) -> None:
        if "url" in sent and "endpoint_id" in sent:
            raise ValidationError([Fault("conflict", "names url and endpoint_id; give one of the two")])
        if "url" not in sent and "endpoint_id" not in sent:
            raise ValidationError([Fault("required", "name url or endpoint_id")])


def webhook_for(args: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """``webhook_url`` and ``webhook`` of the call that ``args`` ask for."""
    asked = args.get("webhook")
    if asked is None:
        return args.get("webhook_url"), None
    kept: dict[str, Any] = {}
    if "endpoint_id" in asked:
        kept["endpoint_id"] = str(asked["endpoint_id"])
    if "events" in asked:
        kept["events"] = asked["events"]
    return asked.get("url"), kept or None


def webhook_faults(args: Mapping[str, Any], lookups: Lookups) -> Iterator[FieldError]:
    """What speaks against it."""
    asked = args.get("webhook")
    if asked is None:
        return
    if "webhook_url" in args:
        yield FieldError("/webhook", "conflict", "says where as webhook_url does; give one of the two")
    wanted = asked.get("endpoint_id")
    if wanted is not None and not lookups.has_endpoint(wanted):
        yield FieldError("/webhook/endpoint_id", "unknown_endpoint", "no such endpoint: use the id of one of yours")
