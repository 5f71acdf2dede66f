"""The wish that a call end, put on record: what there is to do depends on whether it was dialed.

Here it is only written down, in the transaction of whoever holds the call's lock; store/hangup.py says what is promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from calls.evidence import End, Evidence, Source, State
from store.pool import Conn
from store.queries import load

_SQL = load("hangup")

#: Result of a command that nobody had to carry out: the call was never dialed.
CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Wish:
    """``end`` None: the command waits for the controller; else the end of an attempt that waited, which is to be applied in
    the same transaction.
    """

    command_id: UUID
    end: Evidence | None


def put_down(conn: Conn, params: Mapping[str, object], attempt_id: UUID, state: str) -> Wish:
    """The wish of ``params`` (of hangup.sql) for a call that is locked and has not ended, and its latest attempt."""
    conn.execute(_SQL["want_cancel"], params)
    if state == State.QUEUED:
        now, by = params["now"], params["by"]
        assert isinstance(now, datetime)
        end = End(cause="customer_cancel", at=now, requested_by=str(by))
        # Before the end: the wish and what came of it are one transaction.
        command_id = put_done(conn, params, CANCELED)
        return Wish(command_id, Evidence(attempt_id, f"cancel:{attempt_id}", Source.OPERATOR, State.ENDED, now, end))
    row = conn.execute(_SQL["add_command"], params).fetchone()
    assert row is not None
    conn.execute(_SQL["log_request"], params)
    conn.execute(_SQL["notify"], {"payload": f"{params['switch'] or '-'} {attempt_id}"})
    return Wish(row[0], None)


def put_done(conn: Conn, params: Mapping[str, object], result: str) -> UUID:
    """The wish on record as carried out, so that it can be read like any other."""
    row = conn.execute(_SQL["add_done"], {**params, "result": result}).fetchone()
    assert row is not None
    command_id: UUID = row[0]
    return command_id
