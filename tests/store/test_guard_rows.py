"""Suppressions, caps and the ledger as tenants' requests meet them: bound by row level security, whatever a WHERE says."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from calls.retry import RetryRules
from store import audit, caps, suppressions
from store.pool import Conn, Database, open_database
from store.queue import clock
from store.suppressions import Provenance
from tests.store.conftest import World, at, enterprise, settings_for

WHENCE = Provenance("api", "hotline", at(0), "tenant:acme")


@pytest.fixture
def bound(world: World) -> Iterator[Database]:
    """As web serves the tenant's requests."""

    def enter(conn: Conn) -> None:
        conn.execute("SET ROLE trunkline_web")
        conn.execute("SELECT set_config('trunkline.tenant', %s, false)", [str(world.tenant.id)])
        conn.commit()

    with open_database(
        settings_for(world.url, db_pool_size=2), "test", cooperative=False, wait_s=60, warm=enter
    ) as database:
        yield database


def test_a_tenants_request_adds_lists_and_lifts(world: World, bound: Database) -> None:
    to = "+4930300001"
    call = world.accept(to_number=to, retry=RetryRules())
    entry, added = suppressions.add(bound, world.tenant.id, to, WHENCE, clock(world.db))
    assert (added.new, added.ended) == (1, 1)
    assert world.call(call.call.id).status == "canceled"
    assert suppressions.get(bound, world.tenant.id, entry.id) == entry
    lifted = suppressions.lift(bound, world.tenant.id, entry.id, by="tenant:acme", reason="x", now=at(9))
    assert lifted is not None
    told = [one.action for one in audit.list_entries(world.db, 2)]
    assert told == ["suppression.lifted", "suppression.created"]


def test_it_sees_and_writes_its_own_alone_and_learns_that_nobody_calls_a_number(world: World, bound: Database) -> None:
    stranger, number = enterprise(world.db, world.url), "+4930300002"
    for owner in (None, stranger.tenant.id, world.tenant.id):
        suppressions.add(world.db, owner, number, WHENCE, clock(world.db))
    with bound.connection() as conn:
        rows = conn.execute("SELECT tenant_id FROM suppressions WHERE number = %s", [number]).fetchall()
        assert rows == [(world.tenant.id,)]
        assert conn.execute("SELECT nobody_calls(%s), nobody_calls('+4930300009')", [number]).fetchone() == (True, False)
        # Not to be had by giving it to oneself, either.
        for owned in ("tenant_id IS NULL", "tenant_id IS DISTINCT FROM current_tenant()"):
            changed = conn.execute(f"UPDATE suppressions SET lifted_at = now(), lifted_by = 'x' WHERE {owned}".encode())
            assert changed.rowcount == 0
    for owner in (None, stranger.tenant.id):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            suppressions.add(bound, owner, "+4930300003", WHENCE, at(0))
    for change in ("tenant_id = current_tenant()", "note = 'x'", "number = '+4930300003'"):
        with bound.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"UPDATE suppressions SET {change}".encode())


def test_it_reads_its_caps_and_changes_none(world: World, bound: Database) -> None:
    stranger = enterprise(world.db, world.url)
    for one in (world, stranger):
        caps.set_caps(world.db, one.tenant.id, actor="operator:test", calls_per_minute=5)
    assert world.claim(world.accept().attempt_id)
    mine = caps.used(bound, world.tenant.id, at(2))
    assert mine is not None
    assert mine.dials == 1
    assert caps.used(bound, stranger.tenant.id, at(2)) is None
    forbidden = ("UPDATE tenant_caps SET calls_per_minute = 99", "DELETE FROM cap_uses", "UPDATE tenants SET capped = false")
    for statement in forbidden:
        with bound.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())


def test_it_adds_to_the_ledger_and_reads_none_of_it(bound: Database) -> None:
    with bound.connection() as conn:
        audit.record(conn, actor="key:x", action="key.created", subject="key:y", data={}, personal={"name": "Ada"})
    for table in ("audit_entries", "audit_personal", "audit_read", "prices"):
        with bound.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"SELECT * FROM {table}".encode())
    for statement in ("DELETE FROM audit_entries", "UPDATE audit_entries SET place = 1", "TRUNCATE audit_entries"):
        with bound.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())


def test_nobody_puts_an_entry_into_the_chain_but_whoever_seals(world: World, bound: Database) -> None:
    columns, values = "id, actor, action, subject, data", "gen_random_uuid(), 'operator:x', 'x.y', 'z:z', '{}'"
    sealed = f"INSERT INTO audit_entries ({columns}, place, previous, hash) VALUES ({values}, 9, sha256('x'), sha256('x'))"
    dated = f"INSERT INTO audit_entries ({columns}, at) VALUES ({values}, '2020-01-01')"
    erased = "INSERT INTO audit_personal (id, erased_at) VALUES (gen_random_uuid(), now())"
    for statement in (sealed, dated, erased):
        with bound.connection() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())
    with world.db.connection() as conn, pytest.raises(psycopg.errors.RestrictViolation, match="no place yet"):
        conn.execute(sealed.encode())
    audit.note(bound, actor="key:x", action="key.created", subject="key:y", data={})
    assert audit.seal(world.db) >= 1
    assert audit.verify(world.db).faults == ()
