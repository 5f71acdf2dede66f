"""One leader per name among any number of processes: a session advisory lock on a connection of its own.

Postgres frees the lock when the connection goes, so a dead leader is followed at once and a cut-off one within the TCP
limits of store/pool.py. Leadership is for work that may now and then be done twice: between losing the connection
and asking :meth:`Leader.held` again, another may have begun. What must never be done twice carries a fence.
"""

from __future__ import annotations

import contextlib
import logging
import threading

import psycopg
from psycopg.conninfo import make_conninfo

from store.pool import TCP_TIMEOUT_MS, session_options
from store.queries import load

_SQL = load("leader")
#: ms; an unanswered question means that the leadership is lost.
ASK_MS = 2_000

log = logging.getLogger("trunkline.store")


class Leader:
    """``held()`` before each piece of work: it takes the lead if it is free, keeps it, and says so."""

    def __init__(self, database_url: str, name: str) -> None:
        self.name = name
        self._conninfo = make_conninfo(
            database_url,
            application_name=f"leader:{name}"[:63],
            options=session_options(ASK_MS),
            connect_timeout=2,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=TCP_TIMEOUT_MS,
        )
        self._conn: psycopg.Connection[tuple[object, ...]] | None = None
        self._leads = False
        self._lock = threading.Lock()

    def held(self) -> bool:
        """Whether this process leads now; False also when Postgres does not answer. Waits 2 s at most, or a connect."""
        with self._lock:
            try:
                return self._ask()
            except psycopg.Error as error:
                if self._leads:
                    log.warning("leadership of %s lost: %s", self.name, error)
                self._drop()
                return False

    def close(self) -> None:
        """Give the lead up; a later ``held()`` may take it again."""
        with self._lock:
            self._drop()

    def _ask(self) -> bool:
        if self._conn is None:
            self._conn = psycopg.connect(self._conninfo, autocommit=True)
        row = self._conn.execute(_SQL["alive" if self._leads else "take"], {"name": self.name}).fetchone()
        if not self._leads and row is not None and row[0] is True:
            self._leads = True
            log.info("leading %s", self.name)
        return self._leads

    def _drop(self) -> None:
        self._leads = False
        if self._conn is not None:
            with contextlib.suppress(psycopg.Error):
                self._conn.close()
            self._conn = None

    def __enter__(self) -> Leader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
