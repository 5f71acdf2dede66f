"""Seats of the fleet: none given twice, none leaked, and without one nobody is dialed."""

from __future__ import annotations

import random
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from budget import epoch, permits
from budget.explain_scopes import read_scopes
from budget.lanes import Serving
from budget.scopes import ScopeLimits, set_scopes
from budget.scripts import PREFIX
from budget.seats import PoolNow, Said, pools, say, seat_of
from tests.budget.bench import CARRIER, Bench, VirtualBench, open_epoch, wakes
from tests.budget.seat_world import MOVES, SeatWorld

HOLD_S = 3.0
SECOND = 1_000_000
DESK = "seats:desk"


def seats(bench: Bench, count: int, *, keeper: str = "k1", call: UUID | None = None, word: str = "") -> list[str]:
    """They are heard of; how each stands after it."""
    said = [Said("desk", f"{keeper}-{i}", f"w{i}", f"ws://{keeper}:{i}/", call, word) for i in range(count)]  # type: ignore[arg-type]
    return [one.state for one in say(bench.redis, keeper, HOLD_S, said)]


def one_seat(bench: Bench, *, worker: str = "w0", call: UUID | None = None, word: str = "", keeper: str = "k1") -> str:
    said = Said("desk", "k1-0", worker, f"ws://{worker}/", call, word)  # type: ignore[arg-type]
    return say(bench.redis, keeper, HOLD_S, [said])[0].state


def now(bench: Bench) -> PoolNow:
    return pools(bench.redis)[0]


def house(bench: Bench, calls: int = 5, more: str = ".f-desk") -> list[UUID]:
    bench.carrier()
    return bench.fill(bench.lane(more=more), calls)


def test_without_a_seat_nobody_is_dialed(virtual: VirtualBench) -> None:
    house(virtual)
    assert virtual.refusal().limit == DESK


def test_a_permit_holds_a_seat_and_its_end_gives_it_back(virtual: VirtualBench) -> None:
    first, second, *_ = house(virtual)
    assert seats(virtual, 1) == ["free"]
    grant = virtual.take()
    assert grant.attempt_id == first
    assert seats(virtual, 1) == ["held"]
    assert virtual.refusal().limit == DESK
    place = seat_of(virtual.redis, first, "desk")
    assert place == ("ws://k1:0/", "desk/k1-0")
    virtual.release(grant)
    assert virtual.take().attempt_id == second


def test_many_permits_at_once_are_as_many_as_there_are_seats(virtual: VirtualBench) -> None:
    house(virtual, 9)
    seats(virtual, 4)
    answer = virtual.grant(want=9)
    assert (len(answer.grants), answer.limit) == (4, DESK)
    assert len({seat_of(virtual.redis, one.attempt_id, "desk") for one in answer.grants}) == 4


def test_the_plain_case_gives_no_seat_away(virtual: VirtualBench) -> None:
    """One carrier, no limit of anybody's: what is decided by the shortest way."""
    virtual.carrier()
    virtual.fill(virtual.lane(more=".f-desk"), 2)
    seats(virtual, 1)
    assert len(virtual.grant().grants) == 1
    assert now(virtual)[1:] == (1, 0, 1, 0, 0)
    assert virtual.refusal().limit == DESK


def test_only_the_worker_frees_what_it_took(virtual: VirtualBench) -> None:
    house(virtual)
    seats(virtual, 1)
    grant = virtual.take()
    assert one_seat(virtual, call=grant.attempt_id) == "busy"
    virtual.release(grant)
    assert virtual.refusal().limit == DESK
    assert one_seat(virtual, worker="w1") == "free"
    virtual.take()


def test_only_the_permit_frees_what_it_holds(virtual: VirtualBench) -> None:
    """Neither the worker's word nor another worker in its place."""
    house(virtual)
    one_seat(virtual)
    grant = virtual.take()
    assert one_seat(virtual) == "held"
    assert one_seat(virtual, worker="w1") == "held"
    place = seat_of(virtual.redis, grant.attempt_id, "desk")
    assert place is not None
    assert place.url == "ws://w1/"
    assert virtual.refusal().limit == DESK


def test_a_seat_that_is_held_is_not_taken_by_another_call(virtual: VirtualBench) -> None:
    house(virtual)
    one_seat(virtual)
    grant = virtual.take()
    stranger = uuid4()
    said = say(virtual.redis, "k1", HOLD_S, [Said("desk", "k1-0", "w0", "ws://w0/", stranger)])
    assert said == [("held", grant.attempt_id)]


def test_only_a_call_with_a_permit_takes_a_seat(virtual: VirtualBench) -> None:
    """A stranger's id does not; its worker is nobody's until it is through. One whose permit ends while it talks stays."""
    house(virtual)
    assert one_seat(virtual) == "free"
    assert one_seat(virtual, call=uuid4()) == "away"
    assert virtual.refusal().limit == DESK
    assert one_seat(virtual) == "free"
    grant = virtual.take()
    assert one_seat(virtual, call=grant.attempt_id) == "busy"
    virtual.release(grant)
    assert one_seat(virtual, call=grant.attempt_id) == "busy"
    assert one_seat(virtual, worker="w1") == "free"


def test_what_is_not_heard_of_takes_no_call(virtual: VirtualBench) -> None:
    house(virtual)
    seats(virtual, 2)
    virtual.step(int(HOLD_S * SECOND) + 1)
    assert virtual.refusal().limit == DESK
    assert now(virtual)[1:] == (0, 0, 0, 0, 0)
    assert seats(virtual, 2) == ["free", "free"]
    virtual.take()


def test_a_call_whose_seat_fell_silent_goes_there_and_else_gets_another(virtual: VirtualBench) -> None:
    house(virtual)
    seats(virtual, 1, keeper="k1")
    grant = virtual.take()
    virtual.step(int(HOLD_S * SECOND) + 1)
    own = seat_of(virtual.redis, grant.attempt_id, "desk")
    assert own == ("ws://k1:0/", "desk/k1-0"), "its worker may live"
    assert seat_of(virtual.redis, grant.attempt_id, "desk", own.seat) is None
    seats(virtual, 1, keeper="k2")
    place = seat_of(virtual.redis, grant.attempt_id, "desk")
    assert place is not None
    assert place.seat == "desk/k2-0"
    assert seats(virtual, 1, keeper="k1") == ["free"]


def test_a_call_is_owed_a_seat_before_another_is_dialed(virtual: VirtualBench) -> None:
    house(virtual)
    seats(virtual, 1, keeper="k1")
    grant = virtual.take()
    assert seats(virtual, 1, keeper="k1", word="gone") == ["gone"]
    seats(virtual, 1, keeper="k2")
    assert virtual.refusal().limit == DESK
    assert seat_of(virtual.redis, grant.attempt_id, "desk") is not None


def test_a_seat_that_cannot_be_reached_is_exchanged(virtual: VirtualBench) -> None:
    house(virtual)
    seats(virtual, 2)
    grant = virtual.take()
    first = seat_of(virtual.redis, grant.attempt_id, "desk")
    assert first is not None
    second = seat_of(virtual.redis, grant.attempt_id, "desk", first.seat)
    assert second is not None
    assert second.seat != first.seat
    assert seat_of(virtual.redis, grant.attempt_id, "desk") == second
    assert sorted(seats(virtual, 2)) == ["free", "held"]


def test_without_a_permit_there_is_no_seat(virtual: VirtualBench) -> None:
    """Nobody would free it again."""
    seats(virtual, 1)
    assert seat_of(virtual.redis, uuid4(), "desk") is None


def test_a_seat_that_leaves_keeps_its_call_and_takes_no_other(virtual: VirtualBench) -> None:
    house(virtual)
    seats(virtual, 2)
    grant = virtual.take()
    assert sorted(seats(virtual, 2, word="leaving")) == ["away", "held"]
    assert virtual.refusal().limit == DESK
    virtual.release(grant)
    assert seats(virtual, 2, word="leaving") == ["away", "away"]
    assert virtual.refusal().limit == DESK
    assert seats(virtual, 2) == ["free", "free"]


def test_two_keepers_do_not_share_a_seat(virtual: VirtualBench) -> None:
    assert one_seat(virtual, keeper="k1") == "free"
    assert one_seat(virtual, keeper="k2") == "taken"
    virtual.step(int(HOLD_S * SECOND) + 1)
    assert one_seat(virtual, keeper="k2") == "free"


def test_what_a_keeper_said_before_comes_too_late(virtual: VirtualBench) -> None:
    """Its sender gave it up, but who carries it out was only slow: a live call keeps its seat, one that is gone stays so."""
    house(virtual)
    seat, also = Said("desk", "k1-0", "w0", "ws://w0/"), Said("desk", "k1-1", "w1", "ws://w1/")
    assert say(virtual.redis, "k1", HOLD_S, [seat], seq=1) == [("free", None)]
    grant = virtual.take()
    busy = ("busy", grant.attempt_id)
    assert say(virtual.redis, "k1", HOLD_S, [replace(seat, attempt_id=grant.attempt_id)], seq=3) == [busy]
    assert say(virtual.redis, "k1", HOLD_S, [seat, also], seq=2) == [busy, ("gone", None)]
    assert now(virtual)[1:] == (1, 0, 0, 1, 0)
    assert say(virtual.redis, "k1", HOLD_S, [replace(seat, attempt_id=grant.attempt_id)], seq=3) == [busy]
    assert say(virtual.redis, "k1", HOLD_S, [seat], seq=10) == [("free", None)]


def test_who_waits_for_a_seat_is_told_when_there_is_one(virtual: VirtualBench) -> None:
    house(virtual)
    assert virtual.refusal().limit == DESK
    with wakes(virtual) as heard:
        seats(virtual, 1)
    assert f"{CARRIER} * 0" in heard
    grant = virtual.take()
    assert virtual.refusal().limit == DESK
    with wakes(virtual) as heard:
        virtual.release(grant)
    assert f"{CARRIER} * 0" in heard


def test_requeued_it_comes_back_without_its_seat(virtual: VirtualBench) -> None:
    first, *_ = house(virtual)
    seats(virtual, 1)
    grant = virtual.take()
    assert permits.requeue(virtual.redis, grant.attempt_id, grant.fence)
    assert seats(virtual, 1) == ["free"]
    assert virtual.take().attempt_id == first


def test_some_are_kept_for_callers(virtual: VirtualBench) -> None:
    house(virtual)
    set_scopes(virtual.redis, [ScopeLimits(DESK, None, None, reserved=2)])
    seats(virtual, 3)
    virtual.take()
    assert virtual.refusal().limit == DESK
    told = read_scopes(virtual.redis, [DESK], virtual.now).scopes[DESK]
    assert (told.used, told.limit, told.kept, told.left) == (1, 3, 2, 0)
    attempts = [uuid4() for _ in range(3)]
    assert [virtual.admit(one, more=".f-desk").full for one in attempts] == ["", "", DESK]
    assert len({seat_of(virtual.redis, one, "desk") for one in attempts[:2]}) == 2


def test_at_the_answer_more_are_dialed_than_there_are_seats(virtual: VirtualBench) -> None:
    ids = house(virtual, 9, more=".o-desk")
    set_scopes(virtual.redis, [ScopeLimits(DESK, None, None, per_seat=2.5)])
    seats(virtual, 2)
    later = "seats:desk:at_answer"
    answer = virtual.grant(want=9)
    assert (len(answer.grants), answer.limit) == (5, later)
    assert now(virtual)[1:] == (2, 2, 0, 0, 5)
    told = read_scopes(virtual.redis, [later], virtual.now).scopes[later]
    assert (told.used, told.limit, told.full) == (5, 5, True)
    assert [seat_of(virtual.redis, one, "desk") is None for one in ids[:3]] == [False, False, True]
    virtual.refusal()
    for grant in answer.grants:
        virtual.release(grant)
    assert now(virtual)[1:] == (2, 2, 0, 0, 0)


def test_a_lane_of_several_carriers_takes_seats_too(virtual: VirtualBench) -> None:
    other = UUID(int=3)
    virtual.carrier()
    virtual.carrier(other)
    virtual.fill(virtual.lane(more=".f-desk", carriers=(Serving(CARRIER), Serving(other))), 3)
    seats(virtual, 1)
    assert len(virtual.grant(want=3).grants) == 1
    assert now(virtual).held == 1


def test_after_a_rebuild_workers_say_whom_they_have(virtual: VirtualBench) -> None:
    """Redis has forgotten everything: what a worker took is not given away, and a call that had none yet is owed one."""
    house(virtual)
    seats(virtual, 2)
    talking, ringing = virtual.take(), virtual.take()
    place = seat_of(virtual.redis, talking.attempt_id, "desk")
    assert place is not None
    marks = epoch.marks(virtual.redis)
    epoch.begin(virtual.redis, marks, 8)
    epoch.wipe(virtual.redis, 8)
    virtual.step(0)
    virtual.carrier()
    for grant in (talking, ringing):
        lease = permits.Lease(grant.attempt_id, grant.fence, CARRIER, "fs1")
        assert permits.adopt(virtual.redis, virtual.settings, lease, grant.lane)
    epoch.open_epoch(virtual.redis, 8, epoch.run_id(virtual.redis), [])
    virtual.fill(virtual.lane(more=".f-desk"), 2)
    name = place.seat.split("/")[1]
    for one in ("k1-0", "k1-1"):
        call = talking.attempt_id if one == name else None
        say(virtual.redis, "k1", HOLD_S, [Said("desk", one, "w", f"ws://{one}/", call)])
    assert now(virtual)[1:] == (2, 1, 0, 1, 1)
    virtual.step(HOUR_US)
    for one in ("k1-0", "k1-1"):
        call = talking.attempt_id if one == name else None
        say(virtual.redis, "k1", HOLD_S, [Said("desk", one, "w", f"ws://{one}/", call)])
    assert virtual.refusal().limit == DESK
    assert seat_of(virtual.redis, ringing.attempt_id, "desk") is not None
    assert now(virtual)[1:] == (2, 0, 1, 1, 0)


def test_a_worker_heard_of_before_its_lease_is_rebuilt_has_one_seat(virtual: VirtualBench) -> None:
    """Adopted, its call is given a free seat; that one is free again when the worker is heard of next."""
    house(virtual)
    seats(virtual, 2)
    grant = virtual.take()
    place = seat_of(virtual.redis, grant.attempt_id, "desk")
    assert place is not None
    mine = place.seat.split("/")[1]

    def heard() -> None:
        calls = {mine: grant.attempt_id}
        say(virtual.redis, "k1", HOLD_S, [Said("desk", n, "w", f"ws://{n}/", calls.get(n)) for n in ("k1-0", "k1-1")])

    epoch.begin(virtual.redis, epoch.marks(virtual.redis), 8)
    epoch.wipe(virtual.redis, 8)
    virtual.step(0)
    heard()
    virtual.carrier()
    lease = permits.Lease(grant.attempt_id, grant.fence, CARRIER, "fs1")
    assert permits.adopt(virtual.redis, virtual.settings, lease, grant.lane)
    epoch.open_epoch(virtual.redis, 8, epoch.run_id(virtual.redis), [])
    for _ in range(2):
        heard()
        assert now(virtual)[1:] == (2, 1, 0, 1, 0)
    assert seat_of(virtual.redis, grant.attempt_id, "desk") == (f"ws://{mine}/", f"desk/{mine}")
    virtual.release(grant)
    say(virtual.redis, "k1", HOLD_S, [Said("desk", mine, "w", f"ws://{mine}/")])
    assert now(virtual)[1:] == (2, 2, 0, 0, 0)


HOUR_US = 3_600_000_000


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_no_seat_is_given_twice_and_none_is_lost(virtual: VirtualBench, seed: int) -> None:
    drive(virtual, seed)


def drive(virtual: VirtualBench, seed: int = 0, steps: int = 150) -> None:
    """Moves at random, and what must hold after each."""
    drawn = random.Random(seed)
    virtual.redis.flushdb()
    virtual.step(0)
    open_epoch(virtual.redis, 7)
    world = SeatWorld(virtual)
    world.begin()
    for _ in range(steps):
        (move,) = drawn.choices(list(MOVES), weights=list(MOVES.values()))
        move(world, drawn.choice)
        world.check()
    world.settle()


def test_no_key_of_a_seat_stays_for_ever(virtual: VirtualBench) -> None:
    one_seat(virtual)
    assert virtual.redis.pttl(f"{PREFIX}seat:desk/k1-0") > 0
