"""/v1/operator/tenants: the enterprises, what each may do, and whether anything is dialed for it."""

from __future__ import annotations

import base64
from typing import Any

from flask import Response, url_for
from marshmallow import validates_schema

from calls.ids import tenant_ref
from store import backlog, scopes, tenants
from store.pool import Database
from store.scopes import Scope, tenant_scope
from store.snapshot import stamp
from store.tenants import NameTaken, Tenant
from web.api import idempotency
from web.api.answer_fields import Answer, PageAnswer, amount, moment, several, text, truth, whole
from web.api.call_answers import CanceledQueueAnswer
from web.api.fields import Choice, Request, Text, Whole, fault
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.requests import PageQuery
from web.api.respond import answer, refuses
from web.api.retry_fields import Switch
from web.api.urls import WEBHOOK_SCHEMES, Url
from web.operator.blueprint import LOOK_FIRST, NEEDS, blueprint, changing, missing, named, once
from web.operator.fields import Amount
from web.operator.fields import name as a_name
from web.problems import FieldError, Problem
from web.runtime import runtime

_NULL = "; null: "


class NewTenantRequest(Request):
    """One tenant to create."""

    name = Text(
        maximum=63,
        pattern="[a-z0-9][a-z0-9-]{0,62}",
        remedy="must be lower-case letters, digits and -, not starting with -",
        required=True,
    )
    webhook_url = Url(WEBHOOK_SCHEMES, "webhook_allow_private", metadata={"description": "where its webhooks go"})
    weight = Whole(1, 1000, metadata={"description": "its share of a contested carrier", "default": 1})


class ChangeTenantRequest(Request):
    """What is to change; what is left out stays."""

    weight = Whole(1, 1000, metadata={"description": "its share of a contested carrier"})
    paused = Switch(metadata={"description": "true: nothing new is dialed for it; its calls wait"})
    max_channels = Whole(0, 1_000_000, allow_none=True, metadata={"description": f"calls at the same time{_NULL}any number"})
    cps = Amount(0, 99_999.999, allow_none=True, metadata={"description": f"calls dialed per second{_NULL}no limit"})
    max_queued = Whole(0, 2**31 - 1, allow_none=True, metadata={"description": f"calls queued{_NULL}the setting"})
    requests_per_s = Amount(
        0.001, 99_999.999, allow_none=True, metadata={"description": f"API requests per second{_NULL}the setting"}
    )
    webhook_url = Url(
        WEBHOOK_SCHEMES, "webhook_allow_private", allow_none=True, metadata={"description": "where its webhooks go"}
    )
    recording = Choice(("off", "answer", "after_notice"), metadata={"description": "of calls that do not say"})
    recording_allowed = Choice(("none", "after_notice", "any"), metadata={"description": "what a call may ask for at most"})
    recording_notice = Text(
        maximum=104,
        pattern="[A-Za-z0-9_-]{1,100}[.]wav",
        remedy="must be the name of a .wav file in the announcement directory, without a path",
        allow_none=True,
        metadata={"description": f"file of the announcement directory{_NULL}the agent gives the notice"},
    )
    recording_days = Whole(
        1, 36_500, allow_none=True, metadata={"description": f"recordings are kept so long{_NULL}the setting"}
    )

    @validates_schema(skip_on_field_errors=True, pass_original=True)
    def _something(self, _: Any, sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give at least one thing to change")


class TenantsQuery(PageQuery):
    """Which tenants."""

    starting_after = a_name(metadata={"description": "next_cursor of the page before"})


class TenantAnswer(Answer):
    """A tenant and what it may do."""

    id = text("the tenant", example=f"tenant_{'0' * 31}1")
    name = text("unique, and how paths name it")
    weight = whole("its share of a contested carrier")
    paused = truth("true: nothing new is dialed for it")
    max_channels = whole("calls at the same time, at most; null: any number", null=True)
    cps = amount("calls dialed per second, at most; null: no limit", null=True)
    max_queued = whole("calls queued, at most; null: the setting", null=True)
    requests_per_s = amount("API requests per second, at most; null: the setting", null=True)
    queued = whole("calls queued just now")
    webhook_url = text("where its webhooks go", null=True)
    recording = text("of calls that do not say", enum=["off", "answer", "after_notice"])
    recording_allowed = text("what a call may ask for at most", enum=["none", "after_notice", "any"])
    recording_notice = text("file of the notice; null: the agent gives it", null=True)
    recording_days = whole("days that recordings are kept; null: the setting", null=True)
    canceled_before = moment("queued calls accepted until then are canceled", null=True)
    created_at = moment("created")


class NewTenantAnswer(TenantAnswer):
    """A tenant that was just made."""

    webhook_secret = text("signs its webhooks: keep it now, it is not shown again", example="whsec_...")


class TenantPage(PageAnswer):
    """A page of tenants by name."""

    data = several(TenantAnswer)


@blueprint.post("/tenants", scope=NEEDS)
@blueprint.arguments(NewTenantRequest)
@blueprint.response(201, NewTenantAnswer, headers=LOCATION_HEADER)
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(operationId="operatorCreateTenant")
def create_tenant(args: dict[str, Any]) -> Response:
    """Create a tenant

    Its first API key: `POST /v1/operator/tenants/{tenant}/keys`.
    """
    try:
        with changing(LOOK_FIRST) as change:
            made = tenants.create(change.database, **args)
            change.note("tenant.created", f"tenant:{made.name}", {"id": tenant_ref(made.id), **args})
    except NameTaken:
        detail = "there is a tenant of this name already; choose another name"
        raise Problem(409, "name_taken", "name: " + detail, [FieldError("/name", "name_taken", detail)]) from None
    secret = f"whsec_{base64.b64encode(made.webhook_secret).decode()}"
    where = {"Location": url_for("operator.get_tenant", tenant=made.name)}
    return answer({**_shown([made])[0], "webhook_secret": secret}, 201, where)


@blueprint.get("/tenants", scope=NEEDS)
@blueprint.arguments(TenantsQuery, location="query")
@blueprint.response(200, TenantPage)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListTenants")
def list_tenants(query: dict[str, Any]) -> Response:
    """List tenants by name"""
    limit, after = query["limit"], query.get("starting_after", "")
    found = sorted((one for one in tenants.list_tenants(runtime().database) if one.name > after), key=lambda one: one.name)
    data, more = _shown(found[:limit]), len(found) > limit
    return answer({"data": data, "has_more": more, "next_cursor": data[-1]["name"] if more else None})


@blueprint.get("/tenants/<tenant>", scope=NEEDS)
@blueprint.response(200, TenantAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetTenant")
def get_tenant(tenant: str) -> Response:
    """Read a tenant"""
    return answer(_shown([the_tenant(tenant)])[0])


@blueprint.patch("/tenants/<tenant>", scope=NEEDS)
@blueprint.arguments(ChangeTenantRequest)
@blueprint.response(200, TenantAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeTenant")
def change_tenant(args: dict[str, Any], tenant: str) -> Response:
    """Change what a tenant may do

    Only what is named; it acts within a second. `paused` stops new dials at once: what is queued waits, and expires in time.
    """
    with changing() as change:
        changed = tenants.update(change.database, named("tenant", tenant), **args)
        if changed is None:
            raise missing("tenant", tenant)
        change.note("tenant.changed", f"tenant:{tenant}", args)
    return answer(_shown([changed])[0])


@blueprint.post("/tenants/<tenant>/actions/cancel_queued", scope=NEEDS)
@blueprint.response(202, CanceledQueueAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorCancelQueuedCalls")
def cancel_queued_of(tenant: str) -> Response:
    """Cancel all that a tenant has queued

    None of its calls accepted until `canceled_before` is dialed from now on; calls that are up go on.
    """

    def canceled(database: Database) -> Response:
        with changing(database=database) as change:
            mark = tenants.cancel_queued(change.database, owner.id, runtime().now())
            change.note("tenant.queue_canceled", f"tenant:{tenant}", {"canceled_before": stamp(mark)})
        return answer({"canceled_before": stamp(mark)}, 202)

    owner = the_tenant(tenant)
    return once(canceled)


def the_tenant(name: str) -> Tenant:
    """The tenant of that name, or 404."""
    found = tenants.get_by_name(runtime().database, named("tenant", name))
    if found is None:
        raise missing("tenant", name)
    return found


def _shown(found: list[Tenant]) -> list[dict[str, Any]]:
    database = runtime().database
    limits = scopes.get_scopes(database, [tenant_scope(one.id) for one in found])
    queued = {one.id: backlog.queued(database, one.id) for one in found} if len(found) == 1 else backlog.all_queued(database)
    return [_show(one, limits.get(tenant_scope(one.id), Scope("")), queued.get(one.id, 0)) for one in found]


def _show(one: Tenant, scope: Scope, queued: int) -> dict[str, Any]:
    return {
        "id": tenant_ref(one.id),
        "name": one.name,
        "weight": one.weight,
        "paused": one.paused,
        "max_channels": scope.max_channels,
        "cps": scope.cps,
        "max_queued": one.max_queued,
        "requests_per_s": one.requests_per_s,
        "queued": queued,
        "webhook_url": one.webhook_url,
        "recording": one.recording,
        "recording_allowed": one.recording_allowed,
        "recording_notice": one.recording_notice,
        "recording_days": one.recording_days,
        "canceled_before": stamp(one.canceled_before),
        "created_at": stamp(one.created_at),
    }
