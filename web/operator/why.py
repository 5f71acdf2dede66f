"""/v1/operator/why: all that could hold a call, as data. The same in words: trunkline why."""

from __future__ import annotations

from typing import Any

from flask import Response
from redis import Redis

from budget import explain
from budget.explain import CarrierNow, Held, HouseNow
from budget.scripts import VERSION
from store import backlog, carriers, epoch, overview, tenants
from store.snapshot import stamp
from web.api.answer_fields import Answer, amount, moment, part, several, text, texts, truth, whole
from web.api.respond import answer, refuses
from web.operator.blueprint import NEEDS, blueprint
from web.operator.switches import SwitchAnswer, show
from web.runtime import runtime

#: s; a switch that was not spoken for so long is not in service.
SEEN_S = 25.0


class HeldAnswer(Answer):
    """The limit that holds something."""

    name = text("which: channels, cps, paused, stopped, probing, unasked, unknown, closed, rebuilding, idle ...")
    scope = text("whose limit; null: the platform's", null=True)
    limit = amount("how much is allowed", null=True)
    current = amount("how much there is", null=True)
    wait_s = amount("s; at least; null: until somebody acts", null=True)
    why = text("what was written down with it")


class WaitingAnswer(Answer):
    """Tenants that wait for the carrier, by class."""

    urgent = whole("tenants")
    normal = whole("tenants")
    bulk = whole("tenants")


class CarrierNowAnswer(Answer):
    """A carrier at this moment."""

    carrier = text("the carrier")
    paused = truth("nothing new is dialed through it")
    reachable = truth("whether an endpoint is enabled and loaded")
    health = text("ok, slowed, stopped, probing")
    health_why = text("why it is not ok")
    in_use = whole("calls that hold a channel")
    lingering = whole("ended calls that still count")
    limit = whole("channels just now; null: not known", null=True)
    cps_now = amount("calls per second just now")
    next_s = amount("s; until its rates allow the next call")
    waiting = part(WaitingAnswer)
    asked_s = amount("s; since a controller last asked for a call; null: never", null=True)
    held_by = part(HeldAnswer)


class BudgetAnswer(Answer):
    """The budget in Redis."""

    epoch = whole("open; null: nothing is granted", null=True)
    rebuilding = whole("the epoch that is being rebuilt", null=True)
    lanes = whole("lanes")
    popped = whole("calls granted and not claimed yet")
    overdue = whole("of them past their deadline")
    unlaned = texts("lanes that nobody serves")
    overflowing = whole("lanes behind which older calls wait in Postgres")


class TruthAnswer(Answer):
    """The budget as Postgres knows it."""

    epoch = whole("the epoch that claims have to name")
    opened_at = moment("since when it grants; null: it is being rebuilt", null=True)
    scripts = whole("version of the scripts that it belongs to")
    ours = truth("whether that is the version of this process")


class QueuedAnswer(Answer):
    """What a tenant has queued."""

    tenant = text("the tenant")
    queued = whole("calls")
    paused = truth("nothing new is dialed for it")


class WhyAnswer(Answer):
    """Everything that could hold a call."""

    epoch = part(TruthAnswer)
    budget = part(BudgetAnswer, "null: Redis does not answer", null=True)
    feeder_leads = truth("false: nobody feeds the lanes")
    due = truth("whether anything that is queued is due")
    next_due_s = amount("s; until the next that is not due will be; null: there is none", null=True)
    queued = whole("calls queued, of all tenants")
    tenants = several(QueuedAnswer)
    carriers = several(CarrierNowAnswer, "null: Redis does not answer", null=True)
    switches = several(SwitchAnswer)
    paused_agents = texts("as tenant/agent")


@blueprint.get("/why", scope=NEEDS)
@blueprint.response(200, WhyAnswer)
@refuses(blueprint)
@blueprint.doc(operationId="operatorWhy")
def why() -> Response:
    """Why is nothing dialed

    One look at everything that could hold a call: the budget, the carriers with the limit that holds each, who has what
    queued, the switches.
    """
    ours = runtime()
    database = ours.database
    truth_now, queued = epoch.get(database), backlog.all_queued(database)
    known, switches = carriers.list_limits(database), overview.switches(database)
    serving = [one.name for one in switches if one.ago is not None and one.ago.total_seconds() < SEEN_S]
    found: tuple[HouseNow, list[CarrierNow]] | None = ours.gate.ask(
        lambda: _moment(ours.redis, [one.id for one in known], serving), lambda: None
    )
    due, next_s = overview.due(database)
    reachable = {one.carrier_id for one in carriers.list_endpoints(database) if one.enabled and one.loaded}
    return answer(
        {
            "epoch": {
                "epoch": truth_now.epoch,
                "opened_at": stamp(truth_now.opened_at),
                "scripts": truth_now.scripts,
                "ours": truth_now.scripts == VERSION,
            },
            "budget": None if found is None else _house(found[0]),
            "feeder_leads": overview.leads(database, "feeder"),
            "due": due,
            "next_due_s": next_s,
            "queued": sum(queued.values()),
            "tenants": [
                {"tenant": one.name, "queued": queued[one.id], "paused": one.paused}
                for one in tenants.list_tenants(database)
                if queued.get(one.id, 0) > 0
            ],
            "carriers": None
            if found is None
            else [
                {"carrier": one.name, "paused": one.paused, "reachable": one.id in reachable, **_carrier(now)}
                for one, now in zip(known, found[1], strict=True)
            ],
            "switches": [show(one) for one in switches],
            "paused_agents": [f"{one.tenant}/{one.name}" for one in overview.paused_agents(database)],
        }
    )


def _moment(redis: Redis, ids: list[Any], serving: list[str]) -> tuple[HouseNow, list[CarrierNow]]:
    return explain.house(redis), explain.carriers(redis, ids, switches=serving)


def _house(now: HouseNow) -> dict[str, Any]:
    return {
        "epoch": now.epoch,
        "rebuilding": now.rebuilding,
        "lanes": now.lanes,
        "popped": now.popped,
        "overdue": now.overdue,
        "unlaned": list(now.unlaned),
        "overflowing": now.overflowing,
    }


def _carrier(now: CarrierNow) -> dict[str, Any]:
    return {
        "health": now.state,
        "health_why": now.why,
        "in_use": now.trunk.used,
        "lingering": now.trunk.lingering,
        "limit": now.trunk.limit,
        "cps_now": round(now.cps, 3),
        "next_s": round(now.next_us / 1e6, 3),
        "waiting": {name: now.waiting[name].tenants for name in ("urgent", "normal", "bulk")},
        "asked_s": None if now.asked_us is None else round(now.asked_us / 1e6, 3),
        "held_by": _held(now.held),
    }


def _held(held: Held) -> dict[str, Any]:
    return {
        "name": held.name,
        "scope": held.scope,
        "limit": held.limit,
        "current": held.current,
        "wait_s": None if held.wait_us is None else round(held.wait_us / 1e6, 3),
        "why": held.why,
    }
