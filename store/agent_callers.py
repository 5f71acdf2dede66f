"""Agents that numbers lead to: a caller brings no variables, so their texts want none."""

from __future__ import annotations

from uuid import UUID

from store.pool import Conn
from store.queries import load

_SQL = load("agents")


class CallersBringNone(ValueError):
    """The agent's texts would want variables, and ``number`` leads to it."""

    def __init__(self, number: str) -> None:
        super().__init__(f"{number} leads to this agent, and a caller brings no variables")
        self.number = number


def require_none(conn: Conn, agent_id: UUID) -> None:
    """Errors: :class:`CallersBringNone`. Within a transaction that holds the agent's row, as a number that is put does."""
    uses = conn.execute(_SQL["uses"], {"id": agent_id}).fetchone()
    assert uses is not None
    if uses[1] is not None:
        raise CallersBringNone(uses[1])
