"""/v1/webhook_deliveries: what became of each webhook, and telling it again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, g, url_for

from calls.ids import delivery_ref
from store import webhook_log
from store.pool import Database
from store.snapshot import stamp
from web.api import idempotency
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.once import once
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.respond import answer, page, path_id, refuses
from web.api.webhook_answers import ReplayedWebhooksAnswer, WebhookDeliveryAnswer, WebhookDeliveryPage, show_delivery
from web.api.webhook_endpoints import endpoint_disabled, known_endpoint
from web.api.webhook_fields import DeliveriesQuery, ReplayWebhooksRequest
from web.auth import tenant
from web.problems import FieldError, Problem, invalid, not_found
from web.runtime import runtime

blueprint = Blueprint(
    "webhook_deliveries", __name__, url_prefix="/v1/webhook_deliveries", description="What became of each webhook"
)

_AGAIN = "Look at the delivery, or ask again: what is under way is not replayed."


@blueprint.get("", scope="webhooks:manage")
@blueprint.arguments(DeliveriesQuery, location="query")
@blueprint.response(200, WebhookDeliveryPage)
@refuses(blueprint)
@blueprint.doc(operationId="listWebhookDeliveries")
def list_deliveries(query: dict[str, Any]) -> Response:
    """List webhook deliveries, newest event first"""
    limit = query["limit"]
    found = webhook_log.list_deliveries(
        runtime().database,
        tenant().id,
        limit + 1,
        endpoint_id=query.get("endpoint_id"),
        call_id=query.get("call_id"),
        status=query.get("status"),
        before=query.get("starting_after"),
    )
    return page(found, limit, show_delivery)


@blueprint.get("/<delivery_id>", scope="webhooks:manage")
@blueprint.response(200, WebhookDeliveryAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getWebhookDelivery")
def get_delivery(delivery_id: str) -> Response:
    """Read a webhook delivery

    With every try: the status and the first kilobyte of what your server answered, how long it took, and when the next is.
    """
    found = webhook_log.get(runtime().database, tenant().id, path_id("delivery", delivery_id))
    if found is None:
        raise not_found("delivery")
    return answer(show_delivery(found))


@blueprint.post("/<delivery_id>/replay", scope="webhooks:manage")
@blueprint.response(202, WebhookDeliveryAnswer, description="Accepted", headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="replayWebhookDelivery")
def replay_delivery(delivery_id: str) -> Response:
    """Tell of an event again

    The same body under the same `webhook-id`, with the header `webhook-replay: true`, by the whole schedule again.
    """
    with told_truly(_AGAIN):
        return once(None, lambda database: _replayed(database, path_id("delivery", delivery_id)))


def _replayed(database: Database, wanted: UUID) -> Response:
    done = webhook_log.replay(database, tenant().id, wanted, runtime().now())
    found = webhook_log.get(database, tenant().id, wanted)
    if found is None:
        raise not_found("delivery")
    if not done:
        if found.status in ("pending", "listening"):
            raise Problem(409, "delivery_pending", "This delivery is under way: there is nothing to replay yet.")
        if not webhook_log.has_body(database, tenant().id, wanted):
            raise not_found("event")  # of the time before events stayed as long as what was told of them
        raise endpoint_disabled()
    where = {"Location": url_for("webhook_deliveries.get_delivery", delivery_id=delivery_ref(wanted))}
    return answer(show_delivery(found), 202, where)


@blueprint.post("/replay", scope="webhooks:manage")
@blueprint.arguments(ReplayWebhooksRequest)
@blueprint.response(202, ReplayedWebhooksAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="replayWebhookDeliveries")
def replay_range(args: dict[str, Any]) -> Response:
    """Tell an endpoint again what happened in a time

    Oldest first, up to 10,000 events a request; `next_since` says from when on there are more. By default only what was
    given up, or passed over while the endpoint was disabled. What is under way is left alone, so asking twice does no harm.
    """
    with told_truly(_AGAIN):
        return once(g.body, lambda database: _replayed_range(database, args))


def _replayed_range(database: Database, args: dict[str, Any]) -> Response:
    now = runtime().now()
    until = args.get("until", now)
    if args["since"] >= until:
        raise invalid(FieldError("/since", "in_the_future", "must lie in the past"))
    if known_endpoint(args["endpoint_id"], database).disabled_at is not None:
        raise endpoint_disabled()
    types = args.get("events")
    count, more = webhook_log.replay_range(
        database,
        tenant().id,
        args["endpoint_id"],
        since=args["since"],
        until=until,
        types=None if types is None or "*" in types else types,
        which=args["which"],
        now=now,
    )
    return answer({"replayed": count, "next_since": stamp(more)}, 202)
