"""A transaction in the place of a database: what takes a ``Database`` takes part in a transaction that is open already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from store.pool import Conn, Database

T = TypeVar("T")


class Joined(Database):
    """Good while ``conn``'s transaction lasts. A part that fails is undone alone; the outer block decides on the whole.

    Nothing is tried again in here: a lost connection ends the whole.
    """

    def __init__(self, conn: Conn) -> None:  # no pool: it is somebody else's connection; made by join()
        self._conn = conn

    @property
    def conn(self) -> Conn:
        """The connection, in its transaction."""
        return self._conn

    @contextmanager
    def connection(self, *, pipeline: bool = False) -> Iterator[Conn]:  # noqa: ARG002 nobody's result is read here
        """The outer connection, in a savepoint."""
        with self._conn.transaction():
            yield self._conn

    @contextmanager
    def look(self) -> Iterator[Conn]:
        """The outer connection: what is asked is asked in its transaction."""
        yield self._conn

    def run(
        self,
        unit: Callable[[Conn], T],
        *,
        attempts: int = 1,  # noqa: ARG002
        lost: bool = False,  # noqa: ARG002
        pipeline: bool = False,  # noqa: ARG002
    ) -> T:
        """``unit(connection)`` once."""
        with self.connection() as conn:
            return unit(conn)

    def fill(self) -> None:
        """Nothing: there is one connection."""

    def close(self) -> None:
        """Nothing: it is not ours."""


@contextmanager
def join(db: Database) -> Iterator[Joined]:
    """One transaction for all that takes what is yielded: kept when the block ends without an error."""
    # Begun here: psycopg would otherwise commit at the end of the first part, taking that for the outermost.
    with db.connection() as conn, conn.transaction():
        yield Joined(conn)
