"""Evidence applied in batches as the event writer does, beside one transaction an event; its cost with 5,000 live calls.

One private Postgres that is in earnest: fsync and synchronous commit are on. Both write the same rows by the same code,
over one connection each, in turns; what differs is how many events a transaction holds. Then the event writer itself, in a
process as a controller is, is given events at a steady pace: from the moment an event is recorded until its row is
committed. The cost of an event is CPU, this process' and its Postgres connection's, in a house with few live calls and in
one with many.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from os import getloadavg
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg

from bench import Ratio, Report, alternate
from calls.evidence import Evidence
from calls.retry import RetryRules
from lab.stories import SHAPES, draw
from settings import Settings
from store import agents, attempts, carriers, tenants
from store.migrate import migrate
from store.pool import Database, open_database
from trunkline import guests
from trunkline.servers import PostgresServer, RedisServer

#: Calls of a round; events of one transaction, as the settings have it.
CALLS, BATCH = 50, 50
ROUNDS = 5
FEW, MANY = 100, 5_000
FLAT_ROUNDS = 8
#: Events a second, and for how long, of the paced stream.
PACE, PACED_S = 200, 5.0
_LIMIT_S = 300.0

FILL = """
WITH one AS (SELECT * FROM unnest(%(calls)s::uuid[], %(attempts)s::uuid[]) AS one(call, attempt)), call AS (
    INSERT INTO calls (id, tenant_id, agent_id, to_number, from_number, route, lane, status, status_at, max_attempts,
                       ring_timeout_s, max_duration_s, due_at, expires_at, created_at, sequence)
    SELECT call, %(tenant)s, %(agent)s, '+12125550100', '+12125550101', 'all', 'bench', 'dialing', %(at)s, 1,
           30, 600, %(at)s, %(at)s::timestamptz + interval '1 day', %(at)s, 2 FROM one
)
INSERT INTO attempts (id, call_id, number, lane, state, due_at, created_at, deadline_at, switch, carrier_id, gateway, fence,
                      epoch, claimed_at)
SELECT attempt, call, 1, 'bench', 'dialing', %(at)s, %(at)s, %(at)s::timestamptz + interval '25 s', 'fs1', %(carrier)s,
       'bench', 1, 0, %(at)s FROM one
"""


def run() -> Report:
    before = getloadavg()[0]
    server = PostgresServer(durable=True)
    redis = RedisServer()
    try:
        command = "from gevent import monkey; monkey.patch_all(); import runpy; "
        command += "runpy.run_module('bench.events', run_name='__main__')"
        done = subprocess.run(
            [sys.executable, "-c", command, server.url, redis.url],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
        )
    finally:
        redis.close()
        server.close()
    found = json.loads(done.stdout)
    (ours, peer), (many, few) = found["rate"], found["flat"]
    return Report(
        [
            Ratio("rate", ours, peer, "events per second", "one transaction an event"),
            Ratio("flat", many, few, f"CPU us per event, {MANY:,} live calls", f"with {FEW}"),
        ],
        {
            "event_to_row_p50_ms": round(found["p50_ms"], 1),
            "event_to_row_p99_ms": round(found["p99_ms"], 1),
            "paced": f"{found['paced']} events at {PACE} a second",
            "cpu_us_per_event": round(many),
            "load_average": f"{before:.1f} to {getloadavg()[0]:.1f}",
        },
    )


class House:
    """A database with so many live calls; ``events`` tells what becomes of some of them, and as many new ones begin."""

    def __init__(self, url: str, live: int) -> None:
        self.settings = Settings.model_validate({"database_url": url, "db_pool_size": 2})
        migrate(url)
        self.db: Database = open_database(self.settings, "bench", cooperative=True, wait_s=10)
        self._rules = RetryRules.of(self.settings)
        tenant = tenants.create(self.db, name="bench", webhook_url="https://example.invalid/")
        agent = agents.create(self.db, tenant_id=tenant.id, name="bench", kind="websocket", url="ws://127.0.0.1:1/")
        carrier = carriers.put_carrier(self.db, name="bench", max_channels=10_000, cps=1000)
        self._names = {"tenant": tenant.id, "agent": agent.id, "carrier": carrier.id}
        self._random, self._ids = Random(live), count(1)
        self._live: list[UUID] = []
        self._fill(live)

    @property
    def live(self) -> list[UUID]:
        """Attempts that live."""
        return list(self._live)

    @property
    def carrier(self) -> UUID:
        """Whose calls they are."""
        return self._names["carrier"]

    def _fill(self, more: int) -> None:
        numbers = [next(self._ids) for _ in range(more)]
        fresh = [UUID(int=(0x01930000 << 96) + (7 << 76) + (9 << 60) + number) for number in numbers]
        calls = [UUID(int=one.int + (1 << 56)) for one in fresh]
        params = {**self._names, "calls": calls, "attempts": fresh, "at": datetime.now(UTC) - timedelta(seconds=5)}
        with psycopg.connect(self.settings.database_url, autocommit=True) as conn:
            conn.execute("SET session_replication_role = replica")
            conn.execute(FILL.encode(), params)
            conn.execute("ANALYZE")
        self._live += fresh

    def events(self, calls: int) -> list[Evidence]:
        """Everything that is seen of ``calls`` calls which live now, in the order in which a switch would tell it."""
        began = datetime.now(UTC) - timedelta(minutes=30)
        self._random.shuffle(self._live)
        chosen, self._live = self._live[:calls], self._live[calls:]
        told: list[Evidence] = []
        for attempt in chosen:
            story = draw(self._random, ring_timeout_s=30, pdd_s=25)
            while story.shape not in SHAPES[:7]:  # with three events at the least, and no retry to be written
                story = draw(self._random, ring_timeout_s=30, pdd_s=25)
            told += story.seen(attempt, began, f"{attempt}:{{}}".format)
        self._fill(calls)
        return sorted(told, key=lambda evidence: evidence.at)

    def apply(self, batch: Sequence[Evidence]) -> None:
        attempts.apply_evidence(self.db, batch, rules=self._rules, timers=self.settings, now=datetime.now(UTC))

    def rate(self, size: int) -> float:
        """Events per second by the clock, ``size`` of them in one transaction."""
        events = self.events(CALLS)
        began = time.perf_counter()
        for batch in _cut(events, size):
            self.apply(batch)
        return len(events) / (time.perf_counter() - began)

    def cpu_us(self) -> float:
        """us of CPU per event."""
        events = self.events(CALLS)
        before = self._cpu_s()
        for batch in _cut(events, BATCH):
            self.apply(batch)
        return (self._cpu_s() - before) / len(events) * 1e6

    def _cpu_s(self) -> float:
        sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'bench@%%'"
        with self.db.connection() as conn:
            pids = [pid for (pid,) in conn.execute(sql, ()).fetchall()]
        return time.process_time() + sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def _cut(events: Sequence[Evidence], size: int) -> Iterator[Sequence[Evidence]]:
    return (events[i : i + size] for i in range(0, len(events), size))


def measure(server_url: str, redis_url: str) -> dict[str, Any]:
    """In a process as a controller's is."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        houses = []
        for live in (FEW, MANY):
            url = guests.create_database(server_url, "events")
            stack.callback(guests.drop_database, server_url, url)
            house = House(url, live)
            stack.enter_context(closing(house.db))
            houses.append(house)
        few, many = houses
        few.rate(BATCH), few.rate(1)  # warm
        found["rate"] = alternate(ROUNDS, lambda: few.rate(BATCH), lambda: few.rate(1))
        pairs = [(many.cpu_us(), few.cpu_us()) for _ in range(FLAT_ROUNDS)]
        found["flat"] = min(ours for ours, _ in pairs), min(peer for _, peer in pairs)
        delays = paced(few, redis_url)
        cut = quantiles(delays, n=100)
        found |= {"p50_ms": cut[49] * 1000, "p99_ms": cut[98] * 1000, "paced": len(delays)}
    return found


def paced(house: House, redis_url: str) -> list[float]:
    """s from the record of each event until its transaction is committed, through the event writer itself."""
    import gevent

    from budget.connect import connect
    from controller import writer
    from controller.board import Board
    from controller.esl import EslLink

    settings = house.settings.model_copy(update={"redis_url": redis_url, "esl_password": "bench"})
    board = Board(settings, house.db, connect(settings), EslLink(settings), EslLink(settings, role="events"))
    ours = writer.EventWriter(board, RetryRules.of(settings))
    recorded: dict[tuple[UUID, str], float] = {}
    delays: list[float] = []
    sound = attempts.apply_evidence

    def timed(db: Database, batch: Sequence[Evidence], **options: Any) -> Any:
        done = sound(db, batch, **options)
        now = time.perf_counter()
        delays.extend(now - recorded.pop((evidence.attempt_id, evidence.key)) for evidence in batch)
        return done

    with closing(board.redis), patch.object(attempts, "apply_evidence", timed):
        shards = ours.run()
        events = house.events(int(PACE * PACED_S / 4))
        began = time.perf_counter()
        for number, evidence in enumerate(events):
            gevent.sleep(max(0.0, began + number / PACE - time.perf_counter()))
            recorded[evidence.attempt_id, evidence.key] = time.perf_counter()
            ours.record(evidence)
        with gevent.Timeout(30):
            while ours.backlog:
                gevent.sleep(0.01)
        gevent.killall(shards)
    return delays


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
