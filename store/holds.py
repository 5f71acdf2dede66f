"""Calls that are held: the callee hears a file, or silence, and the agent and the callee do not hear each other.

A hold is an action (store/call_actions.py) that stays open for as long as it lasts, so whoever takes the call over knows of
it. The relay beside the call's switch carries it out, and what ends it, ``resume`` among others, is its result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows

_SQL = load("holds")

#: What came of it: the agent talks again; somebody else does; the agent failed. ``ended``: see store.commands.
RESUMED, TRANSFERRED, AGENT_FAILED = "resumed", "transferred", "agent failed"
#: Who talks in a call that can be held.
KINDS = ("websocket", "fleet")


@dataclass(frozen=True, slots=True)
class Wish:
    """A hold or a resume that is not over. ``begun``: the call is held. ``age_s``: since it was asked, by the database."""

    id: UUID
    attempt_id: UUID
    verb: str
    audio: str | None
    by: str
    action: str | None
    begun: bool = False
    age_s: float = 0.0

    @property
    def name(self) -> str:
        """What its asker calls it."""
        return (self.action or str(self.id)).removeprefix("agent:")


def held(row: Mapping[str, Any] | None, attempt_id: UUID) -> Wish | None:
    """The hold that ``agent_for`` found, if there is one."""
    if row is None:
        return None
    return Wish(UUID(row["id"]), attempt_id, "hold", row["audio"], row["by"], row["action"], begun=True)


def forbidden(
    conn: Conn, call_id: UUID, attempt_id: UUID, verb: str, agent_kind: str
) -> Literal["not_a_conversation", "on_hold", "not_on_hold"] | None:
    """Why a hold, a resume or a play is not to be asked for now; under the call's lock."""
    row = conn.execute(_SQL["standing"], {"call_id": call_id, "attempt_id": attempt_id}).fetchone()
    assert row is not None
    through, last = row
    if verb == "play":
        return "on_hold" if last == "hold" else None
    if through or agent_kind not in KINDS:
        return "not_a_conversation"
    if verb == "hold" and last == "hold":
        return "on_hold"
    return "not_on_hold" if verb == "resume" and last != "hold" else None


def list_open(db: Database, switch: str) -> list[Wish]:
    """Those of calls on that switch that are not over, in the order in which they were asked."""
    with db.connection() as conn:
        return all_rows(conn, Wish, _SQL["list_open"], {"switch": switch})
