"""/v1/batches: place many calls at once, see how they do, cancel them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from flask import Response, request, url_for

from budget.push import push
from calls.ids import batch_ref
from crashpoint import crash_point
from store import batches, request_keys
from store.batches import Batch, Fitted, NewBatch, Under
from store.request_keys import Remembered
from store.rows import LIVE_STATUSES
from store.snapshot import stamp
from web.api import idempotency
from web.api.accepting import accepting
from web.api.batch_body import read_batch
from web.api.batch_plan import Judged, judge, render
from web.api.batch_requests import BatchAnswer, BatchesQuery, BatchPage, BatchRequest, PlacedBatchAnswer
from web.api.flights import only_one
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.once import answered, scope_of_request
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.respond import answer, page, path_id, refuses
from web.auth import tenant
from web.breath import breather, uncollected
from web.problems import not_found
from web.runtime import runtime

_SAFE_AGAIN = f"Send it again with the same {idempotency.HEADER}: it is carried out once at most."
_LOOK_FIRST = f"Look for it (GET /v1/batches) before you send it again. With an {idempotency.HEADER} that would be safe."
_CANCEL_AGAIN = "Ask again: asking twice changes nothing."
#: Calls of a lane that are put into it at once; the last of them tells that more wait behind it.
_FIRST = 1

blueprint = Blueprint("batches", __name__, url_prefix="/v1/batches", description="Many calls in one request")


@blueprint.post("", scope="calls:write")
@blueprint.response(202, PlacedBatchAnswer, description="Accepted", headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@refuses(blueprint, 400, 409, 413, 415, 422, writes=True)
@blueprint.doc(
    parameters=[idempotency.PARAMETER],
    operationId="placeBatch",
    requestBody={"required": True, "content": {"application/json": {"schema": BatchRequest}}},
)
def place_batch() -> Response:
    """Place many calls

    Up to 10,000 rows. Each says what is its own, `defaults` what holds for all the others: a field of a row takes the
    place of the default as a whole. Rows are judged one by one, as single calls are: one that is refused does not keep the
    others back. All that are accepted are kept in one transaction, so a batch is there as a whole or not at all. Where your
    queue has not room for all of them, the last ones are refused with `queue_full`; where it has none, the answer is 429.
    No row accepted for other reasons is 422. With an `Idempotency-Key` it is safe to send it again: the same answer, or the
    batch, once.
    """
    with uncollected():
        return _placed()


def _placed() -> Response:
    ours, account = runtime(), tenant()
    breathe = breather()
    body = read_batch(request, ours.settings, breathe)
    key = idempotency.key_of(body.fingerprint)
    scope = scope_of_request()
    now = ours.now()
    with only_one(account.id, scope, None if key is None else key.key), accepting():
        if key is not None:
            known = request_keys.find(ours.database, account.id, scope, key, now)
            if known is not None:
                return answered(known, replayed=True)
        judged = judge(body, account, now, breathe)
        if not judged.calls:
            raise judged.refusal()
        with told_truly(_LOOK_FIRST if key is None else _SAFE_AGAIN):
            done = batches.accept_batch(
                ours.database,
                NewBatch(account.id, judged.calls, len(body.rows) - len(judged.calls)),
                under=None if key is None else Under(scope, key),
                now=now,
                respond=lambda fitted: _respond(fitted, judged, breathe),
                breathe=breathe,
                max_queued=ours.settings.tenant_max_queued,
            )
    crash_point("batch.committed")
    _lane([(one.attempt_id, one.lane) for one in done.written if one.due])
    return answered(done.answer, replayed=done.replayed)


def _respond(fitted: Fitted, judged: Judged, breathe: Callable[[], None]) -> Remembered:
    batch = fitted.batch
    head = {
        "id": batch_ref(batch.id),
        "accepted": batch.accepted,
        "refused": batch.refused,
        "created_at": stamp(batch.created_at),
    }
    location = url_for("batches.get_batch", batch_id=batch_ref(batch.id))
    return Remembered(202, location, render(head, judged, fitted, breathe))


def _lane(items: list[tuple[Any, str]]) -> None:
    """The first calls of each lane go straight into it, as many as it takes from the API and one more: that one is left,
    and tells that others wait in Postgres, so that no call accepted later goes before them. The feeder brings the rest.
    """
    ours = runtime()
    settings = ours.settings
    for _, lane in groupby(sorted(items, key=lambda item: item[1]), key=lambda item: item[1]):
        first = list(lane)[: settings.lane_window + _FIRST]
        ours.gate.ask(
            lambda first=first: len(push(ours.redis, first, window=settings.lane_window, most=settings.laned_max)),  # type: ignore[misc]
            lambda: 0,
        )


@blueprint.get("", scope="calls:read")
@blueprint.arguments(BatchesQuery, location="query")
@blueprint.response(200, BatchPage)
@refuses(blueprint)
@blueprint.doc(operationId="listBatches")
def list_batches(query: dict[str, Any]) -> Response:
    """List batches, newest first"""
    limit = query["limit"]
    found = batches.list_batches(runtime().database, tenant().id, limit + 1, query.get("starting_after"))
    return page(found, limit, _summary)


@blueprint.get("/<batch_id>", scope="calls:read")
@blueprint.response(200, BatchAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getBatch")
def get_batch(batch_id: str) -> Response:
    """Read a batch

    With how many of its calls are in each status, and how many ended for each reason. The calls themselves:
    `GET /v1/calls?batch_id=`.
    """
    batch = batches.get(runtime().database, tenant().id, path_id("batch", batch_id))
    if batch is None:
        raise not_found("batch")
    return answer(_show(batch))


@blueprint.post("/<batch_id>/cancel", scope="calls:write")
@blueprint.response(202, BatchAnswer, description="Accepted")
@refuses(blueprint, 404, 422, writes=True)
@blueprint.doc(operationId="cancelBatch")
def cancel_batch(batch_id: str) -> Response:
    """Cancel a batch

    From now on none of its calls is dialed, however many there are; each that waits ends as `canceled` soon, with its
    webhook. A call that is being dialed or talked on goes on, but is not dialed again. Asking again changes nothing.
    """
    ours = runtime()
    with told_truly(_CANCEL_AGAIN):
        batch = batches.cancel(ours.database, tenant().id, path_id("batch", batch_id), ours.now())
    if batch is None:
        raise not_found("batch")
    with told_truly(_CANCEL_AGAIN, accepted=True):
        return answer(_show(batch), 202)


def _summary(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch_ref(batch.id),
        "accepted": batch.accepted,
        "refused": batch.refused,
        "created_at": stamp(batch.created_at),
        "canceled_at": stamp(batch.canceled_at),
    }


def _show(batch: Batch) -> dict[str, Any]:
    statuses, reasons = batches.counts(runtime().database, batch.tenant_id, batch.id)
    ended = sum(count for status, count in statuses.items() if status not in LIVE_STATUSES)
    return {**_summary(batch), "statuses": statuses, "end_reasons": reasons, "ended": ended}
