"""What row level security costs: accepts and reads as a tenant's, beside the same as the owner's, who is not bound by it.

The same store functions on one connection each, in turns, on a private Postgres whose owner is a superuser, with 2,000
calls of 20 tenants. What a tenant's transaction has more: one statement that binds it, sent with its BEGIN, and the rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from bench import Ratio, Report, alternate
from settings import Settings
from store import agents, calls, tenants
from store.calls import NewCall
from store.migrate import migrate
from store.pool import Database, open_database
from store.tenancy import open_tenant_database
from trunkline.servers import PostgresServer

TENANTS, CALLS = 20, 2_000
ROUNDS = 6
#: s; one side's turn.
TURN_S = 1.0
PAGE = 51


def run() -> Report:
    server = PostgresServer()
    try:
        migrate(server.url)
        settings = Settings.model_validate({"database_url": server.url, "db_pool_size": 1})
        with open_database(settings, "bench", cooperative=False, wait_s=20) as owner:
            ids = [_tenant(owner, f"tenant-{number}") for number in range(TENANTS)]
            for number in range(CALLS):
                calls.accept_call(owner, _new(*ids[number % TENANTS]), idempotency=None, now=datetime.now(UTC))
            with owner.connection() as conn:
                conn.execute("ANALYZE")
            with open_tenant_database(settings, cooperative=False, wait_s=20) as bound:
                return _measure(owner, bound.of_tenant(ids[0][0]), *ids[0])
    finally:
        server.close()


def _measure(owner: Database, bound: Database, tenant_id: UUID, agent_id: UUID) -> Report:
    def accept(db: Database) -> None:
        calls.accept_call(db, _new(tenant_id, agent_id), idempotency=None, now=datetime.now(UTC))

    known = calls.list_calls(owner, tenant_id, 1, None, None)[0].id

    def read(db: Database) -> None:
        calls.get_call(db, tenant_id, known)

    def page(db: Database) -> None:
        calls.list_calls(db, tenant_id, PAGE, None, None)

    def events(db: Database) -> None:
        calls.list_events(db, tenant_id, known)

    ratios = []
    for name, work in (("accept", accept), ("read", read), ("page", page), ("events", events)):
        ours, peer = alternate(ROUNDS, lambda work=work: _rate(bound, work), lambda work=work: _rate(owner, work))  # type: ignore[misc]
        ratios.append(Ratio(name, ours, peer, "per second", "the owner's connection"))
    return Report(ratios, {"calls": CALLS, "tenants": TENANTS, "rounds": ROUNDS, "turn_s": TURN_S})


def _rate(db: Database, work: Callable[[Database], None]) -> float:
    began, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < TURN_S:
        work(db)
        done += 1
    return done / passed


def _tenant(db: Database, name: str) -> tuple[UUID, UUID]:
    tenant = tenants.create(db, name=name, webhook_url="https://example.com/hook")
    return tenant.id, agents.create(db, tenant_id=tenant.id, name="a", kind="announcement", audio="a.wav").id


def _new(tenant_id: UUID, agent_id: UUID) -> NewCall:
    now = datetime.now(UTC)
    return NewCall(
        tenant_id=tenant_id,
        agent_id=agent_id,
        to_number="+4930123456",
        from_number="+442079460000",
        route="all",
        due_at=now,
        expires_at=now + timedelta(hours=1),
        max_attempts=1,
        ring_timeout_s=30,
        max_duration_s=60,
    )
