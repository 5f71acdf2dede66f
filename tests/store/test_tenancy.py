"""Row level security: every table that holds a tenant's rows is under it, and a tenant's transaction sees its own alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import PoolTimeout

from settings import Settings
from store import agents, calls, recordings, scopes, tenancy, tenants
from store.migrate import migrate
from store.pool import WEB_ROLE, Database, open_database
from store.scopes import Scope, tenant_scope
from store.tenancy import open_tenant_database
from trunkline import guests
from trunkline.servers import Server

#: The platform's own: no tenant's rows are in them. A new table is named here, or put under guard_tenant_table by its
#: migration (docs/security.md).
PLATFORM = {
    "audit_entries", "audit_personal", "audit_read", "budget_epoch", "callers_refused", "carrier_health", "carrier_orders",
    "carriers", "cdr_strangers", "endpoints", "gateway_loads", "gateway_states", "gateway_versions", "house_rules",
    "operator_keys", "operator_request_keys", "prices", "routes", "schema_migrations", "switches",
}  # fmt: skip


@pytest.fixture(scope="module")
def database(postgres_url: str) -> Iterator[Database]:
    with open_database(_settings(postgres_url), "test", cooperative=False, wait_s=60) as opened:
        yield opened


@pytest.fixture(scope="module")
def bound(postgres_url: str) -> Iterator[Database]:
    """The pool of tenants' requests, nobody's yet."""
    with open_tenant_database(_settings(postgres_url), cooperative=False, wait_s=60) as opened:
        yield opened


def _settings(url: str, **more: object) -> Settings:
    return Settings.model_validate({"database_url": url, "db_pool_size": 2, **more})


@dataclass(frozen=True)
class House:
    """A tenant with a row of every kind that a call brings about."""

    tenant_id: UUID
    agent_id: UUID
    call: calls.Accepted


@pytest.fixture(scope="module")
def houses(database: Database) -> tuple[House, House]:
    return _house(database, "ours"), _house(database, "theirs")


def _house(db: Database, name: str) -> House:
    tenant = tenants.create(db, name=name, webhook_url="https://example.com/hook")
    agent = agents.create(db, tenant_id=tenant.id, name="greeter", kind="announcement", audio="hello.wav")
    scopes.put(db, Scope(tenant_scope(tenant.id), max_channels=3))
    scopes.put(db, Scope(f"campaign:{tenant.id.hex}:spring", max_channels=3))
    call = _accept(db, tenant.id, agent.id, recording={"start": "answer", "notice": None, "days": 1})
    recordings.expect(db, call.attempt_id, datetime.now(UTC))
    calls.request_hangup(db, tenant.id, _accept(db, tenant.id, agent.id).call.id, "customer", datetime.now(UTC))
    return House(tenant.id, agent.id, call)


def _accept(db: Database, tenant_id: UUID, agent_id: UUID, **more: object) -> calls.Accepted:
    now = datetime.now(UTC)
    new = calls.NewCall(
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
        **more,  # type: ignore[arg-type]
    )
    key = calls.IdempotencyKey(secrets.token_hex(8), b"f" * 32)
    return calls.accept_call(db, new, idempotency=key, now=now)


def _rows(db: Database, query: str, *params: object) -> list[tuple[object, ...]]:
    with db.connection() as conn:
        return conn.execute(query.encode(), params).fetchall()


GUARDED = """
SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relrowsecurity AND c.relforcerowsecurity
  AND EXISTS (SELECT FROM pg_policies p
              WHERE p.tablename = c.relname AND p.policyname = 'own' AND p.roles = '{trunkline_web}')
  AND EXISTS (SELECT FROM pg_policies p WHERE p.tablename = c.relname AND p.policyname = 'system')"""


def test_every_table_is_under_the_rules_or_the_platforms_own(database: Database) -> None:
    tables = {row[0] for row in _rows(database, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")}
    guarded = {row[0] for row in _rows(database, GUARDED)}
    assert tables - guarded == PLATFORM, "SELECT guard_tenant_table('...') in its migration, or name it in PLATFORM here"


def test_what_the_platform_owns_refers_to_no_tenant(database: Database) -> None:
    """A table that has a tenant_id, or refers to one under the rules, is not the platform's, whatever the list says."""
    holds = _rows(
        database,
        "SELECT DISTINCT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'"
        " UNION SELECT k.conrelid::regclass::text FROM pg_constraint k JOIN pg_class r ON r.oid = k.confrelid"
        " WHERE k.contype = 'f' AND r.relforcerowsecurity",
    )
    assert {row[0] for row in holds} & PLATFORM == set()


def test_the_role_is_bound_by_the_rules(database: Database) -> None:
    with database.connection() as conn:
        found = tenancy.look(conn)
    assert (found.role, found.passes, found.may_enter, found.open_tables, found.blind) == (True, False, True, [], False)
    assert found.more == [], "a migration gave the role a right that store/sql/tenancy.sql takes for foreign"
    assert tenancy.weaknesses(found, None) == []


@pytest.mark.parametrize(
    ("statement", "more"),
    [
        ("ALTER ROLE trunkline_web LOGIN CREATEROLE", ["LOGIN", "CREATEROLE"]),
        ("GRANT pg_read_all_settings TO trunkline_web", ["member of pg_read_all_settings"]),
        ("GRANT TRUNCATE ON calls TO trunkline_web", ["TRUNCATE on calls"]),
        ("GRANT UPDATE ON carriers TO trunkline_web", ["UPDATE on carriers"]),
        ("GRANT INSERT ON carriers TO PUBLIC", ["INSERT on carriers"]),
        ("ALTER TABLE carriers OWNER TO trunkline_web", ["owner of carriers"]),
    ],
)
def test_a_right_that_no_migration_gave_is_seen(database: Database, statement: str, more: list[str]) -> None:
    with database.connection() as conn:
        conn.execute(statement.encode())
        found = tenancy.look(conn)
        conn.rollback()
    assert found.more == more
    [(what, _)] = tenancy.weaknesses(found, None)
    assert more[0] in what


def test_a_role_that_passes_by_the_rules_is_seen(database: Database) -> None:
    with database.connection() as conn:
        conn.execute("ALTER ROLE trunkline_web BYPASSRLS")
        found = tenancy.look(conn)
        conn.rollback()
    [(what, _)] = tenancy.weaknesses(found, None)
    assert "passes by row level security" in what


def test_a_tenant_sees_its_own_rows_alone(database: Database, bound: Database, houses: tuple[House, House]) -> None:
    seen_somewhere = 0
    for (table,) in _rows(database, GUARDED):
        count = f"SELECT count(*) FROM {table}"
        every, nobodys = _rows(database, count)[0][0], _rows(bound, count)[0][0]
        ours, theirs = (_rows(bound.of_tenant(house.tenant_id), count)[0][0] for house in houses)
        assert nobodys == 0, table
        assert ours + theirs == every, table  # type: ignore[operator]
        seen_somewhere += ours > 0 and theirs > 0  # type: ignore[operator]
    assert seen_somewhere >= 11


def test_the_same_pool_serves_one_tenant_after_the_other(bound: Database, houses: tuple[House, House]) -> None:
    for house in (*houses, *houses):
        assert _rows(bound.of_tenant(house.tenant_id), "SELECT id FROM tenants") == [(house.tenant_id,)]
    assert _rows(bound, "SELECT id FROM tenants") == []


def test_a_pool_of_the_systems_is_bound_for_one_transaction(database: Database, houses: tuple[House, House]) -> None:
    ours = database.of_tenant(houses[0].tenant_id)
    assert _rows(ours, "SELECT current_user::text, id FROM tenants") == [(WEB_ROLE, houses[0].tenant_id)]
    assert len(_rows(database, "SELECT id FROM tenants")) == 2


def test_a_call_is_accepted_under_the_rules_and_not_for_another(bound: Database, houses: tuple[House, House]) -> None:
    ours, theirs = houses
    assert _accept(bound.of_tenant(ours.tenant_id), ours.tenant_id, ours.agent_id).call.tenant_id == ours.tenant_id
    with pytest.raises(calls.UnknownTenant):
        _accept(bound.of_tenant(ours.tenant_id), theirs.tenant_id, theirs.agent_id)
    with pytest.raises(calls.UnknownAgent):
        _accept(bound.of_tenant(ours.tenant_id), ours.tenant_id, theirs.agent_id)
    with pytest.raises(calls.UnknownTenant):
        _accept(bound, ours.tenant_id, ours.agent_id)


WRITES = {
    "another's event": "INSERT INTO call_events (call_id, dedupe, source, type, at)"
    " VALUES (%(call)s, 'x', 'api', 'x', now())",
    "another's command": "INSERT INTO call_commands (id, call_id, attempt_id, verb, requested_by)"
    " VALUES (gen_random_uuid(), %(call)s, %(attempt)s, 'hangup', 'customer')",
    "another's attempt": "INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)"
    " VALUES (gen_random_uuid(), %(call)s, 9, 'dial.normal.' || replace(%(own)s::text, '-', '') || '.all', now(), now())",
    "an attempt in another's lane": "INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)"
    " VALUES (gen_random_uuid(), %(own_call)s, 9, 'dial.bulk.' || replace(%(other)s::text, '-', '') || '.a', now(), now())",
    "another's webhook": "INSERT INTO outbox (id, tenant_id, call_id, sequence, type, body, url)"
    " VALUES (gen_random_uuid(), %(other)s, %(call)s, 99, 'x', '{}', 'x')",
    "a call given away": "UPDATE calls SET tenant_id = %(other)s WHERE id = %(own_call)s",
    "its own weight": "UPDATE tenants SET weight = 1000 WHERE id = %(own)s",
    "its own limit": "UPDATE scopes SET max_channels = 1000",
    "a carrier's secret": "SELECT secret_env FROM carriers",
    "who called in": "SELECT last_number FROM callers_refused",
}


@pytest.mark.parametrize("what", WRITES)
def test_nothing_of_anothers_can_be_written(bound: Database, houses: tuple[House, House], what: str) -> None:
    ours, theirs = houses
    params = {
        "call": theirs.call.call.id,
        "attempt": theirs.call.attempt_id,
        "other": theirs.tenant_id,
        "own": ours.tenant_id,
        "own_call": ours.call.call.id,
    }
    with pytest.raises(psycopg.errors.InsufficientPrivilege), bound.of_tenant(ours.tenant_id).connection() as conn:
        conn.execute(WRITES[what].encode(), params)


def test_after_a_commit_in_the_middle_nothing_is_to_be_seen(bound: Database, houses: tuple[House, House]) -> None:
    with bound.of_tenant(houses[0].tenant_id).connection() as conn:
        assert len(conn.execute("SELECT FROM calls").fetchall()) > 0
        conn.commit()
        assert conn.execute("SELECT FROM calls").fetchall() == []


@pytest.fixture
def plain_owner(postgres: Server) -> Iterator[str]:
    """The address of an empty database whose owner may nothing else, as most hosted ones are."""
    name, word = f"trunkline_owner_{secrets.token_hex(4)}", secrets.token_hex(16)
    url = guests.create_database(postgres.url, "owned")
    role, base = sql.Identifier(name), sql.Identifier(guests.database_name(url))
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(word)))
        conn.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(base, role))
    params = psycopg.conninfo.conninfo_to_dict(url) | {"user": name, "password": word}
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(role))
    yield psycopg.conninfo.make_conninfo("", **params)
    guests.drop_database(postgres.url, url)
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(sql.SQL("REVOKE trunkline_web FROM {}").format(role))
        conn.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.usefixtures("migrated_template")
def test_an_owner_who_is_no_superuser_is_told_what_to_do_and_then_all_works(plain_owner: str, postgres: Server) -> None:
    name = psycopg.conninfo.conninfo_to_dict(plain_owner)["user"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"GRANT trunkline_web TO {name}"):
        migrate(plain_owner)
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(sql.SQL("GRANT trunkline_web TO {}").format(sql.Identifier(str(name))))
    migrate(plain_owner)
    with open_database(_settings(plain_owner), "test", cooperative=False, wait_s=60) as system:
        with system.connection() as conn:
            seen = tenancy.look(conn)
            assert tenancy.weaknesses(seen, None) == []
            assert (seen.role, seen.passes, seen.may_enter, seen.open_tables, seen.blind) == (True, False, True, [], False)
            assert (seen.more, seen.login, name in seen.others) == ([], name, False)
        ours, theirs = _house(system, "ours"), _house(system, "theirs")
        # The owner, whom FORCE binds too, goes by the system's policy.
        assert len(_rows(system, "SELECT id FROM calls")) == 4
        with open_tenant_database(_settings(plain_owner), cooperative=False, wait_s=60) as bound:
            assert len(_rows(bound.of_tenant(theirs.tenant_id), "SELECT id FROM calls")) == 2
            _accept(bound.of_tenant(ours.tenant_id), ours.tenant_id, ours.agent_id)
            assert len(_rows(bound.of_tenant(ours.tenant_id), "SELECT id FROM calls")) == 3


def test_a_login_of_its_own_needs_the_role_and_no_more(
    postgres: Server, postgres_url: str, houses: tuple[House, House], caplog: pytest.LogCaptureFixture
) -> None:
    name, word = f"trunkline_login_{secrets.token_hex(4)}", secrets.token_hex(16)
    role = sql.Identifier(name)
    params = psycopg.conninfo.conninfo_to_dict(postgres_url) | {"user": name, "password": word}
    own = psycopg.conninfo.make_conninfo("", **params)
    with psycopg.connect(postgres.url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(word)))
        try:
            with pytest.raises(PoolTimeout):
                open_tenant_database(_settings(postgres_url, web_database_url=own), cooperative=False, wait_s=3)
            assert f"GRANT trunkline_web TO {name}" in caplog.text
            conn.execute(sql.SQL("GRANT trunkline_web TO {}").format(role))
            with open_tenant_database(_settings(postgres_url, web_database_url=own), cooperative=False, wait_s=60) as bound:
                assert _rows(bound.of_tenant(houses[0].tenant_id), "SELECT id FROM tenants") == [(houses[0].tenant_id,)]
                assert _rows(bound, "SELECT id FROM tenants") == []
            # One that may more is none of ours: web does not start with it, and none of its connections serves anybody.
            settings = _settings(postgres_url, web_database_url=own)
            tenancy.require_bound(settings)
            conn.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(role))
            with pytest.raises(tenancy.Unbound, match=r"beyond trunkline_web's [(]member of pg_read_all_data"):
                tenancy.require_bound(settings)
            with pytest.raises(PoolTimeout):
                open_tenant_database(settings, cooperative=False, wait_s=3)
            with pytest.raises(tenancy.Unbound, match="has the rights of the tables' owner"):
                tenancy.require_bound(_settings(postgres_url, web_database_url=postgres_url))
            # Another login that may take on the role here is told.
            with psycopg.connect(postgres_url) as owner:
                assert name in tenancy.look(owner).others
        finally:
            conn.execute(sql.SQL("DROP ROLE {}").format(role))
