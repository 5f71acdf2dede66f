"""The private servers keep their promises: same address after a kill -9, and nothing left, however the owner ends."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trunkline import guests
from trunkline.children import wait_until
from trunkline.servers import PostgresServer, RedisServer

OWNER = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
from trunkline.servers import PostgresServer, RedisServer
postgres, store = PostgresServer(), RedisServer()
print(json.dumps({"pids": [postgres.pid, store.pid], "directories": [str(postgres.directory), str(store.directory)]}))
sys.stdout.flush()
time.sleep(60)
"""


def lives(pid: int) -> bool:
    """Whether there is such a process; a zombie whose init is slow is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = pathlib.Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def private_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def private_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def test_a_killed_postgres_comes_back_at_its_address_with_its_data(private_postgres: PostgresServer) -> None:
    with psycopg.connect(private_postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    before = private_postgres.pid
    private_postgres.kill()
    while_dead = private_postgres.pid
    assert while_dead is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(private_postgres.url)
    private_postgres.start()
    assert private_postgres.pid not in (None, before)
    with psycopg.connect(private_postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_killed_redis_comes_back_at_its_address_empty(private_redis: RedisServer) -> None:
    with redis.Redis.from_url(private_redis.url) as client:
        client.set("key", "value")
        private_redis.kill()
        private_redis.start()
        assert client.dbsize() == 0


def test_a_private_redis_wants_its_password(private_redis: RedisServer) -> None:
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=private_redis.port, retry=once) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_owner_dies(end: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        assert all(lives(pid) for pid in told["pids"])
        owner.send_signal(end)
        owner.wait(60)
        owner.stdout.close()
        wait_until("the servers' end", lambda: not any(map(lives, told["pids"])), timeout_s=60)
        wait_until("empty places", lambda: not any(map(os.path.exists, told["directories"])), timeout_s=60)
    finally:
        owner.kill()
        owner.wait(60)


def test_close_leaves_no_directory_even_after_a_kill() -> None:
    server = PostgresServer()
    server.kill()
    server.close()
    server.close()
    assert not server.directory.exists()


def test_a_guest_drops_only_what_it_created(private_postgres: PostgresServer) -> None:
    first = guests.create_database(private_postgres.url, "test")
    second = guests.create_database(private_postgres.url, "test")
    assert first != second
    with psycopg.connect(first):  # whoever is still connected does not hold it up
        guests.drop_database(private_postgres.url, first)
    psycopg.connect(second).close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first)
    with pytest.raises(ValueError, match="'postgres' was not created here"):
        guests.drop_database(private_postgres.url, private_postgres.url)


def test_a_guest_takes_an_empty_redis_database_and_no_other(private_redis: RedisServer) -> None:
    theirs = private_redis.url.replace("/0", "/15")
    with redis.Redis.from_url(theirs) as somebody:
        somebody.set("precious", 1)
        taken = guests.take_redis_database(private_redis.url)
        other = guests.take_redis_database(private_redis.url)
        assert len({theirs, taken, other}) == 3
        guests.empty_redis(taken, taken=True)
        assert guests.take_redis_database(private_redis.url) not in (taken, other, theirs)
        guests.give_back_redis(taken)
        assert guests.take_redis_database(private_redis.url) == taken
        assert somebody.get("precious") == b"1"


def test_a_full_redis_is_refused(private_redis: RedisServer) -> None:
    for number in guests.REDIS_DATABASES:
        with redis.Redis.from_url(private_redis.url.replace("/0", f"/{number}")) as somebody:
            somebody.set("precious", number)
    with pytest.raises(guests.GuestRefused, match="none of its databases"):
        guests.take_redis_database(private_redis.url)
