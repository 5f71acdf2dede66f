"""Calls over fewer seats than calls: nobody answered without an agent, no seat given twice, none leaked; callers have those
that are kept for them.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import redis

from budget.replies import text
from budget.scripts import PREFIX
from budget.seats import PoolNow, pools
from calls.ids import agent_ref, parse_ref
from store import agent_pools, agents, numbers
from tests.fleet.house import pid_listening
from tests.system.callers import Callers
from tests.system.house import House
from tests.system.test_inbound import end_of, told
from trunkline.children import wait_until
from trunkline.stack import Stack

pytestmark = pytest.mark.system

SEATS = 3
#: Answers, says nothing, never hangs up.
SILENT = "0122"
#: Whom people call, and who does.
DID, CALLER = "+498911122931", "+4930123456"


@pytest.fixture(scope="module")
def connection(stack: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis_url) as opened:
        yield opened


class Desk(House):
    """A tenant whose agent is a worker of the pool ``desk``."""

    def __init__(self, stack: Stack, connection: redis.Redis, name: str, policy: str = "reserved") -> None:
        super().__init__(stack, name)
        self.redis = connection
        agent_pools.update(stack.db, "desk", dials_per_seat=2)
        made = agents.create(
            stack.db, tenant_id=self.account.id, name="worker", kind="fleet", pool="desk", seat_policy=policy
        )
        self.agent = agent_ref(made.id)

    def call(self, talk_s: float) -> str:
        return self.post(SILENT, agent_variables={"tone_hz": 440, "tone_ms": 100, "hangup_after_s": talk_s})

    def pool(self) -> PoolNow:
        return next((one for one in pools(self.redis) if one.name == "desk"), PoolNow("desk", 0, 0, 0, 0, 0))

    def wait_free(self, count: int) -> None:
        wait_until(f"{count} free seats", lambda: self.pool()[1:] == (SEATS, count, 0, SEATS - count, 0), timeout_s=60)

    def events(self, call: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(f"/v1/calls/{call}/events").body["data"]
        return found

    def seat(self, call: str) -> str:
        """Which seat had the call. Fails when it was answered and had no agent."""
        events = {event["type"]: event for event in self.events(call)}
        assert {"relay.seat", "relay.agent_ready"} <= events.keys(), events
        return str(events["relay.seat"]["data"]["seat"])

    def times(self, call: str) -> tuple[datetime, datetime]:
        """When its seat had the call, and when somebody picked up."""
        (had,) = [event["at"] for event in self.events(call) if event["type"] == "relay.seat"]
        return moment(had), moment(self.see(call)["answered_at"])

    def wait_seated(self, call: str) -> str:
        wait_until(f"the agent of {call}", lambda: "relay.agent_ready" in str(self.events(call)), timeout_s=60)
        return next(str(event["data"]["seat"]) for event in self.events(call) if event["type"] == "relay.seat")


def start(stack: Stack, workers: int = SEATS) -> None:
    """The fleet, as a process beside the others; it may be there already."""
    if "fleet" in stack.supervisor.names:
        return
    environ = {
        "TRUNKLINE_CDR_PASSWORD": stack.cdr_password,
        "TRUNKLINE_FLEET_URL": f"{stack.api}/internal/seats",
    }
    command = f"{sys.executable} -m agents --pool desk --name h1 --workers {workers}"
    stack.supervisor.add("fleet", command, environ=environ)
    stack.supervisor.start("fleet")


def moment(text_: str) -> datetime:
    return datetime.fromisoformat(text_.replace("Z", "+00:00"))


def overlaps(house: Desk, calls: list[str]) -> list[tuple[str, str]]:
    """Pairs of calls that had the same seat at the same time, by when each got it and when its channel was gone."""
    had: dict[str, list[tuple[datetime, datetime, str]]] = {}
    for call in calls:
        events = house.events(call)
        begun = next(event["at"] for event in events if event["type"] == "relay.seat")
        over = next(event["at"] for event in events if event["type"] == "attempt.ended")
        had.setdefault(house.seat(call), []).append((moment(begun), moment(over), call))
    found = []
    for spans in had.values():
        spans.sort()
        found += [(a[2], b[2]) for a, b in itertools.pairwise(spans) if b[0] < a[1]]
    return found


def test_calls_over_fewer_seats_than_calls(stack: Stack, connection: redis.Redis) -> None:
    house = Desk(stack, connection, "acme")
    first = house.call(0.3)

    def held() -> str | None:
        blocked = house.api.get(f"/v1/calls/{first}/queue").body["blocked_by"]
        return None if blocked is None else str(blocked["scope"])

    wait_until("the call to wait for a seat", lambda: held() == "seats", timeout_s=60)
    assert house.invites("lab_a") == 0
    start(stack)
    calls = [first, *(house.call(0.3) for _ in range(11))]
    house.wait_ended(calls)
    for call in calls:
        seen = house.see(call)
        assert (seen["status"], seen["hangup_by"], seen["attempt_count"]) == ("completed", "agent", 1), seen
    assert overlaps(house, calls) == []
    assert {house.seat(call) for call in calls} <= {f"desk/h1-{i}" for i in range(SEATS)}
    house.wait_free(SEATS)
    house.wait_nothing_held()
    assert connection.hlen(f"{PREFIX}seated") == 0


def test_a_worker_that_is_killed_costs_its_call_alone(stack: Stack, connection: redis.Redis) -> None:
    house = Desk(stack, connection, "beta")
    start(stack)
    house.wait_free(SEATS)
    lost, other = house.call(600), house.call(600)
    for call in (lost, other):
        house.wait(call, "in_progress")
    seats = {call: house.wait_seated(call) for call in (lost, other)}
    house.wait_free(SEATS - 2)
    url = text(connection.hget(f"{PREFIX}seat:{seats[lost]}", "url"))
    os.kill(pid_listening(url), signal.SIGKILL)
    ended = house.wait(lost, "completed")
    assert (ended["end_reason"], ended["hangup_by"]) == ("agent_lost", "platform")
    house.wait_free(SEATS - 1)
    assert house.see(other)["status"] == "in_progress"
    house.hang_up(other)
    house.wait(other, "completed")
    house.wait_free(SEATS)
    house.wait_nothing_held()


def test_a_seat_at_the_answer(stack: Stack, connection: redis.Redis) -> None:
    house = Desk(stack, connection, "gamma", "at_answer")
    start(stack)
    house.wait_free(SEATS)
    call = house.call(0.3)
    assert house.wait(call, "completed")["hangup_by"] == "agent"
    seated, answered = house.times(call)
    assert seated > answered
    house.wait_free(SEATS)
    house.wait_nothing_held()


def test_a_call_is_handed_on_within_the_fleet(stack: Stack, connection: redis.Redis) -> None:
    """A seat is found for the next agent, and the first one's is given back; with every seat taken it talks on."""
    house = Desk(stack, connection, "epsilon")
    start(stack)
    house.wait_free(SEATS)
    second = agents.create(stack.db, tenant_id=house.account.id, name="second", kind="fleet", pool="desk")
    first = parse_ref("agent", house.agent)
    agents.change(stack.db, house.account.id, first, transfer_to=[agent_ref(second.id)])
    calls = [house.call(600) for _ in range(SEATS)]
    for call in calls:
        house.wait(call, "in_progress")
    seats = {call: house.wait_seated(call) for call in calls}
    house.wait_free(0)

    def hand_on(call: str) -> str:
        """What came of it."""
        asked = house.api.post(f"/v1/calls/{call}/actions/transfer", {"agent_id": agent_ref(second.id)})
        assert asked.status == 202, asked.body
        of_it = f"/v1/calls/{call}/actions/{asked.body['id']}"
        wait_until("its end", lambda: house.api.get(of_it).body["result"] is not None, timeout_s=60)
        return str(house.api.get(of_it).body["result"])

    assert hand_on(calls[0]) == "not_transferred"
    house.hang_up(calls[1])
    house.wait(calls[1], "completed")
    house.wait_free(1)
    assert hand_on(calls[0]) == "transferred"
    house.wait_free(1)
    seated = [event["data"]["seat"] for event in house.events(calls[0]) if event["type"] == "relay.seat"]
    assert seated == [seats[calls[0]], seats[calls[1]]], "its first one is the free one now"
    assert house.see(calls[0])["status"] == house.see(calls[2])["status"] == "in_progress"
    assert house.see(calls[0])["agent_id"] == agent_ref(second.id)
    for call in (calls[0], calls[2]):
        house.hang_up(call)
    house.wait_ended(calls)
    house.wait_free(SEATS)
    house.wait_nothing_held()
    assert connection.hlen(f"{PREFIX}next") == 0


@pytest.fixture(scope="module")
def callers(stack: Stack) -> Iterator[Callers]:
    host, _, port = stack.places[0].sip.rpartition(":")
    with Callers((host, int(port)), simulated=True, log=stack.run / "fleet-callers.jsonl") as callers:
        yield callers


def keep(house: Desk, count: int) -> None:
    """So many seats are for callers; the budget knows."""
    agent_pools.update(house.stack.db, "desk", inbound_reserved=count)
    key, wanted = f"{PREFIX}s:seats:desk", str(count).encode() if count else b""
    wait_until("the reserve", lambda: (house.redis.hget(key, "reserved") or b"") == wanted, timeout_s=60)


def test_callers_have_their_seats_and_what_is_dialed_waits(stack: Stack, connection: redis.Redis, callers: Callers) -> None:
    house = Desk(stack, connection, "delta")
    numbers.put(stack.db, number=DID, tenant_id=house.account.id, agent_id=parse_ref("agent", house.agent))
    start(stack)
    house.wait_free(SEATS)
    keep(house, SEATS)
    dialed = house.call(0.2)
    blocked = f"/v1/calls/{dialed}/queue"
    wait_until("it waits for a seat", lambda: "seats" in str(house.api.get(blocked).body["blocked_by"]), timeout_s=60)
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
