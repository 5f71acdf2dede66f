"""What a claim costs a tenant with caps after many dials, beside one with none before it: the sums are ready, so the same.

Two tenants with all five caps on one Postgres, their claims in turns on one connection. One has 10,000 dials behind it, as a
busy one has: all of the last minutes, most of them ended and not settled for good, 200 on the line. The best of some rounds
counts; a claim that looks at what changed (every two seconds one does) is told by itself, as the slowest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from bench import Ratio, Report, alternate
from lab.liberty import give_the_world
from settings import Settings
from store import agents, attempts, calls, caps, carriers, prices, tenants
from store.calls import NewCall
from store.migrate import migrate
from store.pool import Conn, Database, open_database
from store.prices import Price
from trunkline.servers import PostgresServer

USES, LIVE = 10_000, 200
ROUNDS, CLAIMS = 6, 150
_numbers = count(10_000_000)


def run() -> Report:
    server = PostgresServer()
    try:
        migrate(server.url)
        settings = Settings.model_validate({"database_url": server.url, "db_pool_size": 1})
        with open_database(settings, "bench", cooperative=False, wait_s=20) as db:
            prices.put(db, [Price("49", 60_000, 1000, 60)], actor="bench")
            carrier = carriers.put_carrier(db, name="c", max_channels=1000, cps=100)
            carriers.put_endpoint(db, carrier_id=carrier.id, gateway="g", address="127.0.0.1:5060")
            used, fresh = (House(db, carrier.id, name) for name in ("used", "fresh"))
            used.use(USES, LIVE)
            with db.connection() as conn:
                conn.execute("ANALYZE")
            found, peer = alternate(ROUNDS, used.rate, fresh.rate)
            slowest = used.slowest_ms
    finally:
        server.close()
    # As times: how many times dearer.
    return Report(
        [Ratio("claim", 1000 / found, 1000 / peer, f"ms a claim after {USES:,} dials", "a tenant's without any")],
        {"slowest claim": f"{slowest:.1f} ms", "claims of a round": CLAIMS},
    )


class House:
    """A tenant with caps that it does not use up."""

    def __init__(self, db: Database, carrier_id: UUID, name: str) -> None:
        self._db, self._carrier_id = db, carrier_id
        self.slowest_ms = 0.0
        self._tenant_id = tenants.create(db, name=name, webhook_url=None).id
        give_the_world(db, self._tenant_id)
        agent = agents.create(db, tenant_id=self._tenant_id, name="a", kind="websocket", url="ws://127.0.0.1:9000/")
        self._agent_id = agent.id
        caps.set_caps(
            db, self._tenant_id, actor="bench", calls_per_minute=1000, number_per_day=3, minutes_per_day=10**6,
            spend_per_day=10**12, new_prefixes_per_hour=20,
        )  # fmt: skip

    def use(self, uses: int, live: int) -> None:
        """So many dials, in the four minutes before the last; all but the last ``live`` have ended."""
        made = list(self._waiting(1))
        with self._db.connection() as conn:
            params = {"uses": uses, "live": live, "tenant": self._tenant_id, "call": made[0]}
            names: dict[str, str] = {}
            for table in ("calls", "attempts"):
                columns = _columns(conn, table)
                names |= {table: ", ".join(columns), f"{table}_r": ", ".join(f"r.{one}" for one in columns)}
            for statement in (_CALLS, _ATTEMPTS, _USES, _DAY):
                conn.execute(statement.format(**names).encode(), params)

    def rate(self) -> float:
        """Claims per second."""
        waiting = list(self._waiting(CLAIMS))
        began = time.perf_counter()
        for one in waiting:
            before = time.perf_counter()
            found = attempts.claim(self._db, one, fence=1, epoch=0, switch="fs1", carrier_id=self._carrier_id, pdd_s=25)
            assert isinstance(found, attempts.Claimed), found
            self.slowest_ms = max(self.slowest_ms, (time.perf_counter() - before) * 1000)
        passed = time.perf_counter() - began
        with self._db.connection() as conn:  # the rate cap is not what is measured
            conn.execute("UPDATE cap_uses SET at = at - interval '1 minute' WHERE tenant_id = %s", [self._tenant_id])
        return CLAIMS / passed

    def _waiting(self, many: int) -> Iterator[UUID]:
        now = datetime.now(UTC)
        for _ in range(many):
            call = NewCall(
                tenant_id=self._tenant_id,
                agent_id=self._agent_id,
                to_number=f"+49151{next(_numbers)}",
                from_number="+493012345678",
                route="all",
                due_at=now,
                expires_at=now + timedelta(hours=1),
                max_attempts=1,
                ring_timeout_s=30,
                max_duration_s=60,
            )
            yield calls.accept_call(self._db, call, idempotency=None, now=now).attempt_id


def _columns(conn: Conn, table: str) -> list[str]:
    """Those that can be written."""
    table_columns = "SELECT attname FROM pg_attribute WHERE NOT attisdropped AND attgenerated = '' AND "
    sql = table_columns + "attnum > 0 AND attrelid = %s::regclass"
    return [row[0] for row in conn.execute(sql, [table]).fetchall()]


# Copies of the one call that the API made, with what differs.
_CALLS = """
WITH model AS (SELECT c.* FROM calls c JOIN attempts a ON a.call_id = c.id WHERE a.id = %(call)s)
INSERT INTO calls ({calls}) SELECT {calls_r} FROM model m, generate_series(1, %(uses)s) n, LATERAL jsonb_populate_record(
    NULL::calls, to_jsonb(m) || jsonb_build_object('id', gen_random_uuid(), 'to_number', '+49160' || (10000000 + n),
        'status', CASE WHEN n > %(live)s THEN 'completed' ELSE 'in_progress' END)) r
"""
_ATTEMPTS = """
INSERT INTO attempts ({attempts}) SELECT {attempts_r} FROM calls c, attempts a, LATERAL jsonb_populate_record(
    NULL::attempts, to_jsonb(a) || jsonb_build_object('id', gen_random_uuid(), 'call_id', c.id,
        'state', CASE c.status WHEN 'completed' THEN 'ended' ELSE 'in_progress' END,
        'claimed_at', now() - interval '3 minutes', 'answered_at', now() - interval '2 minutes',
        'ended_at', CASE c.status WHEN 'completed' THEN now() - interval '1 minute' END)) r
WHERE a.id = %(call)s AND c.tenant_id = %(tenant)s AND c.id <> a.call_id
"""
_USES = """
INSERT INTO cap_uses (attempt_id, tenant_id, number, at, day, reserve_s, minute_micros, attempt_micros, increment_s,
                      seconds, micros)
SELECT a.id, c.tenant_id, c.to_number, now() - random() * interval '4 minutes' - interval '1 minute', current_date, 60,
       60000, 1000, 60, 60, 61000
FROM attempts a JOIN calls c ON c.id = a.call_id WHERE c.tenant_id = %(tenant)s AND a.state <> 'queued'
"""
_DAY = """
INSERT INTO cap_days SELECT tenant_id, day, sum(seconds), sum(micros), count(*) FROM cap_uses WHERE tenant_id = %(tenant)s
GROUP BY 1, 2
"""
