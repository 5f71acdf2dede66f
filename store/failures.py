"""What a failure of Postgres means: is the server away, does the work stand all the same, is it worth another try."""

from __future__ import annotations

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

#: The transaction was rolled back by the server; the same one may well pass next time.
ROLLED_BACK: tuple[type[Exception], ...] = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)

#: SQLSTATE classes of what passes: connection, rollback, resources, operator's intervention, the system's input/output.
_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
#: Others that pass: lock not to be had, transaction or session idle or open too long, a standby that takes no writes.
_PASSING = frozenset({"55P03", "25P03", "25P04", "25006"})


def is_lost(error: Exception) -> bool:
    """The server went away, is starting or stopping, or no connection came in time; not: the statement was too slow."""
    if isinstance(error, (PoolTimeout, psycopg.InterfaceError)):
        return True
    state = getattr(error, "sqlstate", None)
    return state is None or state[:2] == "08" or state in ("57P01", "57P02", "57P03", "53300", "25P03")


def may_be_committed(error: Exception) -> bool:
    """Whether work that failed with ``error`` may have been committed all the same: its connection was lost under it.

    Not so when no connection could be had, or when the server lived to say what was wrong.
    """
    lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and is_lost(error)
    return lost and not isinstance(error, PoolTimeout)


def is_transient(error: Exception) -> bool:
    """Whether the same work may well pass later: the server is away, full, a standby, rolled it back or was too slow.

    What is left is the data's or the program's fault: trying again would only repeat it.
    """
    if isinstance(error, OSError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        # No word of the server's: the connection is gone, or never was.
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return state[:2] in _PASSING_CLASSES or state in _PASSING
