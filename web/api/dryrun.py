"""A call that is only thought through: ``POST /v1/calls?dry_run=true`` says what would happen and why, and keeps nothing."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from marshmallow import ValidationError, validates_schema

from calls.windows import Opening
from store import backlog
from store.snapshot import stamp
from web.api import idempotency
from web.api.fields import Fault, Request
from web.api.newcall import Plan
from web.api.respond import answer
from web.api.retry_fields import QuerySwitch
from web.auth import tenant
from web.problems import NO_SUCH_AGENT, FieldError, invalid
from web.runtime import runtime


class PlaceQuery(Request):
    """How the request is meant."""

    dry_run = QuerySwitch(
        load_default=False,
        metadata={"default": False, "description": "true: says what would happen, and keeps nothing"},
    )
    queue = QuerySwitch(
        load_default=False,
        metadata={"default": False, "description": "true: the answer says as well where the call stands in the queue"},
    )

    @validates_schema(skip_on_field_errors=True)
    def _one_question(self, data: dict[str, Any], **_: Any) -> None:
        if data["dry_run"] and data["queue"]:
            raise ValidationError({"queue": [Fault("conflict", "belongs to a call that is placed; leave it out")]})


def refuse_key() -> None:
    """A dry run has nothing to be repeated safely: a key for it is a mistake."""
    if idempotency.HEADER in request.headers:
        raise invalid(FieldError(idempotency.HEADER, "not_allowed", "belongs to no dry run; leave it out", "header"))


def say(plan: Plan) -> Response:
    """200 with what would happen."""
    ours, account = runtime(), tenant()
    queued = backlog.queued(ours.database, account.id)
    most = ours.settings.tenant_max_queued if account.max_queued is None else account.max_queued
    errors = [fault.as_dict() for fault in plan.faults]
    if plan.known.agent_kind is None:
        errors.append(FieldError("/agent_id", "unknown_agent", NO_SUCH_AGENT).as_dict())
    if queued >= most:
        errors.append(FieldError("", "queue_full", f"your account has {queued} calls queued and may have {most}").as_dict())
    opening: Opening | None = plan.opening
    told: dict[str, Any] = plan.verdict.as_dict()
    return answer(
        {
            "dry_run": True,
            "accepted": not errors,
            "errors": errors,
            "findings": told["findings"],
            "first_dial_at": None if opening is None or plan.verdict.refusing else stamp(opening.at),
            "dial_until": None if opening is None or plan.verdict.refusing else stamp(opening.until),
            "expires_at": stamp(plan.new.expires_at),
            "route": plan.known.route,
            **{name: told[name] for name in ("country", "zones", "zone_by", "local_times", "hours", "consent", "caller_id")},
            "ruleset": told["ruleset"],
            "queue": {"queued": queued, "max": most},
        }
    )
