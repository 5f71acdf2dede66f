"""People call a number whose agent is of the fleet: a worker has the call; seats that are kept for callers are theirs."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
import redis

from budget.scripts import PREFIX
from calls.ids import parse_ref
from store import agent_pools, numbers
from tests.system.callers import Callers
from tests.system.test_fleet import SEATS, Desk, connection, start
from tests.system.test_inbound import end_of, told
from trunkline.children import wait_until
from trunkline.stack import Stack

__all__ = ["connection"]

pytestmark = pytest.mark.system

DID, CALLER = "+498911122931", "+4930123456"


@pytest.fixture(scope="module")
def callers(stack: Stack) -> Iterator[Callers]:
    host, _, port = stack.places[0].sip.rpartition(":")
    with Callers((host, int(port)), simulated=True, log=stack.run / "fleet-callers.jsonl") as callers:
        yield callers


def keep(house: Desk, count: int) -> None:
    """So many seats are for callers; the budget knows."""
    agent_pools.update(house.stack.db, "desk", inbound_reserved=count)
    key, wanted = f"{PREFIX}s:seats:desk", str(count).encode() if count else b""
    wait_until("the reserve", lambda: (house.redis.hget(key, "reserved") or b"") == wanted, timeout_s=20)


def test_callers_have_their_seats_and_what_is_dialed_waits(stack: Stack, connection: redis.Redis, callers: Callers) -> None:
    house = Desk(stack, connection, "delta")
    agent: UUID = parse_ref("agent", house.agent)
    numbers.put(stack.db, number=DID, tenant_id=house.account.id, agent_id=agent)
    start(stack)
    house.wait_free(SEATS)
    keep(house, SEATS)
    dialed = house.call(0.2)
    blocked = f"/v1/calls/{dialed}/queue"
    wait_until("it waits for a seat", lambda: "seats" in str(house.api.get(blocked).body["blocked_by"]), timeout_s=30)
    placed = [callers.call(DID, CALLER) for _ in range(SEATS)]
    for one in placed:
        callers.wait_status(one, 200)
    calls = [told(house, one) for one in placed]
    assert {call["direction"] for call in calls} == {"inbound"}
    assert {house.wait_seated(call["id"]) for call in calls} == {f"desk/h1-{i}" for i in range(SEATS)}
    house.wait_free(0)
    late = callers.call(DID, CALLER)  # nobody is left who could talk with it
    callers.wait_ended(late)
    assert late.statuses == [100, 503]
    house.wait_ended([told(house, late)["id"]])
    assert end_of(told(house, late)) == ("failed", "house_full", "platform", 503)
    assert house.see(dialed)["status"] == "queued"
    for one in placed:
        callers.hang_up(one)
    house.wait_ended([call["id"] for call in calls])
    assert {end_of(told(house, one)) for one in placed} == {("completed", "hangup", "caller", 200)}
    house.wait_free(SEATS)
    assert house.see(dialed)["status"] == "queued", "what is kept is kept, though nobody calls"
    keep(house, 0)
    assert house.wait(dialed, "completed")["hangup_by"] == "agent"
    house.wait_free(SEATS)
    house.wait_nothing_held()
