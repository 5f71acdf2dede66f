"""What the API answers about webhooks."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from calls.ids import call_ref, delivery_ref, endpoint_ref
from calls.webhook_events import EVENT_TYPES, EVERY, TEST
from store.snapshot import stamp
from store.webhook_endpoints import Endpoint
from store.webhook_log import LoggedDelivery
from web.api.answer_fields import Answer, PageAnswer, moment, several, text, texts, truth, whole
from web.api.webhook_fields import STATUSES

_ENDPOINT = "endpoint_0190b2c3d4e57f60718293a4b5c6d7e8"
_DELIVERY = "delivery_0190b2c3d4e57f60718293a4b5c6d7e8"
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the standard's own example
_TYPES = [*EVENT_TYPES, TEST]


def _events() -> fields.List[Any]:
    return texts("types it is told of", enum=[*EVENT_TYPES, EVERY])


class WebhookEndpointAnswer(Answer):
    """Where webhooks go."""

    id = text("the endpoint", example=_ENDPOINT)
    url = text("where they are POSTed")
    events = _events()
    description = text("yours", null=True)
    account = truth("it is the account's own address, whose secret also signs for addresses that calls name themselves")
    status = text("whether it is told of anything", enum=["enabled", "disabled"])
    disabled_reason = text(
        "customer: by you; gone: it answered 410; failing: nothing but failures for days",
        null=True,
        enum=["customer", "gone", "failing", None],
    )
    disabled_at = moment("since when it is disabled", null=True)
    failing_since = moment("nothing but failures since then; null: the latest try was taken", null=True)
    old_secret_until = moment("until then the secret of before signs too; null: one secret signs", null=True)
    created_at = moment("created")


class WebhookSecretAnswer(WebhookEndpointAnswer):
    """An endpoint with its secret, which is told this once."""

    secret = text("signs what is sent there: keep it, it is not shown again", example=_SECRET)


class WebhookEndpointPage(PageAnswer):
    """A page of endpoints, newest first."""

    data = several(WebhookEndpointAnswer)


class RemovedWebhookAnswer(Answer):
    """It is gone."""

    id = text("what was removed")
    deleted = truth("always true")


class WebhookTryAnswer(Answer):
    """One try."""

    at = moment("when its outcome was known")
    code = whole("HTTP status; null: there was no answer", null=True)
    error = text("why it failed; null: it did not", null=True)
    latency_ms = whole("ms; from the connection to the answer", null=True)
    reply = text("the first kilobyte of the answer, as it came", null=True)
    replay = truth("it was made because of a replay")


class WebhookDeliveryAnswer(Answer):
    """One event at one endpoint."""

    id = text("the delivery", example=_DELIVERY)
    webhook_id = text("header webhook-id: the same on every try, and at every endpoint")
    endpoint_id = text("where to; null: to the address that the call named itself", null=True, example=_ENDPOINT)
    url = text("that address; the endpoint's as it is now", null=True)
    call_id = text("the call it is about", null=True)
    sequence = whole("data.sequence: counts the call's events", null=True)
    type = text("type of the event", enum=_TYPES)
    status = text(
        "pending: it is tried at next_try_at; failed: given up; skipped: its endpoint was disabled; listening: it waits for"
        " a listener",
        enum=list(STATUSES),
    )
    tries = whole("so far, since it was written or replayed")
    replays = whole("how often it was replayed")
    next_try_at = moment("when it is tried again, while pending", null=True)
    ended_at = moment("delivered, given up or passed over", null=True)
    code = whole("HTTP status of the latest try", null=True)
    error = text("why the latest try failed, or was not made", null=True)
    attempts = several(WebhookTryAnswer, "the latest tries, first one first")
    created_at = moment("of the event")


class WebhookDeliveryPage(PageAnswer):
    """A page of deliveries, newest event first."""

    data = several(WebhookDeliveryAnswer)


class ReplayedWebhooksAnswer(Answer):
    """How much is told again."""

    replayed = whole("deliveries that are told again now")
    next_since = moment("there are more: ask again with this as since; null: that was all", null=True)


class WebhookListenerAnswer(Answer):
    """A terminal that hears of events beside all endpoints."""

    id = text("the listener")
    events = _events()
    secret = text("signs what it fetches; told this once", example=_SECRET)


class FetchedWebhookAnswer(Answer):
    """One event, as it would be POSTed."""

    delivery_id = text("give it back in heard", example=_DELIVERY)
    headers = fields.Dict(required=True, metadata={"description": "to be sent with the body, signature and all"})
    body = text("the exact text that is signed")


class FetchedWebhookList(Answer):
    """What has happened, oldest first."""

    data = several(FetchedWebhookAnswer)


def show_endpoint(endpoint: Endpoint, now: Any) -> dict[str, Any]:
    """As WebhookEndpointAnswer says."""
    old = endpoint.old_until
    return {
        "id": endpoint_ref(endpoint.id),
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "account": endpoint.account,
        "status": "enabled" if endpoint.disabled_at is None else "disabled",
        "disabled_reason": endpoint.disabled_reason,
        "disabled_at": stamp(endpoint.disabled_at),
        "failing_since": stamp(endpoint.failing_since),
        "old_secret_until": stamp(old) if old is not None and old > now else None,
        "created_at": stamp(endpoint.created_at),
    }


def show_delivery(row: LoggedDelivery) -> dict[str, Any]:
    """As WebhookDeliveryAnswer says."""
    return {
        "id": delivery_ref(row.id),
        "webhook_id": str(row.event_id),
        "endpoint_id": None if row.endpoint_id is None else endpoint_ref(row.endpoint_id),
        "url": row.url,
        "call_id": None if row.call_id is None else call_ref(row.call_id),
        "sequence": row.sequence,
        "type": row.type,
        "status": row.status,
        "tries": row.tries,
        "replays": row.replays,
        "next_try_at": stamp(row.next_at) if row.status == "pending" else None,
        "ended_at": stamp(row.ended_at),
        "code": row.last_code,
        "error": row.last_error,
        "attempts": row.attempts,
        "created_at": stamp(row.created_at),
    }
