"""/v1/operator/pools: pools of the fleet, how many of their workers are free, and who waits for one."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import validates_schema
from redis.exceptions import RedisError

from budget import seats
from calls.ids import tenant_ref
from store import agent_pools
from store.agent_pools import AgentPool
from store.pool import Database
from web.api import idempotency
from web.api.answer_fields import Answer, amount, several, text, truth, whole
from web.api.fields import Reference, Request, Whole, fault
from web.api.headers import REPLAYED_HEADER
from web.api.respond import answer, refuses
from web.operator.blueprint import NEEDS, blueprint, changing, missing, named, once
from web.operator.fields import Amount
from web.operator.lent import lending
from web.runtime import runtime

#: Of a renewal that may have been made.
AGAIN = "Ask again: at worst it is renewed twice, and the last key holds."


class ChangePoolRequest(Request):
    """What is to change; what is left out stays."""

    tenant_id = Reference("tenant", allow_none=True, metadata={"description": "whose agents alone may have it; null: all"})
    inbound_reserved = Whole(0, 100_000, metadata={"description": "seats that calls which are dialed never take"})
    dials_per_seat = Amount(1, 10, metadata={"description": "calls dialed for each free seat, of agents with at_answer"})

    @validates_schema(pass_original=True)
    def _something(self, _: Any, sent: Any, **__: Any) -> None:
        if not sent:
            raise fault("required", "give at least one thing to change")


class OperatorPoolAnswer(Answer):
    """A pool as it is set, and as it is now. What is now is null while Redis is away."""

    name = text("unique, and how agents name it")
    tenant_id = text("whose agents alone may have it; null: everybody's", null=True)
    inbound_reserved = whole("seats that calls which are dialed never take")
    dials_per_seat = amount("calls dialed for each free seat, of agents with at_answer")
    seats = whole("workers that are heard of", null=True)
    free = whole("of these, who has no call", null=True)
    held = whole("kept for a call that is dialed or rings", null=True)
    busy = whole("on a call", null=True)
    owed = whole("calls under way that have no seat yet", null=True)
    waiting = whole("calls in line for a seat", null=True)
    waiting_more = truth("true: others wait behind these")


class OperatorPoolList(Answer):
    """Every pool, by name."""

    data = several(OperatorPoolAnswer)


@blueprint.get("/pools", scope=NEEDS)
@blueprint.response(200, OperatorPoolList)
@refuses(blueprint)
@blueprint.doc(operationId="operatorListPools")
def list_pools() -> Response:
    """List pools of workers

    With what a scaler needs: `free` and `busy` of their `seats`, and how many calls are `waiting`.
    """
    return answer({"data": _show(agent_pools.list_pools(runtime().database))})


@blueprint.patch("/pools/<pool>", scope=NEEDS)
@blueprint.arguments(ChangePoolRequest)
@blueprint.response(200, OperatorPoolAnswer)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="operatorChangePool")
def change_pool(args: dict[str, Any], pool: str) -> Response:
    """Set a pool of workers

    Only what is named; a pool that is not there is made. It acts within a second. It is not given to
    one tenant while agents of others have it.
    """
    with lending("pool_in_use"), changing() as change:
        done = agent_pools.update(change.database, named("pool", pool), **args)
        noted = args | ({"tenant_id": str(args["tenant_id"])} if args.get("tenant_id") is not None else {})
        change.note("pool.changed", f"pool:{done.name}", noted)
    return answer(_show([done])[0])


@blueprint.post("/pools/<pool>/actions/renew_key", scope=NEEDS)
@blueprint.response(202, OperatorPoolAnswer, description="Accepted", headers=REPLAYED_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="operatorRenewPoolKey")
def renew_pool_key(pool: str) -> Response:
    """Give a pool a new key

    By which its keepers know the relay, which signs by it from its next call on; keepers are told within seconds, and take
    the old one for two more minutes, for calls that have begun. It is shown to nobody. Where the internal password was in
    foreign hands, change that first: who has it is told the new key too.
    """

    def renewed(database: Database) -> Response:
        with changing(AGAIN, database) as change:
            if not agent_pools.renew_key(change.database, named("pool", pool)):
                raise missing("pool", pool)
            done = agent_pools.get(change.database, pool)
            assert done is not None
            change.note("pool.key_renewed", f"pool:{pool}", {})
        return answer(_show([done])[0], 202)

    return once(renewed, AGAIN)


@blueprint.delete("/pools/<pool>", scope=NEEDS)
@blueprint.response(200, OperatorPoolList)
@refuses(blueprint, 404, 409, writes=True)
@blueprint.doc(operationId="operatorRemovePool")
def remove_pool(pool: str) -> Response:
    """Remove a pool of workers

    Answers with those that are left. Refused while an agent has it.
    """
    with lending("pool_in_use"), changing() as change:
        if not agent_pools.remove(change.database, named("pool", pool)):
            raise missing("pool", pool)
        change.note("pool.removed", f"pool:{pool}", {})
    return answer({"data": _show(agent_pools.list_pools(runtime().database))})


def _show(pools: list[AgentPool]) -> list[dict[str, Any]]:
    redis = runtime().redis
    try:
        now = {one.name: one for one in seats.pools(redis)}
        line = seats.in_line(redis)
        known = True
    except RedisError:
        now, line, known = {}, {}, False
    return [_one(pool, now.get(pool.name), line.get(pool.name), known=known) for pool in pools]


def _one(pool: AgentPool, now: seats.PoolNow | None, line: seats.InLine | None, *, known: bool) -> dict[str, Any]:
    nothing = 0 if known else None
    return {
        "name": pool.name,
        "tenant_id": None if pool.tenant_id is None else tenant_ref(pool.tenant_id),
        "inbound_reserved": pool.inbound_reserved,
        "dials_per_seat": pool.dials_per_seat,
        "seats": nothing if now is None else now.there,
        "free": nothing if now is None else now.free,
        "held": nothing if now is None else now.held,
        "busy": nothing if now is None else now.busy,
        "owed": nothing if now is None else now.owed,
        "waiting": nothing if line is None else line.waiting,
        "waiting_more": line is not None and line.more,
    }
