"""/v1/operator/tenants/{tenant}/rules: when a tenant's calls may be placed, and on what consent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response
from marshmallow import validates_schema

from calls.consent import BASES, REFERENCE_MAX
from calls.data import ruleset
from calls.hours import POLICIES
from store import outbound
from store.outbound import TenantRules
from store.snapshot import stamp
from web.api.answer_fields import Answer, moment, part, text, truth
from web.api.fields import Choice, Request, fault
from web.api.respond import answer, refuses
from web.api.retry_fields import Part, PlaceZone
from web.api.rules_fields import Ground
from web.operator.blueprint import NEEDS, blueprint, changing
from web.operator.fields import Words
from web.operator.tenants import the_tenant
from web.runtime import runtime


class TenantConsentRequest(Ground):
    """On what ground the tenant's callees are called, where a call names none."""

    reference = Words(REFERENCE_MAX, required=True, metadata={"description": "where its proof is"})


class ChangeRulesRequest(Request):
    """What is to change; what is left out stays."""

    hours = Choice(
        POLICIES,
        metadata={"description": "country: those of the callee's country; none: no hours hold, as hours_reason attests"},
    )
    hours_reason = Words(
        500,
        metadata={"description": "with none: who attests that these calls solicit nobody, and on what ground"},
    )
    time_zone = PlaceZone(
        allow_none=True, metadata={"description": "of callees whose zone nobody knows; null: they are not called"}
    )
    consent = Part(
        TenantConsentRequest, allow_none=True, metadata={"description": "for calls that name none of their own; null: none"}
    )

    @validates_schema(skip_on_field_errors=True, pass_original=True)
    def _goes_together(self, data: dict[str, Any], sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give at least one thing to change")
        wrong = None
        if data.get("hours") == "none" and not data.get("hours_reason", "").strip():
            wrong = fault("required", "with hours none, say who attests that these calls solicit nobody, and on what ground")
        elif "hours_reason" in data and data.get("hours") != "none":
            wrong = fault("not_allowed", "belongs to hours none; give both")
        if wrong is not None:
            wrong.field_name = "hours_reason"
            raise wrong


class TenantConsentAnswer(Answer):
    """On what ground the tenant's callees are called, where a call names none."""

    basis = text("on what ground", enum=list(BASES))
    at = moment("when it was given; null: not known", null=True)
    reference = text("where its proof is")


class TenantRulesAnswer(Answer):
    """Rules of a tenant's outbound calls."""

    set = truth("false: nothing was ever set for it, and none of its calls is dialed")
    hours = text("whose hours hold: those of the callee's country, or none", enum=list(POLICIES))
    hours_reason = text("with none: who attests it, and on what ground", null=True)
    time_zone = text("of callees whose zone nobody knows; null: they are not called", null=True)
    consent = part(TenantConsentAnswer, "for calls that name none of their own; null: none", null=True)
    ruleset = text("version of the rules and their data")
    changed_at = moment("when these, or the destinations, were changed last", null=True)


@blueprint.get("/tenants/<tenant>/rules", scope=NEEDS)
@blueprint.response(200, TenantRulesAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetRules")
def get_rules(tenant: str) -> Response:
    """Read a tenant's rules

    Its destinations, caller ids and caps are below the tenant too.
    """
    return answer(_show(outbound.get(runtime().database, the_tenant(tenant).id)))


@blueprint.patch("/tenants/<tenant>/rules", scope=NEEDS)
@blueprint.arguments(ChangeRulesRequest)
@blueprint.response(200, TenantRulesAnswer)
@refuses(blueprint, 400, 404, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangeRules")
def change_rules(args: dict[str, Any], tenant: str) -> Response:
    """Change a tenant's rules

    Only what is named. It acts on the next accept and on the next claim: also on what is queued.
    """
    owner = the_tenant(tenant)
    if args.get("consent") is not None and args["consent"].at is None:
        args["consent"] = replace(args["consent"], at=runtime().now())
    with changing() as change:
        rules = outbound.update(change.database, owner.id, **args)
        data, personal = outbound.told(args)
        change.note("tenant.rules_changed", f"tenant:{owner.name}", data, personal=personal)
    return answer(_show(rules))


def _show(rules: TenantRules | None) -> dict[str, Any]:
    return {
        "set": rules is not None,
        "hours": "country" if rules is None else rules.hours,
        "hours_reason": None if rules is None else rules.hours_reason,
        "time_zone": None if rules is None else rules.time_zone,
        "consent": None if rules is None else rules.consent,
        "ruleset": ruleset(),
        "changed_at": None if rules is None else stamp(rules.changed_at),
    }
