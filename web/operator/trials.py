"""/v1/operator/.../test_calls: one call through one carrier, and what SIP said of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from flask import Response, g, url_for

from calls.ids import call_ref
from calls.numbers import parse_caller_id, parse_destination
from store import agents, calls, permission, trial, trunks
from store.calls import IdempotencyKey, QueueFull
from store.snapshot import attempt_snapshot, snapshot
from web.api import idempotency
from web.api.answer_fields import several
from web.api.attempt_answers import AttemptAnswer
from web.api.call_answers import CallAnswer
from web.api.fields import Request, Telephone, Whole
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.once import scope_of_request
from web.api.outcome import told_truly
from web.api.respond import answer, path_id, refuses
from web.operator.blueprint import LOOK_FIRST, NEEDS, actor, blueprint, changing, missing, named, once
from web.operator.fields import name as a_name
from web.operator.tenants import the_tenant
from web.problems import FieldError, Problem, invalid, not_found
from web.runtime import runtime


class TestCallRequest(Request):
    """What to try."""

    __test__ = False  # no test of ours, whatever its name begins with

    tenant = a_name(required=True, metadata={"description": "in whose name"})
    agent = a_name(required=True, metadata={"description": "the tenant's agent that talks, if somebody answers"})
    to = Telephone(parse_destination, required=True, metadata={"description": "number to dial", "example": "+4930123456"})
    from_ = Telephone(
        parse_caller_id,
        required=True,
        data_key="from",
        metadata={"description": "caller id", "example": "+442079460000"},
    )
    expires_s = Whole(5, 600, metadata={"description": "s; not dialed after that", "default": 90})
    talk_s = Whole(10, 300, metadata={"description": "s; then it is hung up", "default": 10})


class TestCallAnswer(CallAnswer):
    """A test call and its dial."""

    __test__ = False

    attempts = several(AttemptAnswer)


@blueprint.post("/carriers/<carrier>/test_calls", scope=NEEDS)
@blueprint.arguments(TestCallRequest)
@blueprint.response(202, TestCallAnswer, description="Accepted", headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorTestCall")
def place_test_call(args: dict[str, Any], carrier: str) -> Response:
    """Place a test call

    One call through this carrier by the way of every call: permit, rules, gateway. It is a real call: with an
    `Idempotency-Key` it is placed once, however often it is asked for. `Location` tells how it goes.
    """
    # Not in the transaction of the key: a call is committed by itself, under a key of its own, so it is one whatever fails.
    return once(lambda _: _placed(args, carrier), LOOK_FIRST)


def _placed(args: dict[str, Any], carrier: str) -> Response:
    ours = runtime()
    trunk = trunks.get(ours.database, named("carrier", carrier))
    if trunk is None:
        raise missing("carrier", carrier)
    owner = the_tenant_named(args["tenant"])
    agent = agents.get_by_name(ours.database, owner.id, args["agent"])
    if agent is None:
        raise invalid(FieldError("/agent", "unknown_agent", f"the tenant {owner.name} has no such agent"))
    wanted = trial.Trial(
        carrier=trunk.name,
        carrier_id=trunk.id,
        number=args["to"],
        caller=args["from_"],
        tenant_id=owner.id,
        agent_id=agent.id,
        ring_timeout_s=ours.settings.ring_timeout_s,
        pdd_s=ours.settings.pdd_s,
        time_zone=ours.settings.recipient_time_zone,
        talk_s=args.get("talk_s", 10),
        expires_s=args.get("expires_s", 90),
    )
    now = ours.now()
    with changing() as change:
        try:
            new = trial.prepare(change.database, wanted, now)
        except trial.Forbidden as forbidden:
            raise invalid(*(FieldError(one.pointer, one.code, one.words) for one in forbidden.findings)) from None
        change.note("carrier.test_call", f"carrier:{trunk.name}", {"call": call_ref(new.id), "tenant": owner.name})
    try:
        with told_truly(LOOK_FIRST):
            most = ours.settings.tenant_max_queued
            call = calls.accept_call(ours.database, new, idempotency=_own_key(), now=now, max_queued=most).call
    except QueueFull as full:
        detail = f"the tenant has {full.current} calls queued and may have {full.limit}. Nothing was done."
        raise Problem(409, "queue_full", f"The test call was not accepted: {detail}") from None
    where = url_for("operator.get_test_call", tenant=owner.name, call_id=call_ref(call.id))
    return answer({**snapshot(call), "attempts": []}, 202, {"Location": where})


def _own_key() -> IdempotencyKey | None:
    """The request's key among those of the tenant whose call it is: none of its own is like it."""
    key = idempotency.idempotency_key(g.body)
    if key is None:
        return None
    told = "\n".join((actor(), scope_of_request(), key.key))
    return replace(key, key=f"operator:{hashlib.sha256(told.encode()).hexdigest()}")


@blueprint.get("/tenants/<tenant>/test_calls/<call_id>", scope=NEEDS)
@blueprint.response(200, TestCallAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="operatorGetTestCall")
def get_test_call(tenant: str, call_id: str) -> Response:
    """Read a test call

    And what SIP said of its dial. A tenant's other calls are not to be read here.
    """
    database, owner = runtime().database, the_tenant(tenant)
    call = calls.get_call(database, owner.id, path_id("call", call_id))
    if call is None or trial.MARK not in call.metadata:
        raise not_found("call")
    said = permission.decisions(database, owner.id, call.id)
    found = calls.list_attempts(database, owner.id, call.id)
    dials = [{**attempt_snapshot(one), "decision": said.get(one.id)} for one in found]
    return answer({**snapshot(call), "attempts": dials})


def the_tenant_named(name: str) -> Any:
    """The tenant that a body names; 422 where there is none."""
    try:
        return the_tenant(name)
    except Problem:
        raise invalid(FieldError("/tenant", "unknown_tenant", "there is no such tenant")) from None
