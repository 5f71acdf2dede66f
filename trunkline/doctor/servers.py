"""Postgres and Redis: are they what the guarantees rest on?"""

from __future__ import annotations

from collections.abc import Sequence

from budget.checkup import Server as RedisServer
from store.checkup import Server as PostgresServer
from trunkline.doctor.finding import Finding, fail, ok, warn

POSTGRES_LEAST = 130_000
REDIS_LEAST = (6, 2)
#: s; further apart two clocks make deadlines wrong that people notice.
CLOCK_S = 2.0
#: s; a transaction that is open so long keeps vacuum from its work and migrations from their locks.
OLD_S = 300.0
#: The part of what is allowed from which on a server is nearly full.
NEARLY = 0.8


def judge_postgres(server: PostgresServer, pending: Sequence[str], now: float) -> list[Finding]:
    """``pending``: migrations not applied. ``now``: our clock when the server was asked, s since 1970."""
    about, found = "Postgres", []
    major, minor = divmod(server.version, 10_000)
    if server.version < POSTGRES_LEAST:
        found.append(fail(about, f"version {major}.{minor}", "13 or newer is needed: upgrade the server"))
    else:
        found.append(ok(about, f"version {major}.{minor}"))
    if server.standby:
        found.append(fail(about, "this is a read-only standby", "let DATABASE_URL name the primary"))
    for name, value in (("fsync", server.fsync), ("full_page_writes", server.full_page_writes)):
        if not value:
            what = f"{name} is off: a power cut loses accepted calls, or the whole database"
            found.append(warn(about, what, f"ALTER SYSTEM SET {name} = on, then reload (embedded servers have it off)"))
    if not server.synchronous_commit:
        what = "synchronous_commit is off: a 202 may be lost in a crash"
        found.append(fail(about, what, "ALTER ROLE ... SET synchronous_commit = on (or remove the line that turns it off)"))
    if pending:
        found.append(fail(about, f"migrations not applied: {', '.join(pending)}", "trunkline migrate"))
    if server.connections > NEARLY * server.max_connections:
        what = f"{server.connections} of {server.max_connections} connections are taken"
        found.append(warn(about, what, "raise max_connections, or lower TRUNKLINE_DB_POOL_SIZE of each process"))
    if server.oldest_s > OLD_S:
        what = f"a transaction is open for {server.oldest_s:.0f} s"
        found.append(warn(about, what, "SELECT pid, query FROM pg_stat_activity ORDER BY xact_start; then end that session"))
    return [*found, *judge_clock(about, server.clock, now)]


def judge_redis(server: RedisServer, now: float) -> list[Finding]:
    """The budget lives here for the moment: it may be lost, it must not be thinned out."""
    about, found = server.name, []
    version = ".".join(map(str, server.version))
    if server.name == "Redis" and server.version < REDIS_LEAST:
        found.append(fail(about, f"version {version}", "6.2 or newer is needed: upgrade the server"))
    else:
        found.append(ok(about, f"version {version}"))
    if server.policy not in ("noeviction", ""):
        what = f"maxmemory-policy {server.policy}: under pressure it drops permits, and a limit with them"
        found.append(fail(about, what, "maxmemory-policy noeviction (a Redis of its own for Trunkline)"))
    if server.keeps == "nothing":
        what = "keeps nothing on disk: after each restart dialing rests until the budget is rebuilt from Postgres"
        found.append(warn(about, what, "appendonly yes (embedded servers keep nothing)"))
    if server.max_bytes and server.used_bytes > NEARLY * server.max_bytes:
        what = f"{server.used_bytes >> 20} of {server.max_bytes >> 20} MB are used"
        found.append(warn(about, what, "raise maxmemory, or lower TRUNKLINE_LANED_MAX"))
    if server.epoch is None:
        what = "the budget is closed: nothing is dialed"
        found.append(fail(about, what, "the feeder opens it within seconds: look whether 'trunkline feeder' runs"))
    return [*found, *judge_clock(about, server.clock, now)]


def judge_clock(about: str, clock: float, now: float) -> list[Finding]:
    """Both in s since 1970, read at the same moment."""
    off = clock - now
    if abs(off) <= CLOCK_S:
        return []
    what = f"its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    return [warn(about, what, "run NTP (chrony) on both; limits do not depend on it, calling windows and reports do")]
