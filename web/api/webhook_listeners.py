"""/v1/webhook_listeners: events fetched instead of POSTed, for ``trunkline listen`` on a machine that nobody can reach."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID

from flask import Response

from calls.ids import delivery_ref, listener_ref
from calls.webhook_sign import signed_headers
from store import webhook_endpoints
from store.webhook_endpoints import LISTENERS, Fetched, Heard, TooManyEndpoints
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.respond import answer, path_id, refuses
from web.api.webhook_answers import FetchedWebhookList, RemovedWebhookAnswer, WebhookListenerAnswer
from web.api.webhook_endpoints import shown, too_many_endpoints
from web.api.webhook_fields import NewWebhookListenerRequest, PollWebhooksRequest
from web.auth import tenant
from web.breath import waiting
from web.problems import not_found
from web.runtime import runtime

blueprint = Blueprint(
    "webhook_listeners", __name__, url_prefix="/v1/webhook_listeners", description="Webhooks on your own machine"
)

#: s; between two looks while somebody waits.
LOOK_S = 0.5


@blueprint.post("", scope="webhooks:manage")
@blueprint.arguments(NewWebhookListenerRequest)
@blueprint.response(201, WebhookListenerAnswer)
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(operationId="createWebhookListener")
def create_listener(args: dict[str, Any]) -> Response:
    """Begin to listen

    From now on events wait here to be fetched, beside all that your endpoints are told. A listener that does not ask for two
    minutes is gone, with what waited for it.
    """
    ours = runtime()
    try:
        with told_truly("Send it again: a listener that nobody uses is gone after two minutes."):
            made, secret = webhook_endpoints.listen(ours.database, tenant().id, args["events"], ours.now())
    except TooManyEndpoints:
        raise too_many_endpoints(LISTENERS) from None
    return answer({"id": listener_ref(made), "events": args["events"], "secret": shown(secret)}, 201)


@blueprint.post("/<listener_id>/poll", scope="webhooks:manage")
@blueprint.arguments(PollWebhooksRequest)
@blueprint.response(200, FetchedWebhookList)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="pollWebhookListener")
def poll_listener(args: dict[str, Any], listener_id: str) -> Response:
    """Fetch what has happened

    Waits up to `wait_s` until something has. Events come again until they are named in `heard`.
    """
    wanted = path_id("listener", listener_id)
    heard = [Heard(one["delivery_id"], one.get("code"), one.get("error")) for one in args.get("heard", [])]
    until, goes_on = time.monotonic() + args["wait_s"], True
    while True:
        secret, found = _hear(wanted, heard, goes_on=goes_on)
        if found or time.monotonic() >= until:
            return answer({"data": [_show(secret, one) for one in found]})
        heard, goes_on = [], False
        with waiting():
            time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))


@blueprint.delete("/<listener_id>", scope="webhooks:manage")
@blueprint.response(200, RemovedWebhookAnswer)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="deleteWebhookListener")
def delete_listener(listener_id: str) -> Response:
    """Listen no more"""
    ours, wanted = runtime(), path_id("listener", listener_id)
    with told_truly("Send it again: if it was removed, the answer is 404."):
        if not webhook_endpoints.delete(ours.database, tenant().id, wanted, ours.now(), listener=True):
            raise not_found("listener")
    return answer({"id": listener_id, "deleted": True})


def _hear(listener_id: UUID, heard: list[Heard], *, goes_on: bool) -> tuple[bytes, list[Fetched]]:
    ours = runtime()
    with told_truly("Ask again: events come until they are named in heard."):
        found = webhook_endpoints.hear(ours.database, tenant().id, listener_id, heard, ours.now(), goes_on=goes_on)
    if found is None:
        raise not_found("listener")
    return found


def _show(secret: bytes, one: Fetched) -> dict[str, Any]:
    body = json.dumps(one.body, ensure_ascii=False, separators=(",", ":"))
    headers = signed_headers([secret], str(one.event_id), int(runtime().now().timestamp()), body.encode())
    return {"delivery_id": delivery_ref(one.id), "headers": headers, "body": body}
