"""A second seat for a call whose next agent is of the fleet: beside the first one, then instead of it, or given back."""

from __future__ import annotations

from uuid import UUID

import pytest

from budget.permits import Grant
from budget.replies import text
from budget.scopes import ScopeLimits, set_scopes
from budget.scripts import PREFIX
from budget.seats import PoolNow, Said, Stands, moved, next_seat, pools, say, seat_of
from tests.budget.bench import VirtualBench

HOLD_S = 3.0
DESK, SALES = "desk", "sales"


def says(bench: VirtualBench, pool: str, count: int, calls: dict[str, UUID] | None = None) -> list[Stands]:
    said = [Said(pool, f"{pool}-{i}", f"w{i}", f"ws://{pool}:{i}/", (calls or {}).get(f"{pool}-{i}")) for i in range(count)]
    return say(bench.redis, f"keeper-{pool}", HOLD_S, said)


def now(bench: VirtualBench, pool: str) -> tuple[int, ...]:
    """Seats there, free, held, busy, owed."""
    return next((one for one in pools(bench.redis) if one.name == pool), PoolNow(pool, 0, 0, 0, 0, 0))[1:]


def counted(bench: VirtualBench) -> dict[str, int]:
    held = {text(k): int(v) for k, v in bench.redis.hgetall(f"{PREFIX}held").items()}
    return {name: count for name, count in held.items() if "seats:" in name}


def talking(bench: VirtualBench, more: str = f".f-{DESK}") -> Grant:
    """A call whose worker has taken it, at the first seat of the pool ``desk``."""
    bench.carrier()
    says(bench, DESK, 1)
    bench.fill(bench.lane(more=more), 1)
    grant = bench.take()
    if more:
        assert says(bench, DESK, 1, {"desk-0": grant.attempt_id}) == [("busy", grant.attempt_id)]
    return grant


@pytest.mark.parametrize("heard", [True, False])
def test_it_has_both_until_the_next_one_takes_over(virtual: VirtualBench, heard: bool) -> None:
    """Also where what its next worker says is late."""
    grant = talking(virtual)
    says(virtual, SALES, 2)
    place = next_seat(virtual.redis, grant.attempt_id, SALES)
    assert place is not None
    assert next_seat(virtual.redis, grant.attempt_id, SALES) == place, "asked again, it is the same"
    assert (now(virtual, DESK), now(virtual, SALES)) == ((1, 0, 0, 1, 0), (2, 1, 1, 0, 0))
    name = place.seat.split("/")[1]
    if heard:
        assert ("busy", grant.attempt_id) in says(virtual, SALES, 2, {name: grant.attempt_id})
    moved(virtual.redis, grant.attempt_id, taken_over=True)
    # Its first worker has not let go yet; what it says is where the call was.
    assert says(virtual, DESK, 1, {"desk-0": grant.attempt_id}) == [("busy", grant.attempt_id)]
    assert ("busy", grant.attempt_id) in says(virtual, SALES, 2, {name: grant.attempt_id})
    assert seat_of(virtual.redis, grant.attempt_id, SALES) == place
    assert says(virtual, DESK, 1) == [("free", None)]
    assert counted(virtual) == {"seats:sales": 1}
    virtual.release(grant)
    says(virtual, SALES, 2)
    assert (now(virtual, DESK), now(virtual, SALES)) == ((1, 1, 0, 0, 0), (2, 2, 0, 0, 0))
    assert counted(virtual) == {}
    assert virtual.redis.hlen(f"{PREFIX}seated") == virtual.redis.hlen(f"{PREFIX}next") == 0


def test_a_seat_that_was_only_held_is_free_at_once(virtual: VirtualBench) -> None:
    """Its worker was never reached, or was not heard of."""
    virtual.carrier()
    says(virtual, DESK, 1)
    says(virtual, SALES, 1)
    virtual.fill(virtual.lane(more=f".f-{DESK}"), 1)
    grant = virtual.take()
    assert next_seat(virtual.redis, grant.attempt_id, SALES) is not None
    moved(virtual.redis, grant.attempt_id, taken_over=True)
    assert (now(virtual, DESK), now(virtual, SALES)) == ((1, 1, 0, 0, 0), (1, 0, 1, 0, 0))
    virtual.release(grant)
    assert now(virtual, SALES) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize("pool", [SALES, DESK])
def test_it_comes_to_nothing(virtual: VirtualBench, pool: str) -> None:
    grant = talking(virtual)
    says(virtual, SALES, 1)
    calls = {"desk-0": grant.attempt_id}
    says(virtual, DESK, 2, calls)
    first = seat_of(virtual.redis, grant.attempt_id, DESK)
    assert next_seat(virtual.redis, grant.attempt_id, pool) is not None
    moved(virtual.redis, grant.attempt_id, taken_over=False)
    assert seat_of(virtual.redis, grant.attempt_id, DESK) == first
    assert counted(virtual) == {"seats:desk": 1}
    assert (now(virtual, DESK), now(virtual, SALES)) == ((2, 1, 0, 1, 0), (1, 1, 0, 0, 0))


def test_within_one_pool_it_moves_on(virtual: VirtualBench) -> None:
    grant = talking(virtual)
    says(virtual, DESK, 2, {"desk-0": grant.attempt_id})
    place = next_seat(virtual.redis, grant.attempt_id, DESK)
    assert place == ("ws://desk:1/", "desk/desk-1")
    moved(virtual.redis, grant.attempt_id, taken_over=True)
    assert counted(virtual) == {"seats:desk": 1}
    says(virtual, DESK, 2, {"desk-1": grant.attempt_id})
    assert now(virtual, DESK) == (2, 1, 0, 1, 0)
    virtual.release(grant)
    says(virtual, DESK, 2)
    assert now(virtual, DESK) == (2, 2, 0, 0, 0)


def test_a_full_pool_has_none_and_nothing_changes(virtual: VirtualBench) -> None:
    grant = talking(virtual)
    assert next_seat(virtual.redis, grant.attempt_id, DESK) is None
    assert next_seat(virtual.redis, grant.attempt_id, SALES) is None
    assert now(virtual, DESK) == (1, 0, 0, 1, 0)
    assert counted(virtual) == {"seats:desk": 1}


def test_what_is_for_callers_is_for_callers(virtual: VirtualBench) -> None:
    grant = talking(virtual)
    says(virtual, SALES, 1)
    set_scopes(virtual.redis, [ScopeLimits("seats:sales", None, None, reserved=1)])
    assert next_seat(virtual.redis, grant.attempt_id, SALES) is None


def test_a_call_of_another_kind_has_one_from_then_on(virtual: VirtualBench) -> None:
    """Handed on to the fleet by a websocket agent, and away again."""
    grant = talking(virtual, more="")
    assert next_seat(virtual.redis, grant.attempt_id, DESK) is not None
    moved(virtual.redis, grant.attempt_id, taken_over=True)
    says(virtual, DESK, 1, {"desk-0": grant.attempt_id})
    assert (counted(virtual), now(virtual, DESK)) == ({"seats:desk": 1}, (1, 0, 0, 1, 0))
    moved(virtual.redis, grant.attempt_id, taken_over=True)
    says(virtual, DESK, 1)
    assert (counted(virtual), now(virtual, DESK)) == ({}, (1, 1, 0, 0, 0))
    virtual.release(grant)


def test_the_end_of_the_call_gives_both_back(virtual: VirtualBench) -> None:
    grant = talking(virtual)
    says(virtual, SALES, 1)
    assert next_seat(virtual.redis, grant.attempt_id, SALES) is not None
    virtual.release(grant)
    says(virtual, DESK, 1)
    assert (now(virtual, DESK), now(virtual, SALES)) == ((1, 1, 0, 0, 0), (1, 1, 0, 0, 0))
    assert counted(virtual) == {}
    assert next_seat(virtual.redis, grant.attempt_id, SALES) is None, "it has no permit"
    moved(virtual.redis, grant.attempt_id, taken_over=True)
    assert now(virtual, SALES) == (1, 1, 0, 0, 0)


def test_one_that_cannot_be_reached_is_exchanged(virtual: VirtualBench) -> None:
    grant = talking(virtual)
    says(virtual, SALES, 2)
    first = next_seat(virtual.redis, grant.attempt_id, SALES)
    assert first is not None
    second = next_seat(virtual.redis, grant.attempt_id, SALES, first.seat)
    assert second is not None
    assert second.seat != first.seat
    assert counted(virtual) == {"seats:desk": 1, "seats:sales": 1}
    assert sorted(state for state, _ in says(virtual, SALES, 2)) == ["free", "held"]


def test_a_token_brings_its_call_to_one_worker(virtual: VirtualBench) -> None:
    """Whoever comes with it to another one has copied it."""
    virtual.carrier()
    says(virtual, DESK, 1)
    virtual.fill(virtual.lane(more=f".f-{DESK}"), 1)
    grant = virtual.take()

    def said(pool: str, worker: str, token: str) -> Stands:
        one = Said(pool, f"{pool}-0", worker, "ws://x:1/", grant.attempt_id, token=token)
        return say(virtual.redis, f"keeper-{pool}", HOLD_S, [one])[0]

    for _ in range(2):
        assert said(DESK, "w0", "t1") == ("busy", grant.attempt_id)
    says(virtual, SALES, 1)
    for _ in range(2):
        assert said(SALES, "w9", "t1") == ("refused", None)
    assert says(virtual, SALES, 1) == [("free", None)]
    assert virtual.redis.pttl(f"{PREFIX}token:t1") > 0
