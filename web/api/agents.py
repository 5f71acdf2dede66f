"""/v1/agents: who talks to whoever answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Response, g, url_for

from calls.ids import agent_ref
from store import agents
from store.agent_callers import CallersBringNone
from store.agents import Agent
from store.pool import Database
from store.snapshot import stamp
from store.tenants import NameTaken
from web.api import idempotency
from web.api.agent_answers import AgentAnswer, AgentPage, AgentSecretAnswer
from web.api.agent_making import check_numbers, check_voice, made, name_taken, unknown_trunk
from web.api.agent_requests import (
    AgentChangeRequest,
    AgentsQuery,
    NewAgentRequest,
    RotateAgentSecretRequest,
    foreign,
    moved_fault,
    rate_fault,
    trunk_fault,
    wanting,
)
from web.api.fallback_fields import shown
from web.api.headers import LOCATION_HEADER, REPLAYED_HEADER
from web.api.once import once
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.respond import answer, page, path_id, refuses
from web.api.runtime_fields import runtime_fault
from web.api.script_fields import show_menu
from web.auth import tenant
from web.problems import FieldError, Problem, invalid, not_found
from web.runtime import runtime

blueprint = Blueprint("agents", __name__, url_prefix="/v1/agents", description="Who talks to whoever answers")


@blueprint.post("", scope="agents:write")
@blueprint.arguments(NewAgentRequest)
@blueprint.response(201, AgentAnswer, headers={**LOCATION_HEADER, **REPLAYED_HEADER})
@refuses(blueprint, 400, 409, 413, 415, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="createAgent")
def create_agent(args: dict[str, Any]) -> Response:
    """Create an agent"""
    with told_truly("Send it again: if it was, the answer is 409 name_taken, or under the same Idempotency-Key the agent."):
        return once(g.body, lambda database: _created(database, args))


def _created(database: Database, args: dict[str, Any]) -> Response:
    agent = made(database, runtime().settings, tenant().id, args)
    return answer(_show(agent), 201, {"Location": url_for("agents.get_agent", agent_id=agent_ref(agent.id))})


@blueprint.get("", scope="agents:read")
@blueprint.arguments(AgentsQuery, location="query")
@blueprint.response(200, AgentPage)
@refuses(blueprint)
@blueprint.doc(operationId="listAgents")
def list_agents(query: dict[str, Any]) -> Response:
    """List agents, newest first

    Those that are in use; one that was archived can be read by its id.
    """
    limit = query["limit"]
    found = agents.list_page(runtime().database, tenant().id, limit + 1, query.get("starting_after"))
    return page(found, limit, _show)


@blueprint.get("/<agent_id>", scope="agents:read")
@blueprint.response(200, AgentAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getAgent")
def get_agent(agent_id: str) -> Response:
    """Read an agent"""
    agent = agents.get(runtime().database, tenant().id, path_id("agent", agent_id))
    if agent is None:
        raise not_found("agent")
    return answer(_show(agent))


@blueprint.patch("/<agent_id>", scope="agents:write")
@blueprint.arguments(AgentChangeRequest)
@blueprint.response(200, AgentAnswer)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="changeAgent")
def change_agent(args: dict[str, Any], agent_id: str) -> Response:
    """Change an agent

    What is left out stays. It holds for every call that begins to ring from then on, also for those that wait already.
    """
    ours, wanted = runtime(), path_id("agent", agent_id)
    known = agents.get(ours.database, tenant().id, wanted)
    if known is None:
        raise not_found("agent")
    _judge_change(known, args)
    check_voice(args, ours.settings)
    check_numbers(ours.database, tenant().id, args, {"number": known.number, "trunk": known.trunk, **args})
    try:
        with told_truly("Send it again: a change made twice is the same."):
            # Judged again as it is by then: another change may have come between.
            changed = agents.change(
                ours.database, tenant().id, wanted, judge=lambda now: _judge_change(now, args), **_changes(args)
            )
    except NameTaken:
        raise name_taken() from None
    except agents.UnknownTrunk:
        raise unknown_trunk() from None
    except CallersBringNone as error:
        why = f"wants a variable, and {error}; take it out of the text, or let the number lead to another agent"
        raise invalid(*(FieldError(at, "not_possible", why) for at in wanting(args))) from None
    if changed is None:
        raise not_found("agent")
    return answer(_show(changed))


def _judge_change(known: Agent, args: dict[str, Any]) -> None:
    """Refuse what does not go with the rest of it."""
    if known.archived_at is not None:
        raise Problem(409, "archived", "This agent was archived and cannot be changed. Create another one.")
    if others := foreign(known.kind, args):
        detail = f"belongs to no agent of kind {known.kind}; leave it out"
        raise invalid(*(FieldError(f"/{name}", "not_allowed", detail) for name in others))
    if (unread := runtime_fault(known.kind, args)) is not None:
        raise invalid(FieldError("/runtime", "not_allowed", unread))
    after: dict[str, Any] = {"protocol": known.protocol, "sample_rate": known.sample_rate, "trunk": known.trunk, **args}
    if (unspoken := rate_fault(after["protocol"], after["sample_rate"])) is not None:
        raise invalid(FieldError("/sample_rate", "conflict", unspoken))
    if (nowhere := trunk_fault(after["trunk"], args.get("user"))) is not None:
        raise invalid(FieldError("/trunk", "required", nowhere))
    if (unnamed := moved_fault(known, args)) is not None:
        raise invalid(FieldError("/user", "required", unnamed))


@blueprint.delete("/<agent_id>", scope="agents:write")
@blueprint.response(200, AgentAnswer)
@refuses(blueprint, 404, 409, writes=True)
@blueprint.doc(operationId="archiveAgent")
def archive_agent(agent_id: str) -> Response:
    """Archive an agent

    It takes no call any more and is not listed; its name is free again, and its past calls go on naming it. Refused while
    calls of it wait or are up, and while one of your numbers leads to it. Asking again changes nothing.
    """
    ours = runtime()
    try:
        with told_truly("Ask again: asking twice changes nothing."):
            archived = agents.archive(ours.database, tenant().id, path_id("agent", agent_id), ours.now())
    except agents.AgentInUse as error:
        raise Problem(409, "agent_in_use", f"{error} Nothing was changed.") from None
    if archived is None:
        raise not_found("agent")
    return answer(_show(archived))


@blueprint.post("/<agent_id>/rotate_secret", scope="agents:write")
@blueprint.arguments(RotateAgentSecretRequest)
@blueprint.response(200, AgentSecretAnswer)
@refuses(blueprint, 400, 404, 409, 413, 415, writes=True)
@blueprint.doc(operationId="rotateAgentSecret")
def rotate_agent_secret(args: dict[str, Any], agent_id: str) -> Response:
    """Give an agent a secret, or a new one

    It signs the token that your server is called with; an agent that was never given one is called without. For `overlap_s`
    the one before goes on signing: let your server take either from now on, and only the new one after that. Rotating again
    within that time replaces the new one, and the time begins anew.
    """
    ours, wanted = runtime(), path_id("agent", agent_id)
    known = agents.get(ours.database, tenant().id, wanted)
    if known is None:
        raise not_found("agent")
    with told_truly("Rotate again: only the answer you get holds the secret that will sign."):
        overlap = timedelta(seconds=args["overlap_s"])
        secret = agents.rotate_secret(ours.database, tenant().id, wanted, ours.now(), overlap)
    if secret is None:
        detail = "Only a websocket agent that is in use has a secret."
        raise Problem(409, "no_secret", detail)
    return answer({**_show(known), "secret": secret})


def _changes(args: dict[str, Any]) -> dict[str, Any]:
    """As the store has them: what is null is cleared, and a trunk takes its user with it."""
    named = {("trunk_user" if name == "user" else name): value for name, value in args.items()}
    cleared = {name for name, value in named.items() if value is None}
    if "trunk" in cleared:
        cleared.add("trunk_user")
    return {name: value for name, value in named.items() if value is not None} | {"cleared": sorted(cleared)}


def _show(agent: Agent) -> dict[str, Any]:
    return {
        "id": agent_ref(agent.id),
        "name": agent.name,
        "kind": agent.kind,
        "url": agent.url,
        "protocol": agent.protocol if agent.kind == "websocket" else None,
        "audio": agent.audio,
        "script": agent.script,
        "menu": show_menu(agent.menu),
        "greeting": agent.greeting,
        "sample_rate": agent.sample_rate if agent.kind in ("websocket", "fleet") else None,
        "voice": agent.voice,
        "number": agent.number,
        "trunk": agent.trunk,
        "user": agent.trunk_user,
        "needs_variables": agent.needs,
        "transfer_to": agent.transfer_to,
        "fallback": shown(agent.fallback) if agent.kind in ("websocket", "fleet") else None,
        "runtime": agent.runtime,
        "pool": agent.pool,
        "seat_policy": agent.seat_policy,
        "paused": agent.paused,
        "created_at": stamp(agent.created_at),
        "archived_at": stamp(agent.archived_at),
    }
