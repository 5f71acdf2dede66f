"""Databases of our own on a server, private or somebody else's: dropped after use; nothing else is touched."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

REDIS_DATABASES = range(15, 0, -1)
TAKEN = "trunkline:guest"


class GuestRefused(RuntimeError):
    """The server given does not let us in; the text says what to do."""


def with_database(url: str, database: str) -> str:
    """The same server, another database. `url` is a libpq URL (``postgresql://...``)."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise GuestRefused("DATABASE_URL: expected postgresql://user@host/database")
    # urlunsplit drops the // of an address without host, which libpq needs.
    return f"{parts.scheme}://{parts.netloc}/{database}" + (f"?{parts.query}" if parts.query else "")


def create_database(server_url: str, label: str, *, template: str | None = None) -> str:
    """Create ``trunkline_<label>_<random>`` and return its URL. `template` is the name of a database to copy."""
    name = f"trunkline_{label}_{secrets.token_hex(4)}"
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(template if template is not None else "template0")
    )
    try:
        with psycopg.connect(server_url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(command)
    except psycopg.errors.InsufficientPrivilege as error:
        raise GuestRefused("DATABASE_URL: this user may not create databases (ALTER ROLE ... CREATEDB)") from error
    except psycopg.OperationalError as error:
        raise GuestRefused(f"DATABASE_URL: {' '.join(str(error).split())}") from error
    return with_database(server_url, name)


def database_name(url: str) -> str:
    """The database a libpq URL names."""
    return urlsplit(url).path.removeprefix("/")


def drop_database(server_url: str, url: str) -> None:
    """Drop a database that create_database made, whoever is still connected to it."""
    name = database_name(url)
    if not name.startswith("trunkline_"):
        raise ValueError(f"{name!r} was not created here")
    with psycopg.connect(server_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def take_redis_database(url: str) -> str:
    """URL of an empty database of the Redis server at `url`, marked as ours; give it back with give_back_redis."""
    for number in REDIS_DATABASES:
        candidate = urlunsplit(urlsplit(url)._replace(path=f"/{number}"))
        with redis.Redis.from_url(candidate, socket_timeout=5) as client:
            try:
                # One command: the mark is set only where nothing is, by one of two runs that look at once.
                if client.eval(f"if redis.call('DBSIZE') == 0 then redis.call('SET', '{TAKEN}', 1) return 1 end", 0):
                    return candidate
            except redis.exceptions.ConnectionError as error:
                raise GuestRefused(f"REDIS_URL: {error}") from error
            except redis.exceptions.ResponseError as error:
                if "out of range" in str(error):
                    continue
                raise GuestRefused(f"REDIS_URL: {error}") from error
    raise GuestRefused("REDIS_URL: none of its databases 1 to 15 is empty, and others' data is not touched")


def empty_redis(url: str, *, taken: bool) -> None:
    """Flush the database; with `taken` it stays marked as ours."""
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.flushdb()
        if taken:
            pipeline.set(TAKEN, 1)
        pipeline.execute()


def give_back_redis(url: str) -> None:
    """Flush the database that take_redis_database took."""
    empty_redis(url, taken=False)
