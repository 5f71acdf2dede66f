"""The ledger on real Postgres: entries are kept as they were, in their order, and what is personal can go."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from store import audit
from store.audit import Head
from tests.store.conftest import World
from tests.store.threads import results, together


def put(world: World, n: int = 1, **more: object) -> None:
    for number in range(n):
        with world.db.connection() as conn:
            audit.record(
                conn, actor="operator:ops", action="carrier.changed", subject="carrier:acme", data={"n": number, **more}
            )


def put_personal(world: World) -> UUID:
    with world.db.connection() as conn:
        audit.record(
            conn, actor="tenant:x", action="suppression.created", subject="suppressions:x", data={"n": 1},
            personal={"numbers": ["+4915112345678"], "name": "Zoë"},
        )  # fmt: skip
    return audit.list_entries(world.db, 1)[0].id


def seal_all(world: World) -> None:
    while audit.seal(world.db):
        pass


def owner(world: World, sql: str, *params: object) -> None:
    """What only the tables' owner can do, having laid the trigger aside first."""
    with psycopg.connect(world.url) as conn:
        conn.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        conn.execute(sql.encode(), params)
        conn.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")


@pytest.fixture(autouse=True)
def _empty(world: World) -> None:
    owner(world, "TRUNCATE audit_entries, audit_personal")


def test_entries_get_their_place_in_order_and_hold(world: World) -> None:
    put(world, 3)
    before = audit.verify(world.db)
    assert (before.sealed, before.waiting, before.faults) == (0, 3, ())
    seal_all(world)
    put(world)
    seal_all(world)
    found = audit.verify(world.db)
    assert (found.sealed, found.waiting, found.faults) == (4, 0, ())
    assert [entry.place for entry in audit.sealed(world.db)] == [1, 2, 3, 4]
    assert [entry.data["n"] for entry in audit.sealed(world.db)] == [0, 1, 2, 0]
    assert found.head == audit.head(world.db)


def test_a_number_never_stands_where_it_could_not_be_erased(world: World) -> None:
    audit.note(
        world.db, actor="cli:x", action="number.put", subject="number:+4930123456", personal={"numbers": ["+442079460000"]},
        data={"why": "+4915112345678 asked, as +4930123456", "of": ["+442079460000", {"+4915112345678": 1}], "to": "+4930"},
    )  # fmt: skip
    (entry,) = audit.list_entries(world.db, 1)
    assert (entry.subject, entry.data) == (
        "number:[number 2]",
        {"why": "[number 3] asked, as [number 2]", "of": ["[number 1]", {"[number 3]": 1}], "to": "+4930"},
    )
    assert audit.personal_of(world.db, [entry]) == {
        entry.id: {"numbers": ["+442079460000", "+4930123456", "+4915112345678"]}
    }
    seal_all(world)
    assert audit.erase(world.db, actor="cli:x", holding={"numbers": ["+4915112345678"]}) == 1
    seal_all(world)
    assert audit.verify(world.db).faults == ()


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'operator:eve'", "action = 'carrier.removed'", "subject = 'carrier:other'", "at = at + interval '1 us'",
        "data = '{\"n\": 1.0}'", "data = '{\"n\": 1, \"m\": 2}'", "data = '{}'", "id = gen_random_uuid()",
        "hash = sha256('x')", "previous = sha256('x')",
    ],
)  # fmt: skip
def test_any_changed_field_is_found(world: World, change: str) -> None:
    put(world, 4)
    seal_all(world)
    assert not audit.verify(world.db).faults
    owner(world, f"UPDATE audit_entries SET {change} WHERE place = 2")
    assert 2 in {fault.place for fault in audit.verify(world.db).faults}


def test_a_deleted_entry_is_found(world: World) -> None:
    put(world, 5)
    seal_all(world)
    owner(world, "DELETE FROM audit_entries WHERE place IN (2, 3)")
    (fault,) = audit.verify(world.db).faults
    assert (fault.place, fault.what) == (2, "entries 2 to 3 are missing")


def test_entries_that_were_closed_up_or_exchanged_are_found(world: World) -> None:
    put(world, 5)
    seal_all(world)
    owner(world, "DELETE FROM audit_entries WHERE place = 2")
    owner(world, "UPDATE audit_entries SET place = place - 1 WHERE place > 2")
    assert {fault.place for fault in audit.verify(world.db).faults} >= {2, 3, 4}


def test_exchanged_entries_are_found(world: World) -> None:
    put(world, 4)
    seal_all(world)
    owner(world, "UPDATE audit_entries SET place = 99 WHERE place = 2")
    owner(world, "UPDATE audit_entries SET place = 2 WHERE place = 3")
    owner(world, "UPDATE audit_entries SET place = 3 WHERE place = 99")
    assert {fault.place for fault in audit.verify(world.db).faults} == {2, 3, 4}


def test_a_chain_that_was_cut_off_or_made_anew_is_found_by_a_head_that_was_noted(world: World) -> None:
    put(world, 5)
    seal_all(world)
    noted = audit.head(world.db)
    assert noted is not None
    assert not audit.verify(world.db, Head.read(str(noted))).faults
    owner(world, "DELETE FROM audit_entries WHERE place > 3")
    assert not audit.verify(world.db).faults  # the chain alone cannot tell
    assert [fault.place for fault in audit.verify(world.db, noted).faults] == [5]
    put(world, 2)
    seal_all(world)
    assert [fault.place for fault in audit.verify(world.db, noted).faults] == [5]


@pytest.mark.parametrize(
    "act",
    ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries", "TRUNCATE audit_entries",
     "UPDATE audit_entries SET place = 7, previous = sha256('x'), hash = sha256('x')",
     "UPDATE audit_entries SET place = NULL, previous = NULL, hash = NULL"],
)  # fmt: skip
def test_entries_can_neither_be_changed_nor_taken_away(world: World, act: str) -> None:
    put(world, 2)
    seal_all(world)
    with psycopg.connect(world.url) as conn, pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
        conn.execute(act.encode())
    assert audit.verify(world.db).sealed == 2


def test_an_entry_is_sealed_as_it_was_written(world: World) -> None:
    put(world)
    with psycopg.connect(world.url) as conn, pytest.raises(psycopg.errors.RestrictViolation):
        conn.execute("UPDATE audit_entries SET place = 1, previous = sha256('x'), hash = sha256('x'), actor = 'eve'")


def test_of_many_who_write_and_seal_at_once_there_is_one_chain_without_a_gap(world: World) -> None:
    def write() -> int:
        put(world, 25)
        return 0

    results(together(*[write] * 6, *[lambda: sum(audit.seal(world.db) for _ in range(20))] * 3))
    seal_all(world)
    found = audit.verify(world.db)
    assert (found.sealed, found.waiting, found.faults) == (150, 0, ())


def test_an_entry_of_a_transaction_that_was_rolled_back_never_was(world: World) -> None:
    with world.db.connection() as conn:
        audit.record(conn, actor="a", action="b", subject="c", data={})
        conn.rollback()
    put(world)
    seal_all(world)
    assert audit.verify(world.db).sealed == 1


def test_personal_data_can_be_erased_and_the_chain_holds(world: World) -> None:
    put(world)
    entry = put_personal(world)
    put(world)
    seal_all(world)
    assert audit.personal_of(world.db, audit.list_entries(world.db, 10)) == {
        entry: {"numbers": ["+4915112345678"], "name": "Zoë"}
    }
    assert audit.erase(world.db, actor="operator:ops", holding={"numbers": ["+4915112345678"]}) == 1
    assert audit.erase(world.db, actor="operator:ops", entry=entry) == 0
    seal_all(world)
    found = audit.verify(world.db)
    assert (found.faults, found.erased, found.sealed) == ((), 1, 4)
    assert audit.personal_of(world.db, audit.list_entries(world.db, 10)) == {}
    assert not [row for row in world.rows("SELECT audit_personal::text FROM audit_personal") if "15112345678" in row[0]]
    assert audit.list_entries(world.db, 1)[0].action == "audit.personal_erased"


def test_changed_personal_data_are_found(world: World) -> None:
    put_personal(world)
    seal_all(world)
    world.execute("UPDATE audit_personal SET data = '{\"numbers\": []}'")
    assert [fault.place for fault in audit.verify(world.db).faults] == [1]


def test_what_is_no_json_is_refused_and_named(world: World) -> None:
    with world.db.connection() as conn, pytest.raises(ValueError, match=r"data\.x\[1\]: object"):
        audit.record(conn, actor="a", action="b", subject="c", data={"x": [1, object()]})


@pytest.mark.parametrize("text", ["", "1", "0:" + "a" * 64, "1:zz", "1:" + "g" * 64, "-1:" + "a" * 64])
def test_a_head_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="head"):
        Head.read(text)
