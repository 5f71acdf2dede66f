"""A small enterprise in a real Postgres: tenant, agent, carrier, endpoint, and calls made on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from calls.evidence import End, Evidence, Source, State
from calls.retry import RetryRules
from lab.liberty import give_the_world
from settings import Settings
from store import agents, attempts, call_list, calls, carriers, tenants
from store.pool import Database, open_database
from store.rows import Attempt, Call

#: In the past of every machine, because Postgres never takes for due or overdue what its own clock does not.
T0 = datetime(2026, 1, 21, 12, 0, 0, 123456, tzinfo=UTC)
RULES = RetryRules()
TIMERS = attempts.FixedTimers(pdd_s=25, ring_grace_s=5.0, duration_grace_s=30.0)
_numbers = count(1)


def at(seconds: float) -> datetime:
    """T0 + seconds."""
    return T0 + timedelta(seconds=seconds)


def listed(db: Database, tenant_id: UUID, limit: int, before: UUID | None = None, status: str | None = None) -> list[Call]:
    """The tenant's calls, newest first, only those older than ``before``."""
    page = call_list.page(db, tenant_id, limit, call_list.Filters(status=status), after=before)
    return [shown.call for shown in page.calls]


@dataclass
class World:
    """One tenant with a webhook, one agent, one carrier; short ways to make and move calls."""

    db: Database
    url: str
    tenant: tenants.Tenant
    agent_id: UUID
    carrier_id: UUID
    keys: Iterator[int] = field(default_factory=lambda: count(1))

    def new(self, **changes: Any) -> calls.NewCall:
        call = calls.NewCall(
            tenant_id=self.tenant.id,
            agent_id=self.agent_id,
            to_number="+4915112345678",
            from_number="+493012345678",
            route="all",
            due_at=T0,
            expires_at=at(3600),
            max_attempts=3,
            ring_timeout_s=30,
            max_duration_s=600,
        )
        return replace(call, **changes)

    def accept(self, **changes: Any) -> calls.Accepted:
        return calls.accept_call(self.db, self.new(**changes), idempotency=None, now=T0)

    def claim(self, attempt_id: UUID, **changes: Any) -> attempts.Claimed | attempts.Refused:
        arguments: dict[str, Any] = {
            "fence": 1,
            "epoch": 0,
            "switch": "fs1",
            "carrier_id": self.carrier_id,
            "pdd_s": 25,
            **changes,
        }
        now = arguments.pop("now", at(1))
        return attempts.claim(self.db, attempt_id, **{"clock": now, **arguments})

    def dialing(self, **changes: Any) -> calls.Accepted:
        accepted = self.accept(**changes)
        assert isinstance(self.claim(accepted.attempt_id), attempts.Claimed)
        return accepted

    def seen(self, attempt_id: UUID, state: State, seconds: float, key: str | None = None) -> Evidence:
        return Evidence(attempt_id, key or f"core:{next(self.keys)}", Source.EVENT, state, at(seconds))

    def ended(
        self,
        attempt_id: UUID,
        cause: str,
        seconds: float,
        *,
        key: str | None = None,
        source: Source = Source.EVENT,
        **known: Any,
    ) -> Evidence:
        end = End(cause=cause, at=at(seconds), **known)
        return Evidence(attempt_id, key or f"core:{next(self.keys)}", source, State.ENDED, at(seconds), end)

    def busy(self, attempt_id: UUID, seconds: float, **known: Any) -> Evidence:
        return self.ended(
            attempt_id, "USER_BUSY", seconds, q850_cause=17, sip_code=486, sip_phrase="Busy Here",
            disposition="recv_refuse", **known,
        )  # fmt: skip

    def answered_end(self, attempt_id: UUID, seconds: float, answered: float, **known: Any) -> Evidence:
        return self.ended(
            attempt_id, "NORMAL_CLEARING", seconds, q850_cause=16, sip_code=200, disposition="recv_bye",
            answered_at=at(answered), **known,
        )  # fmt: skip

    def apply(self, *batch: Evidence, seconds: float = 10, rules: RetryRules = RULES) -> list[attempts.Applied]:
        return attempts.apply_evidence(self.db, batch, rules=rules, timers=TIMERS, now=at(seconds))

    def call(self, call_id: UUID) -> Call:
        call = calls.get_call(self.db, self.tenant.id, call_id)
        assert call is not None
        return call

    def attempt_list(self, call_id: UUID) -> list[Attempt]:
        return calls.list_attempts(self.db, self.tenant.id, call_id)

    def told(self, call_id: UUID) -> list[tuple[int, str]]:
        """(sequence, type) of every webhook of the call."""
        sql = "SELECT sequence, type FROM outbox WHERE call_id = %s ORDER BY sequence"
        return [(row[0], row[1]) for row in self.rows(sql, call_id)]

    def logged(self, call_id: UUID) -> list[str]:
        return [event.type for event in calls.list_events(self.db, self.tenant.id, call_id)]

    def rows(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as conn:
            return conn.execute(sql.encode(), params).fetchall()

    def execute(self, sql: str, *params: object) -> None:
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(sql.encode(), params)


def settings_for(url: str, **changes: Any) -> Settings:
    return Settings.model_validate({"database_url": url, **changes})


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    database = open_database(settings_for(postgres_url, db_pool_size=16), "test", cooperative=False, wait_s=60)
    yield database
    database.close()


@pytest.fixture
def world(db: Database, postgres_url: str) -> World:
    return enterprise(db, postgres_url)


def enterprise(db: Database, postgres_url: str) -> World:
    """One more, beside all others."""
    number = next(_numbers)
    tenant = tenants.create(db, name=f"acme-{number}-{uuid4().hex[:6]}", webhook_url="https://acme.example/hook")
    give_the_world(db, tenant.id)
    agent = agents.create(db, tenant_id=tenant.id, name="bot", kind="websocket", url="ws://127.0.0.1:9000/")
    carrier = carriers.put_carrier(db, name=f"c{number}-{uuid4().hex[:6]}", max_channels=10, cps=5)
    carriers.put_endpoint(db, carrier_id=carrier.id, gateway=f"gw{number}-{uuid4().hex[:6]}", address="127.0.0.1:5060")
    return World(db, postgres_url, tenant, agent.id, carrier.id)
