"""Seats that are kept for callers: whoever dials does not slip in where one caller leaves and the next has not come."""

from __future__ import annotations

from uuid import UUID, uuid4

from budget.permits import release
from budget.scopes import ScopeLimits, set_scopes
from budget.scripts import PREFIX
from budget.seats import Said, say
from tests.budget.bench import VirtualBench

DESK = "seats:desk"


def says(bench: VirtualBench, worker: str, call: UUID | None = None, word: str = "") -> str:
    said = Said("desk", "k1-0", worker, f"ws://{worker}:1/", call, word)  # type: ignore[arg-type]
    return say(bench.redis, "k1", 3.0, [said])[0].state


def test_what_a_worker_frees_before_its_caller_is_booked_out_is_kept(virtual: VirtualBench) -> None:
    virtual.carrier()
    says(virtual, "w1")
    set_scopes(virtual.redis, [ScopeLimits(DESK, None, None, reserved=1)])
    virtual.fill(virtual.lane(more=".f-desk"), 1)
    caller = uuid4()
    admitted = virtual.admit(caller, more=".f-desk")
    assert admitted.fence is not None
    assert virtual.admit(more=".f-desk").full == DESK
    assert says(virtual, "w1", caller) == "busy"
    assert virtual.refusal().limit == DESK
    assert says(virtual, "w2") == "free", "it has hung up, and nobody has said so to the budget"
    assert virtual.refusal().limit == DESK
    assert release(virtual.redis, caller, admitted.fence)
    assert virtual.refusal().limit == DESK
    assert virtual.redis.exists(f"{PREFIX}left:desk") == 0
    caller = uuid4()
    admitted = virtual.admit(caller, more=".f-desk")
    assert admitted.fence is not None
    assert says(virtual, "w2", caller) == "busy"
    assert says(virtual, "w2", word="gone") == "gone"
    assert says(virtual, "w3") == "free"
    assert virtual.refusal().limit == DESK
    set_scopes(virtual.redis, [ScopeLimits(DESK, None, None)])
    assert release(virtual.redis, caller, admitted.fence)
    virtual.take()
