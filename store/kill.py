"""The kill switch: everything that is up of a tenant, an agent, a carrier, a switch, or altogether, is hung up.

What is to stay down is paused first (store/tenants.py, agents.py, carriers.py, switches.py): then no claim adds to it, but
for those that were under way, which a second look finds. A hangup is a row of call_commands, as any other: the controllers
carry them out, at the pace of ``operator_hangups_per_s``, and whichever controller comes next finds those that are open.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from calls.ids import new_uuid7
from store.hangup import request_in
from store.pool import Conn, Database
from store.queries import load

_SQL = load("kill")
#: Calls in one transaction: their rows are locked, and their events wait for it.
PORTION = 200
_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Target:
    """Whose calls; all that is named must be so, and nothing named is everything."""

    tenant_id: UUID | None = None
    agent_id: UUID | None = None
    carrier_id: UUID | None = None
    switch: str | None = None


def live(db: Database, target: Target) -> int:
    """Calls of it that are being dialed, ring or are talked on."""
    with db.connection() as conn:
        row = conn.execute(_SQL["live"], asdict(target)).fetchone()
    assert row is not None
    return int(row[0])


def kill(db: Database, target: Target, now: datetime) -> int:
    """Ask for the end of all that is up now, as the operator; returns for how many that is new. Asking again adds nothing to
    what is still to be carried out, or was within seconds.

    No attempt follows on a call that was up. Raises ``psycopg.Error``; what was asked for until then stands.
    """
    asked, after = 0, _FIRST
    while True:
        last, added = db.run(lambda conn, after=after: _portion(conn, target, after, now))  # type: ignore[misc]
        asked += added
        if last is None:
            return asked
        after = last


def _portion(conn: Conn, target: Target, after: UUID, now: datetime) -> tuple[UUID | None, int]:
    """The calls behind ``after``: the last of them (None: there are no more), and how many had not been asked to end."""
    found = conn.execute(_SQL["lock_calls"], {**asdict(target), "after": after, "limit": PORTION}).fetchall()
    if not found:
        return None, 0
    calls = [row[0] for row in found]
    params = {"calls": calls, "ids": [new_uuid7() for _ in calls], "now": now}
    conn.execute(_SQL["want_cancel"], params)
    # Under the locks, in a statement of its own: it sees which attempt of each is the latest.
    added = conn.execute(_SQL["add_commands"], params).rowcount
    for call_id, tenant_id in conn.execute(_SQL["gone_back"], params).fetchall():
        request_in(conn, tenant_id, call_id, "operator", now)  # its claim was given back in between: it waits again
    conn.execute(_SQL["notify"])
    return calls[-1], added
