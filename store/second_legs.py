"""Whoever is rung for a call, so that its party be put through, is not rung any more once that call is over.

It is asked and written in the transaction that ends the first leg: no relay has to be there to see it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from uuid import UUID

from calls.evidence import Evidence
from calls.ids import new_uuid7
from store.pool import Conn
from store.queries import load
from store.wish import put_down

_SQL = load("transfers")
_HANGUP = load("hangup")

#: Attempt of the first leg, tenant, call of the second.
Leg = tuple[UUID, UUID, UUID]


def ask_legs(conn: Conn, ids: Sequence[UUID]) -> Callable[[], list[Leg]]:
    """Ask (in the pipeline) for whom the parties of these attempts wait; the result waits for the answer."""
    asked = conn.execute(_SQL["waited_for"], {"ids": list(ids)})
    return lambda: [(first, tenant_id, call_id) for first, tenant_id, call_id in asked.fetchall()]


def call_off(conn: Conn, legs: Sequence[Leg], over: Collection[UUID], now: datetime) -> list[Evidence]:
    """Those whose first leg is among ``over`` are to be hung up; the ends of those that were not dialed yet, to be applied
    in this transaction.
    """
    ends = []
    for _, tenant_id, call_id in sorted(leg for leg in legs if leg[0] in over):
        params: dict[str, object] = {"tenant_id": tenant_id, "call_id": call_id}
        locked = conn.execute(_HANGUP["lock_call"], params).fetchone()
        latest = conn.execute(_HANGUP["lock_latest"], params).fetchone()
        if locked is None or locked[0] or latest is None:
            continue
        attempt_id, state, switch = latest
        wish = {**params, "id": new_uuid7(), "attempt_id": attempt_id, "switch": switch, "verb": "hangup"}
        end = put_down(conn, {**wish, "by": "platform", "now": now, "action": None}, attempt_id, state).end
        if end is not None:
            ends.append(end)
    return ends
