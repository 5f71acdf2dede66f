"""What agents hand in of their attempts: taken once of each agent, told, read as part of the call's record, and erased
when its time is over.

Nothing here is logged: it is what people said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from calls.ids import agent_ref
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row
from store.snapshot import stamp
from store.telling import lock_call, put_down, tell

_SQL = load("results")

#: What of a result is in ``body``, and is an empty list or object where it was not given.
LISTS = ("transcript", "latencies", "tool_calls", "recording_parts")


@dataclass(frozen=True, slots=True)
class NewResult:
    """As it was handed in, validated. ``fingerprint``: SHA-256 of all of it, the same for what says the same."""

    outcome: str
    summary: str | None = field(repr=False)
    body: dict[str, Any] = field(repr=False)
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """One row; ``body`` None: it was erased. ``turns`` and ``tool_calls`` count what there was."""

    attempt_id: UUID
    agent_id: UUID
    call_id: UUID
    tenant_id: UUID
    outcome: str
    summary: str | None = field(repr=False)
    body: dict[str, Any] | None = field(repr=False)
    turns: int
    tool_calls: int
    fingerprint: bytes
    received_at: datetime
    retention_until: datetime
    erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class Taken:
    """``again``: the same had been taken before, and this changed nothing."""

    result: Result
    again: bool


class OtherResult(RuntimeError):
    """Another result of this agent for this attempt was taken before."""


def brief(result: Result) -> dict[str, Any]:
    """What is told of it: in the answer to whoever handed it in, and in the webhook."""
    return {
        "attempt_id": str(result.attempt_id),
        "agent_id": agent_ref(result.agent_id),
        "outcome": result.outcome,
        "summary": result.summary,
        "turn_count": result.turns,
        "tool_call_count": result.tool_calls,
        "received_at": stamp(result.received_at),
        "retention_until": stamp(result.retention_until),
        "erased_at": stamp(result.erased_at),
    }


def snapshot(result: Result, *, said: bool = True) -> dict[str, Any]:
    """All of it. ``said`` False: without what was said."""
    told = brief(result)
    body = result.body if said else None
    parts = {name: None if body is None else body.get(name, []) for name in LISTS}
    summary = result.summary if said else None
    return {**told, "summary": summary, "data": None if body is None else body.get("data", {}), **parts}


def take(
    db: Database, tenant_id: UUID, attempt_id: UUID, agent_id: UUID, new: NewResult, *, days: int, now: datetime
) -> Taken | None:
    """Keep it, with its event and its webhook; None: no such attempt, or no such agent, of the tenant's. ``days``: it is
    kept so long, where neither call nor tenant says.

    Raises :class:`OtherResult`.
    """

    def unit(conn: Conn) -> Taken | None:
        locked = lock_call(conn, attempt_id)
        if locked is None or locked.call.tenant_id != tenant_id:
            return None
        params = {"tenant_id": tenant_id, "attempt_id": attempt_id, "agent_id": agent_id}
        known = one_row(conn, Result, _SQL["get"], params)
        if known is not None:
            if known.fingerprint != new.fingerprint:
                raise OtherResult
            return Taken(known, again=True)
        values = {
            "outcome": new.outcome,
            "summary": new.summary,
            "body": Jsonb(new.body),
            "turns": len(new.body.get("transcript", [])),
            "tool_calls": len(new.body.get("tool_calls", [])),
            "fingerprint": new.fingerprint,
            "days": days,
            "now": now,
        }
        result = one_row(conn, Result, _SQL["insert"], {**params, **values})
        if result is None:
            return None
        data = {"outcome": result.outcome, "agent_id": agent_ref(agent_id)}
        put_down(conn, "call.result", locked, attempt_id, now, source="agent", data=data, of=agent_id)
        tell(conn, "call.result", locked, attempt_id, now, {"result": brief(result)})
        return Taken(result, again=False)

    return db.run(unit)


def list_results(db: Database, tenant_id: UUID, call_id: UUID) -> list[Result]:
    """Those of one call of the tenant, by attempt, then in the order in which they came."""
    with db.connection() as conn:
        return all_rows(conn, Result, _SQL["list"], {"tenant_id": tenant_id, "call_id": call_id})


def erase_of_call(db: Database, tenant_id: UUID, call_id: UUID, now: datetime) -> int:
    """Erase what was said in the tenant's call, as far as it was handed in; how many results. Again: nothing more."""
    return db.run(lambda conn: _erase(conn, "of_call", {"tenant_id": tenant_id, "call_id": call_id}, "api", now))


def erase_due(db: Database, now: datetime, limit: int) -> int:
    """Erase what was said of up to ``limit`` results whose time is over, the longest first; how many."""
    return db.run(lambda conn: _erase(conn, "due", {"now": now, "limit": limit}, "watchdog", now))


def _erase(conn: Conn, which: str, params: dict[str, object], source: str, now: datetime) -> int:
    ids: Sequence[UUID] = [row[0] for row in conn.execute(_SQL[which], params).fetchall()]
    if ids:
        conn.execute(_SQL["erase"], {"ids": ids, "source": source, "now": now})
    return len(ids)
