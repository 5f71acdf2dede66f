"""POST /internal/cdr: the switch's call detail record, the second witness of an attempt's end.

Not part of the public API. Every 2xx means: it is kept, or there is nothing to keep, and it need not be sent again. The same
record sent twice is one. 5xx and 401 mean: keep it and send it again.
"""

from __future__ import annotations

import logging

from flask import Blueprint, Response, jsonify, request

from budget import refusals
from calls.cdr import CdrError, from_cdr, switch_of
from calls.evidence import Evidence
from calls.retry import RetryRules
from store import attempts, witnesses
from web.internal.cdr_body import read_cdr
from web.problems import FieldError, invalid
from web.runtime import runtime

log = logging.getLogger("trunkline.web")

blueprint = Blueprint("internal", __name__, url_prefix="/internal")


@blueprint.post("/cdr")
def take_cdr() -> Response:
    """Take one record: ``{"taken": true, "state": ...}``, or ``{"taken": false}`` for a channel that is no attempt."""
    body = read_cdr(request)
    try:
        evidence = from_cdr(body)
    except CdrError as error:
        raise invalid(FieldError(error.where, "not_a_cdr", f"expected {error.expected}")) from None
    applied = None if evidence is None else _apply(evidence)
    if evidence is None or applied is None or applied.state is None:
        # Refused, it would only come again and again.
        witnesses.stranger(runtime().database, switch_of(body), runtime().now())
        return jsonify({"taken": False})
    return jsonify({"taken": True, "attempt_id": str(applied.attempt_id), "state": applied.state})


def _apply(evidence: Evidence) -> attempts.Applied:
    ours = runtime()
    rules = RetryRules.of(ours.settings)
    (applied,) = attempts.apply_evidence(ours.database, [evidence], rules=rules, timers=ours.settings)
    if applied.ended_now:
        # The record is posted a moment before the event is sent: whoever ends the attempt looks at the refusal. What it
        # holds is set free by its switch's controller, at the event or at the next reconcile.
        refusals.on_end(ours.redis, ours.settings, applied, evidence)
        log.info("ended by its cdr", extra={"attempt": str(applied.attempt_id)})
    return applied
