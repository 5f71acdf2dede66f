"""An agent made of what was asked for: by ``POST /v1/agents`` and at the terminal, by the same rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from settings import Settings
from store import agents, numbers
from store.agents import Agent
from store.pool import Database
from store.tenants import NameTaken
from web.api.voices import voice_faults
from web.problems import FieldError, Problem, invalid


def made(database: Database, settings: Settings, tenant_id: UUID, args: Mapping[str, Any]) -> Agent:
    """``args``: what :class:`web.api.agent_requests.NewAgentRequest` gives. Raises :class:`Problem`."""
    check_voice(args, settings)
    check_numbers(database, tenant_id, args, args)
    try:
        return agents.create(
            database,
            tenant_id=tenant_id,
            name=args["name"],
            kind=args["kind"],
            url=args.get("url"),
            audio=args.get("audio"),
            script=args.get("script"),
            menu=args.get("menu"),
            voice=args.get("voice"),
            number=args.get("number"),
            transfer_to=args.get("transfer_to", ()),
            protocol=args.get("protocol", "trunkline"),
            fallback=args.get("fallback"),
            runtime=args.get("runtime"),
            pool=args.get("pool"),
            seat_policy=args.get("seat_policy"),
            greeting=args.get("greeting"),
            sample_rate=args.get("sample_rate", 8000),
            trunk=args.get("trunk"),
            trunk_user=args.get("user"),
        )
    except NameTaken:
        raise name_taken() from None
    except agents.UnknownPool:
        detail = "there is no such pool that your agents may have; ask your operator for its name"
        raise invalid(FieldError("/pool", "unknown_pool", detail)) from None
    except agents.UnknownTrunk:
        raise unknown_trunk() from None


def check_voice(args: Mapping[str, Any], settings: Settings) -> None:
    """That what is to be spoken can be spoken here."""
    if faults := list(voice_faults(args, settings)):
        raise invalid(*faults)


def check_numbers(database: Database, tenant_id: UUID, args: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """That its calls are not put through to where the account's own come in. ``after``: the agent as it would be."""
    rung = {"/fallback/to": (args.get("fallback") or {}).get("to")}
    if after.get("trunk") is None and ("number" in args or "trunk" in args):
        rung["/number"] = after.get("number")
    asked = {number for number in rung.values() if number is not None}
    taken = numbers.called_here(database, asked, tenant_id) if asked else ()
    if taken:
        detail = "is a number of yours, answered by an agent: the call would come back; give one that is answered elsewhere"
        raise invalid(*(FieldError(field, "inbound_number", detail) for field, number in rung.items() if number in taken))


def unknown_trunk() -> Problem:
    """422: the tenant may have no trunk of that name."""
    detail = "there is no such trunk that your agents may have; ask your operator for its name"
    return invalid(FieldError("/trunk", "unknown_trunk", detail))


def name_taken() -> Problem:
    """409: by another agent in use."""
    detail = "you have an agent of this name already; choose another name"
    return Problem(409, "name_taken", "name: " + detail, [FieldError("/name", "name_taken", detail)])
