"""Real Postgres and Redis for the tests and the demo, gone without a trace afterwards.

``DATABASE_URL`` / ``REDIS_URL`` name servers to use; otherwise private ones are started from what the machine has
(trunkline/programs.py). A private Postgres listens on a Unix socket in a directory of its own (no port, no password); a
private Redis on a loopback port with a password of its own; both keep their address over ``stop()``, ``kill()`` and
``start()``. Neither survives a power cut: fsync and persistence are off.

Somebody else's server is a guest house: databases get unique names and are dropped; an empty Redis database is taken. The
role trunkline_web stays, for it is the server's and not a database's; it cannot log in.
Errors: :class:`trunkline.programs.NoServer` (nothing to start), :class:`ServerFailed` (with the end of its log).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import secrets
import signal
import subprocess
import sys
from typing import Protocol

import psycopg
import redis

from trunkline.children import Child
from trunkline.private import PrivateServer, ServerFailed, free_port, plain_environment, private_directory
from trunkline.programs import postgres_programs, redis_program, unprivileged_user

POSTGRES_OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # A crash of the machine may lose these databases; a kill -9 of the server loses no commit, so synchronous_commit
    # stays on: a commit has reached the kernel.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    # When a row was committed: bench/dial.py asks.
    "track_commit_timestamp": "on",
    # Inside the data directory, so that a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Server(Protocol):
    """A running server, ours or given."""

    @property
    def url(self) -> str:
        """Its address: a libpq URL of a database where others can be created, or a redis:// URL."""

    def close(self) -> None:
        """End it and remove its data if it is ours."""


class GivenServer:
    """A server somebody else runs: it is never stopped from here."""

    def __init__(self, url: str) -> None:
        self.url = url

    def close(self) -> None:
        """Nothing: it is not ours."""


class PostgresServer(PrivateServer):
    """A private Postgres; `url` names its database `postgres`."""

    name = "Postgres"

    def __init__(self, *, durable: bool = False) -> None:
        """``durable``: as a server in earnest, every commit is on disk before it is told."""
        self._user = unprivileged_user()
        super().__init__(private_directory("trunkline-pg-", self._user))
        try:
            programs = postgres_programs(self._user, self.directory / "wheel")
            self._data = self.directory / "data"
            self._initdb(programs)
            options = {**POSTGRES_OPTIONS, "fsync": "on", "full_page_writes": "on"} if durable else POSTGRES_OPTIONS
            arguments = [f"--{name}={value}" for name, value in options.items()]
            self._child = Child(
                [str(programs / "postgres"), "-D", str(self._data), "-k", str(self.directory), *arguments],
                keeper=self._keeper,
                end=signal.SIGINT,  # the fast shutdown
                environ=plain_environment(self.directory),
                directory=self.directory,
                user=self._user,
            )
            self.start()
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
        self._keeper.close()

    @property
    def url(self) -> str:
        """libpq address of the database `postgres`, as the superuser `trunkline`."""
        return self.database_url("postgres")

    def database_url(self, database: str) -> str:
        """libpq address of another database of this server."""
        return f"postgresql://trunkline@/{database}?host={self.directory}"

    def _initdb(self, programs: pathlib.Path) -> None:
        user = self._user
        options = ["-U", "trunkline", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync"]
        command = [str(programs / "initdb"), "-D", str(self._data), *options]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            env=plain_environment(self.directory),
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed: {(done.stderr or done.stdout).strip()}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _worth_retrying(self) -> bool:
        return "still in use" in self._tail()

    def close(self) -> None:
        """End it and remove its directory; a second call does nothing."""
        if self._child is not None:
            self._child.stop()
            self._free_shared_memory()
        super().close()

    def _free_shared_memory(self) -> None:
        # Only a killed server leaves its pid file, whose 7th line names the System V segment it has left too.
        with contextlib.suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            if len(lines) > 6 and len(lines[6].split()) == 2 and sys.platform.startswith("linux"):
                ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), 0, None)


class RedisServer(PrivateServer):
    """A private Redis without persistence: a restart is a wipe. `url` names database 0."""

    name = "Redis"

    def __init__(self) -> None:
        program = redis_program()
        super().__init__(private_directory("trunkline-redis-", None))
        self._password = secrets.token_urlsafe(18)
        for left in (4, 3, 2, 1, 0):
            self._port = free_port()
            self._child = Child(
                [str(program), str(self._write_config())],
                keeper=self._keeper,
                environ=plain_environment(self.directory),
                directory=self.directory,
            )
            try:
                self.start()
                return
            except ServerFailed:
                # Somebody took the port between the look and the start.
                if left == 0 or "in use" not in self._tail():
                    self._child = None
                    self._keeper.close()
                    raise

    @property
    def port(self) -> int:
        """The loopback port."""
        return self._port

    @property
    def url(self) -> str:
        """redis:// address with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _write_config(self) -> pathlib.Path:
        # A file, not arguments: everybody can read the arguments of a process.
        path = self.directory / "redis.conf"
        path.write_text(
            f"bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\ndaemonize no\n"
            f'save ""\nappendonly no\ndir {self.directory}\n'
        )
        path.chmod(0o600)
        return path

    def _answers(self) -> bool:
        try:
            with contextlib.closing(redis.Redis.from_url(self.url, socket_timeout=2)) as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False


def postgres_server() -> PostgresServer | GivenServer:
    """The Postgres of ``DATABASE_URL``, else a private one."""
    url = os.environ.get("DATABASE_URL")
    return GivenServer(url) if url else PostgresServer()


def redis_server() -> RedisServer | GivenServer:
    """The Redis of ``REDIS_URL`` (an empty database of it, see trunkline/guests.py), else a private one."""
    url = os.environ.get("REDIS_URL")
    return GivenServer(url) if url else RedisServer()
