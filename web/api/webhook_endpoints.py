"""/v1/webhook_endpoints: where an account hears of its calls."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response, url_for

from calls.ids import endpoint_ref
from store import webhook_endpoints, webhook_log
from store.pool import Database
from store.webhook_endpoints import Endpoint, TooManyEndpoints
from web.api import idempotency
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.once import once
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.respond import answer, page, path_id, refuses
from web.api.webhook_answers import (
    RemovedWebhookAnswer,
    WebhookDeliveryAnswer,
    WebhookEndpointAnswer,
    WebhookEndpointPage,
    WebhookSecretAnswer,
    show_delivery,
    show_endpoint,
)
from web.api.webhook_fields import (
    EndpointsQuery,
    NewWebhookEndpointRequest,
    RotateWebhookSecretRequest,
    WebhookEndpointChanges,
)
from web.auth import tenant
from web.problems import Problem, not_found
from web.runtime import runtime

blueprint = Blueprint(
    "webhook_endpoints", __name__, url_prefix="/v1/webhook_endpoints", description="Where you hear of your calls"
)

_LOOK = "List the endpoints: if it was made, remove it and make another, as its secret is told only once."


@blueprint.post("", scope="webhooks:manage")
@blueprint.arguments(NewWebhookEndpointRequest)
@blueprint.response(201, WebhookSecretAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(operationId="createWebhookEndpoint")
def create_endpoint(args: dict[str, Any]) -> Response:
    """Create a webhook endpoint

    The answer holds its `secret`, this once. It is told of what happens from now on, beside all other endpoints.
    """
    ours = runtime()
    try:
        with told_truly(_LOOK):
            endpoint, secret = webhook_endpoints.create(
                ours.database,
                tenant().id,
                url=args["url"],
                events=args["events"],
                description=args.get("description") or None,
                most=ours.settings.webhook_endpoints,
                now=ours.now(),
            )
    except TooManyEndpoints:
        raise too_many_endpoints(ours.settings.webhook_endpoints) from None
    where = {"Location": url_for("webhook_endpoints.get_endpoint", endpoint_id=endpoint_ref(endpoint.id))}
    return answer({**_show(endpoint), "secret": shown(secret)}, 201, where)


@blueprint.get("", scope="webhooks:manage")
@blueprint.arguments(EndpointsQuery, location="query")
@blueprint.response(200, WebhookEndpointPage)
@refuses(blueprint)
@blueprint.doc(operationId="listWebhookEndpoints")
def list_endpoints(query: dict[str, Any]) -> Response:
    """List webhook endpoints, newest first"""
    limit = query["limit"]
    found = webhook_endpoints.list_endpoints(runtime().database, tenant().id, limit + 1, query.get("starting_after"))
    return page(found, limit, _show)


@blueprint.get("/<endpoint_id>", scope="webhooks:manage")
@blueprint.response(200, WebhookEndpointAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getWebhookEndpoint")
def get_endpoint(endpoint_id: str) -> Response:
    """Read a webhook endpoint"""
    return answer(_show(_known(endpoint_id)))


@blueprint.patch("/<endpoint_id>", scope="webhooks:manage")
@blueprint.arguments(WebhookEndpointChanges)
@blueprint.response(200, WebhookEndpointAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="changeWebhookEndpoint")
def change_endpoint(args: dict[str, Any], endpoint_id: str) -> Response:
    """Change, disable or enable a webhook endpoint

    What happens while it is disabled is kept in the delivery log as `skipped`, and can be replayed when it is enabled again.
    """
    ours, enabled = runtime(), args.pop("enabled", None)
    if "description" in args:
        args["description"] = args["description"] or None
    wanted = path_id("endpoint", endpoint_id)
    with told_truly("Send it again: doing it twice changes nothing."):
        found = webhook_endpoints.update(ours.database, tenant().id, wanted, args, ours.now(), enabled)
    if found is None:
        raise not_found("endpoint")
    return answer(_show(found))


@blueprint.delete("/<endpoint_id>", scope="webhooks:manage")
@blueprint.response(200, RemovedWebhookAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="deleteWebhookEndpoint")
def delete_endpoint(endpoint_id: str) -> Response:
    """Remove a webhook endpoint

    It is told of nothing any more, not even of what still waited for its next try.
    """
    ours = runtime()
    with told_truly("Send it again: if it was removed, the answer is 404."):
        if not webhook_endpoints.delete(ours.database, tenant().id, path_id("endpoint", endpoint_id), ours.now()):
            raise not_found("endpoint")
    return answer({"id": endpoint_id, "deleted": True})


@blueprint.post("/<endpoint_id>/rotate_secret", scope="webhooks:manage")
@blueprint.arguments(RotateWebhookSecretRequest)
@blueprint.response(200, WebhookSecretAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="rotateWebhookSecret")
def rotate_secret(args: dict[str, Any], endpoint_id: str) -> Response:
    """Give a webhook endpoint a new secret

    For `overlap_s` every webhook carries two signatures, by the new secret and by the one before: so whoever verifies with
    either goes on without a break. Rotating again within that time ends the older of the two at once.
    """
    ours, wanted = runtime(), path_id("endpoint", endpoint_id)
    with told_truly("Rotate again: only the answer you get holds the secret that signs."):
        secret = webhook_endpoints.rotate(
            ours.database, tenant().id, wanted, timedelta(seconds=args["overlap_s"]), ours.now()
        )
    if secret is None:
        raise not_found("endpoint")
    return answer({**_show(_known(endpoint_id)), "secret": shown(secret)})


@blueprint.post("/<endpoint_id>/test", scope="webhooks:manage")
@blueprint.response(202, WebhookDeliveryAnswer, description="Accepted", headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="testWebhookEndpoint")
def test_endpoint(endpoint_id: str) -> Response:
    """Send a test webhook

    An event of the type `webhook_endpoint.test` is sent to this endpoint alone, whatever types it asked for. `Location` is
    its delivery, which tells what was answered.
    """
    with told_truly("Send it again: one more test does no harm."):
        return once(None, lambda database: _tested(database, endpoint_id))


def _tested(database: Database, endpoint_id: str) -> Response:
    endpoint = known_endpoint(path_id("endpoint", endpoint_id), database)
    made = webhook_endpoints.test(database, tenant().id, endpoint.id, runtime().now())
    if made is None:
        raise endpoint_disabled()
    delivery = webhook_log.get(database, tenant().id, made)
    assert delivery is not None
    shown_delivery = show_delivery(delivery)
    where = {"Location": url_for("webhook_deliveries.get_delivery", delivery_id=shown_delivery["id"])}
    return answer(shown_delivery, 202, where)


def too_many_endpoints(most: int) -> Problem:
    """409: the account has all it may have."""
    return Problem(
        409, "too_many_endpoints", f"Your account has {most} already, which is as many as there may be; remove one."
    )


def endpoint_disabled() -> Problem:
    """409: nothing is sent there."""
    return Problem(409, "endpoint_disabled", "This endpoint is disabled, so nothing is sent to it; enable it first.")


def shown(secret: bytes) -> str:
    """``whsec_<base64>``."""
    return "whsec_" + base64.b64encode(secret).decode("ascii")


def known_endpoint(endpoint_id: UUID, database: Database | None = None) -> Endpoint:
    """One of this account's, or 404. ``database``: of the transaction that asks; None: one of its own."""
    found = webhook_endpoints.get(database or runtime().database, tenant().id, endpoint_id)
    if found is None:
        raise not_found("endpoint")
    return found


def _known(endpoint_id: str) -> Endpoint:
    return known_endpoint(path_id("endpoint", endpoint_id))


def _show(endpoint: Endpoint) -> dict[str, Any]:
    return show_endpoint(endpoint, runtime().now())
