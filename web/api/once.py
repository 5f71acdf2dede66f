"""Work that is done once, however often it is asked for under an Idempotency-Key: for every POST that makes something.

The key is reserved, the work done and its answer written down in one transaction, so there is an answer exactly if the work
stands. What raises is not remembered: a corrected request may use its key again. POST /v1/calls has its own way
(store/accepting.py), which is quicker and means the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, current_app, request

from store import request_keys
from store.pool import Database
from store.request_keys import Owner, Remembered
from web.api import idempotency
from web.api.flights import only_one
from web.auth import tenant
from web.runtime import runtime


def once(body: Any, work: Callable[[Database], Response], owner: Owner | None = None) -> Response:
    """The answer of ``work``, or that of the first request with the same key and ``body`` (as parsed; None: it has none).
    ``work`` does all that it does in Postgres through the database it is given. ``owner``: whose the key is; None: the
    tenant's.

    Raises ``Problem`` 400 (malformed key), 409 (in flight), 422 (used with another body), and what ``work`` raises.
    """
    ours = runtime()
    key = idempotency.idempotency_key(body)
    if key is None:
        return work(ours.database)
    scope = scope_of_request()
    whose = tenant().id if owner is None else owner
    with only_one(whose, scope, key.key), idempotency.keyed():
        kept, replayed = request_keys.once(
            ours.database, whose, scope, key, ours.now(), lambda database: _kept(work(database))
        )
    return answered(kept, replayed=replayed)


def scope_of_request() -> str:
    """What a key belongs to besides its tenant."""
    return f"{request.method} {request.path}"


def answered(kept: Remembered, *, replayed: bool) -> Response:
    """The answer as it was made, marked if it is a repetition's."""
    response: Response = current_app.response_class(kept.body, status=kept.status, mimetype="application/json")
    if kept.location is not None:
        response.headers["Location"] = kept.location
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _kept(response: Response) -> Remembered:
    return Remembered(response.status_code, response.headers.get("Location"), response.get_data())
