"""Long lists of destinations: each call is given of them only what can decide for its number, and they are bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from calls.destinations import ENTRIES_MAX, Entry, TooManyEntries, against, reaching
from calls.standing import Standing
from store import house, outbound, permission
from store.attempts import Refused
from tests.store.conftest import World
from tests.store.ruled import NOON, claim, dialed, waiting

US, DE = "+14155552671", "+4930123456"
LONG = [Entry(f"+33{index:07d}", allow=False) for index in range(0, 9_000_000, 15_000)]


@pytest.fixture
def houses(world: World) -> Iterator[None]:
    """The house's list is everybody's: it is empty again afterwards."""
    yield
    house.forget(world.db, list(house.get(world.db).destinations))


@pytest.mark.usefixtures("houses")
def test_of_a_long_list_a_call_is_given_what_can_decide_for_its_number(world: World) -> None:
    house.allow(world.db, [*LONG, Entry("+1415"), Entry("+4930"), Entry("FR")])
    outbound.allow(world.db, world.tenant.id, [*LONG, Entry("+14155"), Entry("US")])
    accepted = waiting(world, to_number=US)
    with world.db.connection() as conn:
        _, document = permission.read_standings(conn, [accepted.attempt_id], NOON)[accepted.attempt_id]
    assert document["house"].keys() == {"+1415", "FR"}
    assert document["rules"]["destinations"].keys() == {"+", "+14155", "US"}
    dialed(world, accepted.attempt_id)
    outbound.allow(world.db, world.tenant.id, [Entry("+1415555", allow=False)])
    assert claim(world, waiting(world, to_number=US).attempt_id, NOON) == Refused("rules")


@pytest.mark.usefixtures("houses")
def test_what_is_kept_for_each_row_of_a_batch_is_its_own(world: World) -> None:
    house.allow(world.db, [Entry("+4930", allow=False), Entry("DE"), Entry("FR"), Entry("US"), Entry("CA")])
    german, american = permission.ask_all(world.db, world.tenant.id, [(DE, "+49301"), (US, "+49301")])
    assert (set(german.house), set(american.house)) == ({"+4930", "DE"}, {"US", "CA"})
    assert set(german.destinations) == set(american.destinations) == {"+"}
    assert not german.more.keys() & {"rules", "house"}
    assert "suppressed" in german.more


def test_without_the_house_s_row_nothing_is_permitted(world: World) -> None:
    accepted = waiting(world)
    with world.db.connection() as conn:
        conn.execute("DELETE FROM house_rules")
        _, document = permission.read_standings(conn, [accepted.attempt_id], NOON)[accepted.attempt_id]
        conn.rollback()
    with pytest.raises(ValueError, match="holds for every tenant"):
        Standing.read(document)


@pytest.mark.usefixtures("houses")
@pytest.mark.parametrize("whose", ["house", "tenant"])
def test_a_list_does_not_grow_beyond_its_bound(world: World, whose: str) -> None:
    def allow(entries: list[Entry]) -> int:
        if whose == "house":
            return len(house.allow(world.db, entries).destinations)
        return len(outbound.allow(world.db, world.tenant.id, entries).destinations)

    before = allow([Entry("+")])
    full = [Entry(f"+49{index:05d}") for index in range(ENTRIES_MAX - before)]
    assert allow(full) == ENTRIES_MAX
    with pytest.raises(
        TooManyEntries, match=f"destinations: .* {ENTRIES_MAX + 1} entries, {ENTRIES_MAX} at most: remove some"
    ):
        allow([Entry("FR")])
    assert allow([Entry(full[0].match, allow=False)]) == ENTRIES_MAX, "what is there can be changed, and nothing was added"


def test_what_can_decide_decides_as_the_whole_list_does() -> None:
    entries = {
        match: Entry(match, allow=allow).as_dict()
        for match, allow in {
            "+": True, "+1": False, "US": True, "CA": False, "+1415": False, "DE": True, "+4930": False, "FR": False
        }.items()
    }  # fmt: skip
    told = []
    for number, country in ((US, "US"), ("+12125552671", "US"), ("+14165552671", "CA"), (DE, "DE"), ("+4989123456", "DE"),
                            ("+33142685300", "FR"), ("+442079460000", "GB")):  # fmt: skip
        few = reaching(number, entries)
        told.append(against(number, country, entries, entries))
        assert len(few) < len(entries)
        assert against(number, country, few, few) == told[-1]
    assert [one is None for one in told] == [False, True, False, False, True, False, True]
