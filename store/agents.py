"""Agents: who talks to the callee. ``websocket`` (the customer's own bot), ``announcement`` (audio and texts, no bot),
``sip`` (a person or a switchboard) or ``fleet`` (a worker of ours).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import errors
from psycopg.types.json import Jsonb

from calls import script as scripts
from calls.agent_token import PREFIX
from calls.ids import new_uuid7
from store import agent_callers, agent_pools, agent_trunks
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row, record
from store.tenants import NameTaken

_SQL = load("agents")
KINDS = ("websocket", "announcement", "sip", "fleet")

#: How a websocket agent is spoken to: docs/agent-protocol.md. Twilio's has one rate.
PROTOCOLS = ("trunkline", "twilio")
SAMPLE_RATES = (8000, 16_000)


@dataclass(frozen=True, slots=True)
class Agent:
    """``url`` (ws:// or wss://) and ``protocol`` (one of PROTOCOLS) for kind websocket; ``audio`` (a .wav file name) or
    ``script``, and ``menu`` (calls/script.py) for kind announcement; ``needs``: the variables its calls must have;
    ``number`` (E.164) for kind sip; ``pool`` (store/agent_pools.py) and ``seat_policy`` (calls.lanes.SEAT_POLICIES) for kind
    fleet: these never change, for its lanes have them in their names.
    """

    id: UUID
    tenant_id: UUID
    name: str
    kind: str
    url: str | None
    audio: str | None
    paused: bool  # its calls wait
    created_at: datetime
    archived_at: datetime | None = None  # it takes no new call
    protocol: str = "trunkline"
    fallback: dict[str, Any] | None = None  # when it fails a call: action, and what belongs to it; None: hangup
    runtime: dict[str, Any] = field(default_factory=dict)  # what its calls are given when they ask (docs/runtime.md)
    script: list[dict[str, str]] | None = None
    menu: dict[str, Any] | None = None
    voice: str | None = None
    needs: list[str] = field(default_factory=list)
    number: str | None = None
    transfer_to: list[str] = field(default_factory=list)  # where its calls may be transferred (calls/transfers.py)
    pool: str | None = None
    seat_policy: str | None = None
    greeting: dict[str, str] | None = None  # a part (calls/script.py) that is heard at the answer
    sample_rate: int = 8000  # on its socket, if it has one
    trunk: str | None = None  # sip: the way to its number (store/agent_trunks.py); None: the route that leads there
    trunk_user: str | None = None  # and what is dialed there in place of the number

    @property
    def seats(self) -> str | None:
        """What its calls take, as lanes have it: ``desk``, ``desk:at_answer``; None: no seat."""
        return f"{self.pool}:at_answer" if self.seat_policy == "at_answer" else self.pool


class UnknownPool(LookupError):
    """There is no pool of that name that the tenant's agents may have."""


class UnknownTrunk(LookupError):
    """There is no trunk of that name that the tenant's agents may have."""


class AgentInUse(RuntimeError):
    """It cannot be archived now; the text says what uses it."""


def create(
    db: Database,
    *,
    tenant_id: UUID,
    name: str,
    kind: str,
    url: str | None = None,
    audio: str | None = None,
    script: Sequence[Mapping[str, str]] | None = None,
    menu: Mapping[str, Any] | None = None,
    voice: str | None = None,
    number: str | None = None,
    transfer_to: Sequence[str] = (),
    runtime: dict[str, Any] | None = None,
    protocol: str = "trunkline",
    fallback: Mapping[str, Any] | None = None,
    pool: str | None = None,
    seat_policy: str | None = None,
    greeting: Mapping[str, str] | None = None,
    sample_rate: int = 8000,
    trunk: str | None = None,
    trunk_user: str | None = None,
    agent_id: UUID | None = None,
) -> Agent:
    """A new agent of the tenant.

    Errors: :class:`store.tenants.NameTaken`, :class:`UnknownPool`; ``ValueError`` naming the field for anything else that
    does not fit.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is not known: use one of {', '.join(KINDS)}")
    if kind == "fleet" and pool is None:
        raise ValueError("pool: a fleet agent needs the name of a pool: see trunkline pools list")
    if kind == "websocket" and not (url or "").startswith(("ws://", "wss://")):
        raise ValueError("url: a websocket agent needs a ws:// or wss:// address")
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol: {protocol!r} is not known: use one of {', '.join(PROTOCOLS)}")
    if kind == "announcement" and (audio is None) == (not script):
        raise ValueError("audio: an announcement agent needs the name of a .wav file, or a script")
    if kind == "sip" and number is None:
        raise ValueError("number: a sip agent needs the number of whom its calls are handed to")
    params = {
        "id": agent_id or new_uuid7(),
        "tenant_id": tenant_id,
        "name": name,
        "kind": kind,
        "url": url,
        "audio": audio,
        "script": None if script is None else Jsonb([dict(part) for part in script]),
        "menu": None if menu is None else Jsonb(dict(menu)),
        "voice": voice,
        "needs": scripts.needs(script, menu, greeting, fallback),
        "number": number,
        "transfer_to": list(transfer_to),
        "runtime": Jsonb(runtime or {}),
        "protocol": protocol,
        "fallback": None if fallback is None else record(dict(fallback)),
        "pool": pool,
        "seat_policy": (seat_policy or "reserved") if kind == "fleet" else seat_policy,
        "greeting": None if greeting is None else Jsonb(dict(greeting)),
        "sample_rate": sample_rate,
        "trunk": trunk,
        "trunk_user": trunk_user,
    }
    try:
        with db.connection() as conn:
            _require_trunk(conn, trunk, tenant_id)
            if pool is not None and not agent_pools.POOLS.may_use(conn, pool, tenant_id):
                raise UnknownPool(f"pool: there is no pool {pool!r} for this tenant: see trunkline pools")
            agent = one_row(conn, Agent, _SQL["create"], params)
    except errors.UniqueViolation as error:
        raise NameTaken(f"name: the tenant has an agent {name!r} already: choose another name") from error
    except errors.ForeignKeyViolation as error:
        raise ValueError(f"tenant_id: there is no tenant {tenant_id}: create it first") from error
    except errors.CheckViolation as error:
        raise ValueError(
            "agent: name must be 1 to 63 lower-case letters, digits or '-'; audio letters, digits, '_' or '-' and '.wav'"
            f" (broken: {error.diag.constraint_name})"
        ) from error
    assert agent is not None
    return agent


def change(
    db: Database,
    tenant_id: UUID,
    agent_id: UUID,
    *,
    name: str | None = None,
    url: str | None = None,
    audio: str | None = None,
    script: Sequence[Mapping[str, str]] | None = None,
    menu: Mapping[str, Any] | None = None,
    voice: str | None = None,
    number: str | None = None,
    transfer_to: Sequence[str] | None = None,
    runtime: dict[str, Any] | None = None,
    protocol: str | None = None,
    fallback: Mapping[str, Any] | None = None,
    greeting: Mapping[str, str] | None = None,
    sample_rate: int | None = None,
    trunk: str | None = None,
    trunk_user: str | None = None,
    cleared: Collection[str] = (),
    judge: Callable[[Agent], None] | None = None,
) -> Agent | None:
    """The tenant's agent with what is given, for calls that begin to ring from now on. None: no such agent in use.

    What else than ``name``, ``runtime`` and ``transfer_to`` only as it belongs to its kind. ``cleared``: what it is no
    more to have, of greeting, trunk, trunk_user. ``judge`` is given the agent as it is, an archived one too, which nobody
    else changes meanwhile: what it raises leaves it so. Errors: :class:`store.tenants.NameTaken`, :class:`UnknownTrunk`,
    :class:`store.agent_callers.CallersBringNone`.
    """
    params: dict[str, Any] = {
        "tenant_id": tenant_id,
        "id": agent_id,
        "name": name,
        "url": url,
        "audio": audio,
        "script": None if script is None else Jsonb([dict(part) for part in script]),
        "menu": None if menu is None else Jsonb(dict(menu)),
        "voice": voice,
        "number": number,
        "transfer_to": None if transfer_to is None else list(transfer_to),
        "needs": None,
        "protocol": protocol,
        "fallback": None if fallback is None else record(dict(fallback)),
        "runtime": None if runtime is None else Jsonb(runtime),
        "greeting": None if greeting is None else Jsonb(dict(greeting)),
        "sample_rate": sample_rate,
        "trunk": trunk,
        "trunk_user": trunk_user,
        "cleared": list(cleared),
    }

    def unit(conn: Conn) -> Agent | None:
        known = one_row(conn, Agent, _SQL["lock_to_change"], params)
        if known is not None and judge is not None:
            judge(known)
        _require_trunk(conn, trunk, tenant_id)
        changed = one_row(conn, Agent, _SQL["change"], params)
        if changed is None:
            return None
        needs = scripts.needs(changed.script, changed.menu, changed.greeting, changed.fallback)
        if needs == changed.needs:
            return changed
        if not set(needs) <= set(changed.needs):
            agent_callers.require_none(conn, agent_id)
        return one_row(conn, Agent, _SQL["change"], {**dict.fromkeys(params), **_whose(params), "needs": needs})

    try:
        return db.run(unit)
    except errors.UniqueViolation as error:
        raise NameTaken(f"name: the tenant has an agent {name!r} already: choose another name") from error


def _require_trunk(conn: Conn, trunk: str | None, tenant_id: UUID) -> None:
    if trunk is not None and not agent_trunks.TRUNKS.may_use(conn, trunk, tenant_id):
        raise UnknownTrunk(f"trunk: there is no trunk {trunk!r} for this tenant: see trunkline trunks list")


def _whose(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in ("tenant_id", "id")}


def archive(db: Database, tenant_id: UUID, agent_id: UUID, now: datetime) -> Agent | None:
    """Let the tenant's agent take no new call; again: nothing more. None: no such agent. Errors: :class:`AgentInUse`."""

    def unit(conn: Conn) -> Agent | None:
        known = one_row(conn, Agent, _SQL["lock"], {"tenant_id": tenant_id, "id": agent_id})
        if known is None or known.archived_at is not None:
            return known
        uses = conn.execute(_SQL["uses"], {"id": agent_id}).fetchone()
        assert uses is not None
        if uses[0]:
            raise AgentInUse("Calls of this agent wait or are up: let them end, or cancel them.")
        if uses[1] is not None:
            raise AgentInUse(f"The number {uses[1]} leads to this agent: let it lead to another one first.")
        return one_row(conn, Agent, _SQL["archive"], {"id": agent_id, "now": now})

    return db.run(unit)


def get(db: Database, tenant_id: UUID, agent_id: UUID) -> Agent | None:
    """The tenant's agent, an archived one too; None also when it is another tenant's."""
    with db.connection() as conn:
        return one_row(conn, Agent, _SQL["get"], {"tenant_id": tenant_id, "id": agent_id})


def get_several(db: Database, tenant_id: UUID, ids: Collection[UUID]) -> dict[UUID, Agent]:
    """Those of the ids that are the tenant's agents."""
    with db.connection() as conn:
        found = all_rows(conn, Agent, _SQL["get_several"], {"tenant_id": tenant_id, "ids": list(ids)})
    return {agent.id: agent for agent in found}


def get_by_name(db: Database, tenant_id: UUID, name: str) -> Agent | None:
    """The tenant's agent of that name that is in use, or None."""
    with db.connection() as conn:
        return one_row(conn, Agent, _SQL["get_by_name"], {"tenant_id": tenant_id, "name": name})


def list_agents(db: Database, tenant_id: UUID) -> list[Agent]:
    """The tenant's agents that are in use, by name."""
    with db.connection() as conn:
        return all_rows(conn, Agent, _SQL["list"], {"tenant_id": tenant_id})


def list_page(db: Database, tenant_id: UUID, limit: int, before: UUID | None = None) -> list[Agent]:
    """The tenant's agents that are in use, newest first, at most ``limit``, those older than ``before`` (an agent's id)."""
    with db.connection() as conn:
        return all_rows(conn, Agent, _SQL["list_page"], {"tenant_id": tenant_id, "limit": limit, "before": before})


def rotate_secret(db: Database, tenant_id: UUID, agent_id: UUID, now: datetime, overlap: timedelta) -> str | None:
    """A new secret, which signs after ``overlap``; until then the one of before does, if there is one. None: no such
    websocket agent in use.
    """
    made = PREFIX + secrets.token_hex(32)
    params = {"tenant_id": tenant_id, "id": agent_id, "secret": made, "now": now, "at": now + overlap}
    with db.connection() as conn:
        return made if conn.execute(_SQL["rotate"], params).rowcount else None


def set_paused(db: Database, agent_id: UUID, paused: bool) -> bool:
    """Stop or allow new dials for the agent, at once (the claim looks); its calls keep their place. False: no such agent."""
    with db.connection() as conn:
        return conn.execute(_SQL["set_paused"], {"id": agent_id, "paused": paused}).rowcount == 1
