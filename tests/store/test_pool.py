"""The pool: cooperative or refused, alive after the server's restart, and each unit of work whole."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from store.failures import is_transient, may_be_committed
from store.pool import Conn, Database, NotCooperative, assert_cooperative, open_database
from tests.store.conftest import World, settings_for
from tests.store.threads import results, together, wait_for
from trunkline import servers


def in_process(code: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=root, capture_output=True, text=True, timeout=60
    )


def test_a_threaded_process_is_not_taken_for_a_cooperative_one() -> None:
    with pytest.raises(NotCooperative, match=r"monkey\.patch_all"):
        assert_cooperative()


def test_psycopg_imported_before_the_patch_is_refused(postgres_url: str) -> None:
    ran = in_process(f"""
        import psycopg
        from gevent import monkey; monkey.patch_all()
        from settings import Settings
        from store.pool import NotCooperative, open_database
        settings = Settings.model_validate({{"database_url": {postgres_url!r}}})
        try:
            open_database(settings, "test", cooperative=True)
        except NotCooperative as error:
            print(error)
    """)
    assert "psycopg was imported before the patch" in ran.stdout, ran.stderr


def test_the_hub_runs_while_postgres_works(postgres_url: str) -> None:
    ran = in_process(f"""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from settings import Settings
        from store.pool import open_database
        settings = Settings.model_validate({{"database_url": {postgres_url!r}, "db_pool_size": 5}})
        waiting = 0
        with open_database(settings, "test", cooperative=True, wait_s=60) as db, db.connection() as holder:
            holder.execute("SELECT pg_advisory_xact_lock(11)")
            def work():
                global waiting
                with db.connection() as conn, conn.pipeline():
                    waiting += 1
                    conn.execute("SELECT pg_advisory_xact_lock_shared(11)")
                return True
            jobs = [gevent.spawn(work) for _ in range(4)]
            while waiting < 4:
                gevent.sleep(0.01)
            # Blocked by even one of the four, nobody would come here: it waits for what is let go of below.
            for tick in range(20):
                gevent.sleep(0.01)
            assert not any(job.ready() for job in jobs)
            holder.commit()
            gevent.joinall(jobs, timeout=20, raise_error=True)
        print(tick + 1, [job.value for job in jobs])
    """)
    assert ran.stdout == "20 [True, True, True, True]\n", ran.stderr


def test_backends_ended_under_the_pool_cost_no_checkout(db: Database, world: World) -> None:
    def backend(conn: Conn) -> int:
        conn.execute("SELECT pg_sleep(0.05)")  # so that all eight are open at once
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        assert row
        return int(row[0])

    def checkout() -> int:
        with db.connection() as conn:
            return backend(conn)

    before = set(results(together(*[checkout] * 8)))
    world.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    # Told to end is not ended; from then on the end can be seen without asking.
    gone = "SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)"
    wait_for(lambda: not world.rows(gone, list(before)))
    after = set(results(together(*[checkout] * 8)))
    assert before
    assert before.isdisjoint(after)


@pytest.fixture
def private() -> Iterator[servers.PostgresServer]:
    server = servers.PostgresServer()
    yield server
    server.close()


def test_the_pool_survives_a_restart_of_postgres(private: servers.PostgresServer) -> None:
    # The test server does not wait for its log; what a killed server must not lose, this one writes before it says so.
    url = f"{private.url}&options=-c%20synchronous_commit%3Don"
    settings = settings_for(url, db_pool_size=4, db_pool_timeout_s=1.0)
    with open_database(settings, "test", cooperative=False, wait_s=60) as db:
        with db.connection() as conn:
            conn.execute("CREATE TABLE counted (n integer)")
        done: list[int] = []
        stop = threading.Event()

        def write(conn: Conn) -> None:
            # A unit may be committed though its connection was lost, so it names what it writes.
            conn.execute("INSERT INTO counted VALUES (%s)", [len(done)])

        def writer() -> None:
            while not stop.is_set():
                db.run(write, attempts=30)
                done.append(len(done))

        thread = threading.Thread(target=writer, daemon=True)
        thread.start()
        wait_for(lambda: len(done) > 10)
        private.stop()
        with pytest.raises(psycopg.OperationalError), db.connection() as conn:
            conn.execute("SELECT 1")
        at_restart = len(done)
        private.start()
        wait_for(lambda: len(done) > at_restart + 10)
        private.kill()
        private.start()
        at_kill = len(done)
        wait_for(lambda: len(done) > at_kill + 10)
        stop.set()
        thread.join(30)
        with db.connection() as conn:
            row = conn.execute("SELECT count(DISTINCT n) FROM counted").fetchone()
        assert row == (len(done),)


def test_no_connection_in_time_says_so(postgres_url: str) -> None:
    settings = settings_for(postgres_url, db_pool_size=1, db_pool_timeout_s=0.2)
    with open_database(settings, "test", cooperative=False, wait_s=60) as db, db.connection():
        with pytest.raises(PoolTimeout):
            results(together(lambda: db.ping()))


def test_a_slow_statement_is_ended_and_not_repeated(postgres_url: str) -> None:
    settings = settings_for(postgres_url, db_statement_timeout_ms=100)
    tries: list[int] = []

    def slow(conn: Conn) -> None:
        tries.append(1)
        conn.execute("SELECT pg_sleep(30)")

    with open_database(settings, "test", cooperative=False, wait_s=60) as db:
        with pytest.raises(psycopg.errors.QueryCanceled):
            db.run(slow)
    assert tries == [1]


def test_an_exception_rolls_everything_back(db: Database, world: World) -> None:
    def unit(conn: Conn) -> None:
        conn.execute("UPDATE tenants SET weight = 7 WHERE id = %s", [world.tenant.id])
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        db.run(unit)
    assert world.rows("SELECT weight FROM tenants WHERE id = %s", world.tenant.id) == [(1,)]


def test_deadlocks_are_retried(db: Database, world: World) -> None:
    world.execute("CREATE TABLE IF NOT EXISTS pair (id integer PRIMARY KEY, n integer NOT NULL)")
    world.execute("INSERT INTO pair VALUES (1, 0), (2, 0) ON CONFLICT (id) DO UPDATE SET n = 0")
    met = threading.Barrier(2)
    tries: list[int] = []

    def crossing(first: int, second: int) -> None:
        mine: list[int] = []

        def unit(conn: Conn) -> None:
            tries.append(first)
            mine.append(first)
            conn.execute("UPDATE pair SET n = n + 1 WHERE id = %s", [first])
            if len(mine) == 1:
                met.wait(20)  # each holds what the other wants: the first time there is no way out but the server's
            conn.execute("UPDATE pair SET n = n + 1 WHERE id = %s", [second])

        db.run(unit)

    results(together(lambda: crossing(1, 2), lambda: crossing(2, 1)))
    assert len(tries) >= 3
    assert world.rows("SELECT n FROM pair ORDER BY id") == [(2,), (2,)]


def raised(db: Database, *statements: str) -> Exception:
    """What the statements raise, sent as one pipeline, as evidence is."""

    def unit(conn: Conn) -> None:
        with conn.pipeline():
            for statement in statements:
                conn.execute(statement.encode())
            conn.commit()

    with pytest.raises(psycopg.Error) as caught:
        db.run(unit, attempts=1)
    return caught.value


@pytest.mark.parametrize(
    ("statement", "kind", "transient"),
    [
        ("SELECT 'x'::integer", "InvalidTextRepresentation", False),
        ("SELECT 1 / 0", "DivisionByZero", False),
        ("INSERT INTO tenants (id, name, webhook_secret) VALUES (gen_random_uuid(), 'A', '')", "CheckViolation", False),
        ("INSERT INTO budget_epoch (epoch) VALUES (1)", "UniqueViolation", False),
        ("INSERT INTO calls (id) VALUES (gen_random_uuid())", "NotNullViolation", False),
        ("SELECT * FROM nowhere", "UndefinedTable", False),
        ("DO $$ BEGIN RAISE SQLSTATE '54000'; END $$", "ProgramLimitExceeded", False),
        ("DO $$ BEGIN RAISE SQLSTATE 'XX000'; END $$", "InternalError_", False),
        ("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", "SerializationFailure", True),
        ("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", "DeadlockDetected", True),
        ("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", "DiskFull", True),
        ("SET TRANSACTION READ ONLY; CREATE TABLE t (n integer)", "ReadOnlySqlTransaction", True),
        ("SET LOCAL statement_timeout = 50; SELECT pg_sleep(30)", "QueryCanceled", True),
    ],
)
def test_what_may_pass_later_is_told_from_what_never_will(db: Database, statement: str, kind: str, transient: bool) -> None:
    """Poison beside good statements is known for what it is, wherever in the pipeline it stands."""
    parts = statement.split("; ") if statement.startswith("SET") else [statement]
    for error in (raised(db, *parts), raised(db, "SELECT 1", *parts), raised(db, *parts, "SELECT 1", "SELECT 2")):
        assert (type(error).__name__, is_transient(error)) == (kind, transient)
        assert not may_be_committed(error)


def test_a_connection_lost_under_the_work_passes_and_leaves_doubt(db: Database) -> None:
    end = "SELECT pg_terminate_backend(pg_backend_pid())"
    for error in (raised(db, end), raised(db, "SELECT 1", end, "SELECT 2")):
        assert is_transient(error)
        assert may_be_committed(error)


def test_a_transaction_left_open_too_long_passes(db: Database, world: World) -> None:
    def unit(conn: Conn) -> None:
        conn.execute("SET LOCAL idle_in_transaction_session_timeout = 50")
        pid = conn.info.backend_pid
        wait_for(lambda: not world.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid))
        conn.execute("SELECT 1")

    with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout) as caught:
        db.run(unit)
    assert is_transient(caught.value)
    assert not may_be_committed(caught.value)


def test_a_network_fault_passes_and_a_fault_of_ours_does_not() -> None:
    assert is_transient(ConnectionResetError())
    assert is_transient(PoolTimeout("none in time"))
    assert is_transient(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert is_transient(psycopg.InterfaceError("the connection is closed"))
    assert not is_transient(ValueError("x"))
    assert not is_transient(psycopg.ProgrammingError("the query has 1 placeholder but 0 parameters were passed"))


def test_a_commit_whose_answer_was_lost_is_not_told_as_nothing(private: servers.PostgresServer) -> None:
    settings = settings_for(private.url, db_pool_size=2, db_pool_timeout_s=0.5)
    with open_database(settings, "test", cooperative=False, wait_s=60) as db:
        tries: list[int] = []

        def unit(conn: Conn) -> None:
            tries.append(1)
            conn.execute("CREATE TABLE kept (n integer)")
            conn.commit()
            private.kill()
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:  # a backend may answer once more before it notices
                conn.execute("SELECT 1")

        with pytest.raises(psycopg.OperationalError) as caught:
            db.run(unit, attempts=2)
        assert tries == [1]  # the second try got no connection, and that alone would say: nothing was committed
        assert may_be_committed(caught.value)
        with pytest.raises(PoolTimeout) as nothing:
            db.run(unit, attempts=2)
        assert not may_be_committed(nothing.value)


def test_one_question_is_one_transaction_of_its_own(db: Database, world: World) -> None:
    with db.look() as conn:
        first = conn.execute("SELECT txid_current()").fetchone()
        second = conn.execute("SELECT txid_current()").fetchone()
    assert first != second
    with db.connection() as conn:
        assert not conn.autocommit
        conn.execute("UPDATE tenants SET weight = 9 WHERE id = %s", [world.tenant.id])
        conn.rollback()
    assert world.rows("SELECT weight FROM tenants WHERE id = %s", world.tenant.id) == [(1,)]


def test_what_is_ready_is_taken_without_asking_the_hub(postgres_url: str) -> None:
    """Ten statements sent together; the hub is asked when an answer has to be waited for.

    The first waits for a lock that is let go of by another greenlet, so by the hub: Postgres cannot be the faster one.
    """
    ran = in_process(f"""
        from gevent import monkey; monkey.patch_all()
        import gevent, psycopg, select
        asked = 0
        class Counted(select.poll):
            def poll(self, *args):
                global asked
                asked += 1
                return super().poll(*args)
        select.poll = Counted
        from settings import Settings
        from store.pool import open_database
        settings = Settings.model_validate({{"database_url": {postgres_url!r}}})
        with (
            open_database(settings, "test", cooperative=True, wait_s=60) as db,
            psycopg.connect({postgres_url!r}, autocommit=True) as other,
        ):
            for _ in range(3):
                other.execute("SELECT pg_advisory_lock(1)")
                with db.connection() as conn:
                    asked = 0
                    gevent.spawn(other.execute, "SELECT pg_advisory_unlock(1)")
                    with conn.pipeline():
                        conn.execute("SELECT pg_advisory_xact_lock(1)")
                        rows = [conn.execute("SELECT %s::integer", [n]) for n in range(10)]
                        told = [row.fetchone()[0] for row in rows]
        assert told == list(range(10)), told
        print(asked)
    """)
    assert 1 <= int(ran.stdout) <= 9, ran.stdout + ran.stderr
