"""The way to Postgres: one pool per process, one transaction per ``connection()``.

Works in gevent-patched and in plain threaded processes; a process that is meant to be cooperative says so and is
refused at start-up when psycopg was imported before the patch (its waits would then stop the whole hub).
Every wait is bounded: for a connection by ``db_pool_timeout_s``, in a statement by ``db_statement_timeout_ms`` (on the
server), in an idle transaction by five times that, on a dead network by TCP_TIMEOUT_MS.
"""

from __future__ import annotations

import _socket
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import _queries
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from settings import Settings, process_name
from store.failures import ROLLED_BACK, is_lost, may_be_committed
from store.migrate import session_name
from store.waiting import EagerConnection

T = TypeVar("T")
Conn = psycopg.Connection[TupleRow]

#: psycopg keeps how a statement's parameters are found only up to this length, and would look through the claim's anew each
#: time, a tenth of the work of a claim. Ours are few, and none is made at run time.
_queries.MAX_CACHED_STATEMENT_LENGTH = 16_384

#: ms; a peer that acknowledges nothing for so long is gone, in either direction.
TCP_TIMEOUT_MS = 10_000
#: s; the pool's own reconnecting gives up after this, so that the next caller starts afresh instead of a long backoff.
RECONNECT_S = 2.0
#: s; first and longest wait between two tries of Database.run.
RETRY_MIN_S, RETRY_MAX_S = 0.01, 1.0

#: The role in which tenants' requests run (migration 0017): no owner, no superuser, bound by row level security.
WEB_ROLE = "trunkline_web"
#: Until the transaction ends it is one tenant's.
_BIND = b"SELECT set_config('role', 'trunkline_web', true), set_config('trunkline.tenant', %s, true)"

log = logging.getLogger("trunkline.store")


class NotCooperative(RuntimeError):
    """psycopg would block the gevent hub."""


def assert_cooperative() -> None:
    """Raise :class:`NotCooperative` unless psycopg waits through gevent's patched ``select``."""
    remedy = (
        "make 'from gevent import monkey; monkey.patch_all()' the first statement of the process's entry point,"
        " before anything that imports psycopg"
    )
    try:
        from gevent import monkey
    except ImportError as error:
        raise NotCooperative(f"gevent is not installed; {remedy}") from error
    for module in ("select", "socket", "threading"):
        if not monkey.is_module_patched(module):
            raise NotCooperative(f"gevent has not patched {module}: {remedy}")
    waits_by = getattr(psycopg.waiting.wait, "__name__", "C")
    if waits_by not in ("wait_poll", "wait_select"):
        raise NotCooperative(f"psycopg was imported before the patch and waits by {waits_by}: {remedy}")


def session_options(statement_timeout_ms: int) -> str:
    """libpq ``options`` of every session: UTC, and no statement, transaction or dead peer keeps locks for ever."""
    values = {
        "TimeZone": "UTC",
        "statement_timeout": statement_timeout_ms,
        "idle_in_transaction_session_timeout": 5 * statement_timeout_ms,
        "tcp_user_timeout": TCP_TIMEOUT_MS,
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
    }
    return " ".join(f"-c {name}={value}" for name, value in values.items())


def conninfo(settings: Settings, role: str, *, statement_timeout_ms: int | None = None) -> str:
    """libpq connection string of one process role, with names and time limits."""
    timeout = settings.db_statement_timeout_ms if statement_timeout_ms is None else statement_timeout_ms
    given = str(conninfo_to_dict(settings.database_url).get("options") or "")
    return make_conninfo(
        settings.database_url,
        application_name=session_name(process_name(role)),
        options=f"{given} {session_options(timeout)}".strip(),
        connect_timeout=max(2, int(settings.db_pool_timeout_s)),
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=TCP_TIMEOUT_MS,
    )


class Database:
    """A pool with a name. Close it at the end of the process."""

    def __init__(self, pool: ConnectionPool[Conn], tenant_id: UUID | None = None) -> None:
        self._pool = pool
        self._tenant_id = tenant_id

    def of_tenant(self, tenant_id: UUID) -> Database:
        """The same pool for one tenant's requests: of what is a tenant's, each transaction sees that one's alone."""
        return Database(self._pool, tenant_id)

    @contextmanager
    def connection(self, *, pipeline: bool = False) -> Iterator[Conn]:
        """A live connection and one transaction: committed at the end of the block, rolled back on an exception.

        ``pipeline``: statements are sent together until the first result is read, the transaction's beginning with them.
        The block of a tenant's database must not commit in its middle and go on: what follows would be nobody's.
        Errors: ``psycopg_pool.PoolTimeout`` (a ``psycopg.OperationalError``) when none is free in time.
        """
        with self._pool.connection() as conn, ExitStack() as around:
            if self._tenant_id is not None:
                around.enter_context(_own_transaction(conn))
            if pipeline:
                around.enter_context(conn.pipeline())
            if self._tenant_id is not None:
                _begin(conn, self._tenant_id, pipeline=pipeline)
            yield conn

    @contextmanager
    def look(self) -> Iterator[Conn]:
        """A live connection on which each statement is a transaction of its own: for one question, in one round trip."""
        with self._pool.connection() as conn:
            conn.autocommit = True
            try:
                yield conn
            finally:
                if not conn.closed:
                    conn.autocommit = False

    def fill(self) -> None:
        """Opens all the connections that there may be; each is closed again when it has had nothing to do for long.

        Errors: ``psycopg_pool.PoolTimeout`` when one of them is not there in time.
        """
        with ExitStack() as taken:
            for _ in range(self._pool.max_size):
                taken.enter_context(self._pool.connection())

    def run(self, unit: Callable[[Conn], T], *, attempts: int = 5, lost: bool = True, pipeline: bool = False) -> T:
        """``unit(connection)`` in one transaction, again after a deadlock, a serialization failure or a lost connection.

        ``unit`` must be idempotent: a connection lost at COMMIT does not tell whether it was committed. Give
        ``lost=False`` where that is not so; then only transactions the server rolled back are repeated. ``pipeline``: as of
        :meth:`connection`.
        Errors: what the last of ``attempts`` tries raised; but if one before it may have been committed and the last one
        was certainly not, what that one raised, so that :func:`may_be_committed` is right about the whole.
        """
        doubt: Exception | None = None
        for tried in range(1, attempts + 1):
            try:
                with self.connection(pipeline=pipeline) as conn:
                    return unit(conn)
            except ROLLED_BACK as error:
                if tried == attempts:
                    raise (doubt or error) from None
                log.info("transaction rolled back (%s), try %d of %d", type(error).__name__, tried, attempts)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                doubt = error if may_be_committed(error) else doubt
                if not lost or tried == attempts or not is_lost(error):
                    raise (doubt or error) from None
                log.warning("Postgres connection lost (%s), try %d of %d", error, tried, attempts)
            time.sleep(random.uniform(0.5, 1.0) * min(RETRY_MAX_S, RETRY_MIN_S * 4 ** (tried - 1)))
        raise AssertionError("attempts must be at least 1")

    def ping(self) -> None:
        """Raise ``psycopg.OperationalError`` when Postgres does not answer in time."""
        with self.connection() as conn:
            conn.execute("SELECT 1")

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        self._pool.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _begin(conn: Conn, tenant_id: UUID, *, pipeline: bool) -> None:
    """The BEGIN of the tenant's transaction is ours, so that what binds it costs no round trip of its own."""
    if pipeline:
        conn.execute(b"BEGIN")
        conn.execute(_BIND, [str(tenant_id)])
    else:
        conn.execute(b"BEGIN; " + _BIND.replace(b"%s", b"'%s'") % str(tenant_id).encode(), prepare=False)


@contextmanager
def _own_transaction(conn: Conn) -> Iterator[None]:
    """Around a transaction that is begun by hand."""
    conn.autocommit = True
    try:
        yield
        conn.commit()
    except BaseException:
        with suppress(psycopg.Error):
            conn.rollback()
        raise
    finally:
        if conn.info.transaction_status == TransactionStatus.IDLE:
            conn.autocommit = False
        else:
            conn.close()  # broken off in the middle: nobody else may have it so


def _check(conn: Conn) -> None:
    """Raise ``psycopg.OperationalError`` if the server has ended the connection. It says so, or closes it: then there is
    something to read where there should be nothing, and the server is asked. Else that round trip is saved.
    """
    peeked = _socket.socket(fileno=conn.fileno())  # the plain one: gevent's would be told to the hub
    try:
        peeked.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
    except BlockingIOError:
        return
    except OSError:
        pass
    finally:
        peeked.detach()
    ConnectionPool.check_connection(conn)


def open_database(
    settings: Settings, role: str, *, cooperative: bool, wait_s: float = 0.0, warm: Callable[[Conn], None] | None = None
) -> Database:
    """The process's database. ``role`` becomes ``application_name`` (web, controller, feeder ...).

    ``warm`` is given each new connection before anybody has it (store/warm.py), also when the pool grows later.

    ``cooperative=True`` asserts that psycopg yields to gevent. ``wait_s`` > 0 waits so long for a first connection and
    raises ``PoolTimeout`` after it; 0 returns at once, and the pool connects when Postgres is there.
    """
    if cooperative:
        assert_cooperative()
    kwargs: dict[str, Any] = {"prepare_threshold": 2}
    pool: ConnectionPool[Conn] = ConnectionPool(
        conninfo(settings, role),
        connection_class=EagerConnection if cooperative else psycopg.Connection[TupleRow],
        kwargs=kwargs,
        min_size=1,
        max_size=settings.db_pool_size,
        timeout=settings.db_pool_timeout_s,
        reconnect_timeout=RECONNECT_S,
        # Without it more than half of the checkouts after a server restart hand out a dead connection.
        check=_check,
        configure=warm,
        name=role,
        open=True,
    )
    if wait_s > 0:
        try:
            pool.wait(wait_s)
        except PoolTimeout:
            pool.close()
            raise
    return Database(pool)
