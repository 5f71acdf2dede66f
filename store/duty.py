"""Who is on duty beside a switch: one of its controllers, under a lease and a fence that are one row of ``switches``.

The lease says by the database's clock until when nobody else may act; the fence rises with every change of hands, so a claim
can name under which duty it is made. A process that stands still loses its duty by time alone.
"""

from __future__ import annotations

import contextlib
from uuid import UUID

import psycopg

from settings import Settings
from store.pool import conninfo
from store.queries import load

_SQL = load("duty")


class DutyBook:
    """One controller's view, over a connection of its own: a pool that is busy must not cost it its duty.

    Errors: ``psycopg.Error`` of either verb when Postgres does not answer in time; the next one connects again.
    """

    def __init__(self, settings: Settings, switch: str, me: UUID) -> None:
        # An answer that comes after the lease is over is of no use.
        self._conninfo = conninfo(settings, f"duty-{switch}", statement_timeout_ms=int(settings.duty_lease_s * 1000))
        self._params = {"switch": switch, "me": me, "lease_s": settings.duty_lease_s}
        self._conn: psycopg.Connection[tuple[object, ...]] | None = None

    def take(self) -> int | None:
        """Keeps the duty for another lease, or takes it if nobody has it; the fence, None: another is on duty."""
        row = self._ask("take").fetchone()
        return int(str(row[0])) if row is not None else None

    def leave(self) -> bool:
        """Gives it up, so that another may take over at once. False: it was not ours."""
        return self._ask("leave").rowcount == 1

    def close(self) -> None:
        """The duty, if held, ends by its own time."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(psycopg.Error):
                conn.close()

    def _ask(self, verb: str) -> psycopg.Cursor[tuple[object, ...]]:
        try:
            if self._conn is None:
                self._conn = psycopg.connect(self._conninfo, autocommit=True)
                self._conn.execute(_SQL["ask_fast"])
            return self._conn.execute(_SQL[verb], self._params)
        except BaseException:
            self.close()  # also when a caller's timeout cut in: half an answer may be under way
            raise
