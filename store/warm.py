"""What every dial and every event asks of Postgres, asked of a new connection for nobody: nothing is found, nothing changes.

The first such question of a fresh backend takes ten times as long as the next one, because the server has not looked at
the tables yet. A dial that meets a fresh backend would miss its slot.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from store.attempts import claim_nothing
from store.change import apply_in, write_nothing
from store.facts import NO_TIMERS
from store.pool import Conn

log = logging.getLogger("trunkline.store")

#: The attempt that there is not.
NOBODY = UUID(int=0)


def warm(conn: Conn) -> None:
    """Makes ``conn`` as quick as it will ever be; for ``open_database(warm=...)``. What the server refuses is told, once."""
    now = datetime.now(UTC)
    seen = [
        Evidence(NOBODY, "warm:began", Source.EVENT, State.DIALING, now),
        Evidence(NOBODY, "warm:end", Source.EVENT, State.ENDED, now, End("NORMAL_CLEARING", now)),
    ]
    usual, conn.prepare_threshold = conn.prepare_threshold, 0  # else a statement is prepared at its third use only
    try:
        claim_nothing(conn, now)
        apply_in(conn, seen, rules=RetryRules(), timers=NO_TIMERS, now=now)
        write_nothing(conn, now)
        conn.commit()  # of nothing; at a rollback psycopg forgets what it has prepared
    except psycopg.Error as error:
        log.warning("connection not warmed", extra={"error": str(error)})
        conn.rollback()
    finally:
        conn.prepare_threshold = usual
