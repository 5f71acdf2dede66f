"""A backlog of 1,000,000 queued calls beside one of 1,000: bringing into lanes, granting, memory, canceling all of it.

Each has a database of its own on one private Postgres, and a private Redis. The calls of the flood are written by SQL into
one tenant's lane; another tenant waits behind it with a hundred. A round brings a window into the empty lanes (the feeder's
own tick, whatever is due in it included), grants all of that, and then, unmeasured, ends it and adds as many at the back.
The two take turns. Their rates are per second of CPU, the feeder's and that of both servers, because a neighbour on the
machine changes that little. Nothing is dialed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg
from redis import Redis

from bench import Ratio, Report
from budget import permits
from budget.connect import connect
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.lanes import lane_name
from jobs.feeder import Feeder
from jobs.watchdog import sweep
from lab.liberty import give_the_world
from settings import Settings
from store import agents, calls, carriers, laning, tenants
from store.calls import NewCall
from store.migrate import migrate
from store.pool import Database, open_database
from trunkline import guests
from trunkline.servers import PostgresServer, RedisServer

LARGE, SMALL, QUIET = 1_000_000, 1_000, 100
ROUNDS = 40
#: The carrier takes whatever it is given; a lane's window is set, not reckoned from that.
CPS = 99_999
WINDOW = 400
#: ms of SQL; what bringing a quiet tenant's calls may cost behind the flood.
LIMIT_MS = 2.0
REPEATS = 20

FILL = """
WITH moment AS (
    SELECT lpad(to_hex(i), 12, '0') AS id, %(first)s::timestamptz + i * interval '1 ms' AS at
    FROM generate_series(%(filled)s::bigint + 1, %(filled)s::bigint + %(count)s) AS i
), call AS (
    INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, route, lane, status_at, max_attempts, ring_timeout_s,
                       max_duration_s, due_at, expires_at, created_at)
    SELECT (%(ids)s || '8000-' || id)::uuid, %(tenant)s, %(agent)s, '+12125550100', '+12125550101', 'all', %(lane)s, at, 1,
           30, 60, at, at + interval '1 day', at FROM moment
), counted AS (
    INSERT INTO queue_deltas VALUES (%(tenant)s, %(count)s)
)
INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)
SELECT (%(ids)s || '9000-' || id)::uuid, (%(ids)s || '8000-' || id)::uuid, 1, %(lane)s, at, at FROM moment
"""
END = """
WITH over AS (UPDATE attempts SET state = 'ended' WHERE id = ANY(%(ids)s) RETURNING call_id)
UPDATE calls SET status = 'completed' WHERE id IN (SELECT call_id FROM over)
"""


def run() -> Report:
    with ExitStack() as stack:
        postgres = stack.enter_context(_closing(PostgresServer()))
        began = time.monotonic()
        large = stack.enter_context(_house(postgres, LARGE))
        filled_s = time.monotonic() - began
        small = stack.enter_context(_house(postgres, SMALL))
        memory = large.memory(), small.memory()
        for _ in range(ROUNDS):
            large.round()
            small.round()
        refill_ms, refill_small_ms = large.refill_ms(), small.refill_ms()
        one_ms = median(large.cancel_one() for _ in range(REPEATS))
        mark_ms = median(large.cancel_all() for _ in range(REPEATS))
        laned_ms = large.call_after_cancel()
        ended = large.drain()
    beside = f"{SMALL:,} queued"
    return Report(
        [
            Ratio("feed", large.fed.rate, small.fed.rate, "attempts brought per CPU second", beside),
            Ratio("grants", large.granted.rate, small.granted.rate, "permits per CPU second", beside),
            Ratio("refill", refill_ms, LIMIT_MS, "ms of SQL for a quiet lane behind the flood", "the limit"),
            Ratio("memory", *memory, "MB of Redis, lanes full", beside),
            Ratio("cancel", mark_ms, one_ms, "ms to cancel the whole queue", "canceling one call"),
        ],
        {
            "queued": LARGE,
            "filled_s": round(filled_s, 1),
            "laned": WINDOW + QUIET,
            "fed_per_s": round(large.fed.per_s),
            "fed_per_s_small": round(small.fed.per_s),
            "granted_per_s": round(large.granted.per_s),
            "granted_per_s_small": round(small.granted.per_s),
            "idle_tick_cpu_ms": round(large.idle.cpu_s * 1000 / ROUNDS, 2),
            "idle_tick_cpu_ms_small": round(small.idle.cpu_s * 1000 / ROUNDS, 2),
            "refill_ms_small": round(refill_small_ms, 3),
            "laned_after_cancel_ms": round(laned_ms, 1),
            "canceled_ended_per_s": round(ended),
        },
    )


@dataclass(slots=True)
class Tally:
    """Work done, and the time it took: ours and the servers' CPU, and by the clock."""

    count: int = 0
    cpu_s: float = 0.0
    clock_s: float = 0.0

    @property
    def rate(self) -> float:
        return self.count / self.cpu_s

    @property
    def per_s(self) -> float:
        return self.count / self.clock_s


class House:
    """A database with its backlog, a Redis, and a feeder between them."""

    def __init__(self, db: Database, redis: Redis, settings: Settings, queued: int) -> None:
        self.db, self.redis, self.settings = db, redis, settings
        self.fed, self.granted, self.idle = Tally(), Tally(), Tally()
        self.empty_bytes = self._used()
        carrier = carriers.put_carrier(db, name="bench", max_channels=100_000, cps=CPS, linger_ms=0)
        carriers.put_endpoint(db, carrier_id=carrier.id, gateway="bench", address="127.0.0.1:5060")
        carriers.put_route(db, name="all", prefixes=[""], carriers=[carrier.id])
        self.carrier = carrier.id
        self.lanes: list[str] = []
        self.names: list[tuple[UUID, UUID]] = []  # tenant, agent
        for name in ("flood", "quiet"):
            tenant = tenants.create(db, name=name, webhook_url="https://example.invalid/")
            give_the_world(db, tenant.id)
            agent = agents.create(db, tenant_id=tenant.id, name="bench", kind="websocket", url="ws://127.0.0.1:1/")
            self.names.append((tenant.id, agent.id))
            self.lanes.append(lane_name("normal", tenant.id, "all"))
        self.first = datetime.now(UTC) - timedelta(hours=2)
        self.filled = [0, 0]
        self.fill(0, queued)
        self.fill(1, QUIET)
        with psycopg.connect(settings.database_url, autocommit=True) as conn:
            conn.execute("ANALYZE")
        self.feeder = Feeder(db, redis, settings)
        self.tick()
        redis.hdel(f"{PREFIX}s:{carrier_scope(self.carrier)}", "tat")  # not the rest after a rebuild

    def fill(self, which: int, count: int) -> None:
        """``count`` more calls at the back of a lane; no trigger runs, what they would do is written here."""
        tenant, agent = self.names[which]
        params = {
            "first": self.first,
            "filled": self.filled[which],
            "count": count,
            "tenant": tenant,
            "agent": agent,
            "lane": self.lanes[which],
            "ids": f"01930000-{which:04x}-7000-",  # and going up with time, as version 7 does
        }
        with psycopg.connect(self.settings.database_url, autocommit=True) as conn:
            conn.execute("SET session_replication_role = replica")
            conn.execute(FILL.encode(), params)
        self.filled[which] += count

    def tick(self) -> int:
        """Attempts brought."""
        return self.feeder.tick(datetime.now(UTC), time.monotonic())

    def fill_lanes(self) -> None:
        while self.tick():
            pass

    @contextmanager
    def counted(self, tally: Tally) -> Iterator[None]:
        """CPU time of this process, of its Postgres connections and of its Redis; Linux tells it to the nanosecond."""
        cpu, clock = self._cpu_s(), time.perf_counter()
        yield
        tally.cpu_s += self._cpu_s() - cpu
        tally.clock_s += time.perf_counter() - clock

    def _cpu_s(self) -> float:
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'bench@%%'"
        with self.db.connection() as conn:
            rows = conn.execute(sql, ()).fetchall()
        pids = [pid for (pid,) in rows] + [int(self.redis.info("server")["process_id"])]
        return time.process_time() + sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9

    def take(self, tally: Tally) -> int:
        """Grants all that is laned; then, unmeasured, it is over, and as much comes at the back."""
        got: list[permits.Grant] = []
        while True:
            with self.counted(tally):
                while grants := (answer := permits.grant(self.redis, self.settings, self.carrier, "fs1", want=8)).grants:
                    got += grants
            if answer.limit == "empty":
                break
            time.sleep((answer.next_us or 1000) / 1e6)  # nobody has asked for a while, so the pacing counts from here
        tally.count += len(got)
        permits.release_all(self.redis, [(grant.attempt_id, grant.fence) for grant in got])
        with self.db.connection() as conn:
            conn.execute(END.encode(), {"ids": [grant.attempt_id for grant in got]})
        flood = sum(grant.lane == self.lanes[0] for grant in got)
        for which, count in enumerate((flood, len(got) - flood)):
            if count:
                self.fill(which, count)
        return len(got)

    def round(self) -> None:
        """What was laned is gone; as much is brought and granted; and a look with nothing to do."""
        self.fill_lanes()
        with self.counted(self.idle):
            self.tick()
        self.take(Tally())
        with self.counted(self.fed):
            brought = self.tick()
        self.fed.count += brought
        granted = self.take(self.granted)
        if brought < WINDOW or granted != brought:
            raise RuntimeError(f"{brought} attempts were brought, {granted} granted")

    def refill_ms(self) -> float:
        """ms that Postgres itself needs to find what the quiet lane is to be brought; the median of many, warm."""
        want = self.settings.lane_window_min
        params = {"lanes": [self.lanes[1]], "wants": [want], "after": [None], "upto": [None], "clock": None}
        taken = []
        for _ in range(REPEATS):
            with self.db.connection() as conn:
                conn.execute(laning._SQL["by_index"])
                explain = b"EXPLAIN (ANALYZE, FORMAT JSON) " + laning._SQL["refill"]
                ((plan,),) = conn.execute(explain, params).fetchall()
            if plan[0]["Plan"]["Actual Rows"] != want:
                raise RuntimeError(f"the quiet lane was to be brought {want}: {plan}")
            taken.append(float(plan[0]["Execution Time"]))
        return median(taken)

    def memory(self) -> float:
        """MB that Redis holds more than when it was empty."""
        self.fill_lanes()
        return (self._used() - self.empty_bytes) / 1e6

    def _used(self) -> int:
        return int(self.redis.info("memory")["used_memory"])

    def cancel_one(self) -> float:
        """ms to cancel one queued call."""
        tenant, _ = self.names[0]
        with self.db.connection() as conn:
            sql = "SELECT call_id FROM attempts WHERE lane = %s AND state = 'queued' ORDER BY due_at DESC, id DESC LIMIT 1"
            ((call,),) = conn.execute(sql, [self.lanes[0]]).fetchall()
        began = time.perf_counter()
        done = calls.request_hangup(self.db, tenant, call, "customer", datetime.now(UTC))
        taken = (time.perf_counter() - began) * 1000
        if done.kind != "canceled":
            raise RuntimeError(f"not canceled: {done}")
        return taken

    def cancel_all(self) -> float:
        """ms to cancel the flood."""
        began = time.perf_counter()
        tenants.cancel_queued(self.db, self.names[0][0], datetime.now(UTC))
        return (time.perf_counter() - began) * 1000

    def call_after_cancel(self) -> float:
        """ms from accepting the flood's tenant's next call until it is in the lane, where nothing else is left."""
        tenant, agent = self.names[0]
        now, began = datetime.now(UTC), time.perf_counter()
        new = NewCall(tenant, agent, "+12125550100", "+12125550101", "all", now, now + timedelta(days=1), 1, 30, 60)
        attempt = calls.accept_call(self.db, new, idempotency=None, now=now).attempt_id
        self.feeder.look_again()  # as the mark's notification does
        self.tick()
        taken = (time.perf_counter() - began) * 1000
        held = self.redis.lrange(f"rq:queue:{self.lanes[0]}", 0, -1)
        if held != [str(attempt).encode()]:
            raise RuntimeError(f"the lane holds {len(held)}")
        return taken

    def drain(self) -> float:
        """Canceled calls that the watchdog ends per second of its own."""
        began = time.perf_counter()
        ended = sum(sweep(self.db, self.settings, datetime.now(UTC)) for _ in range(5))
        return ended / (time.perf_counter() - began)


@contextmanager
def _closing(postgres: PostgresServer) -> Iterator[PostgresServer]:
    try:
        yield postgres
    finally:
        postgres.close()


@contextmanager
def _house(postgres: PostgresServer, queued: int) -> Iterator[House]:
    url = guests.create_database(postgres.url, "backlog")
    migrate(url)
    server = RedisServer()
    try:
        settings = Settings.model_validate(
            {
                "database_url": url, "redis_url": server.url, "db_statement_timeout_ms": 300_000,
                "lane_window_s": WINDOW / CPS, "feeder_batch": 2 * WINDOW,
            }
        )  # fmt: skip
        with open_database(settings, "bench", cooperative=False, wait_s=10) as db:
            yield House(db, connect(settings), settings, queued)
    finally:
        server.close()
