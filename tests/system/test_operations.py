"""What an operator does to a house at work: end processes in order, drain a switch, pause an agent, hang up everything.

Two switches beside one carrier, real processes, the command line as a person uses it; the truth is the carrier's raw arrival
log. Nothing is lost, nothing dialed twice, no limit broken, no lease left.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import redis

from budget.scripts import PREFIX
from calls.ids import agent_ref
from tests.system.house import PATIENCE_S, SHARED, House
from tests.system.truth import Allowed, broken_limits, strangers
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=10, cps=15, ring="0.4:0.7", talk="0.8:1.4")
#: Each is told to end while calls flow, and started again.
PROCESSES = ("web", "controller-fs1", "relay-fs1", "feeder", "watchdog", "dispatcher", "health")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    stack = Stack(
        ROOT,
        [CARRIER],
        [Route("all", ("",), ("lab_a",))],
        environ=SHARED | {"TRUNKLINE_RECONCILE_INTERVAL_S": "2", "TRUNKLINE_PROBE_GRACE_S": "2"},
        switches=2,
    )
    with stack:
        yield House(stack)


def trunkline(house: House, *arguments: str) -> str:
    """What ``trunkline ARGS`` says; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-c", "from trunkline.cli import main; main()", *arguments],
        env={**os.environ, "DATABASE_URL": house.stack.database_url, "REDIS_URL": house.stack.redis_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def queue(house: House, call: str) -> dict[str, Any]:
    answer = house.api.get(f"/v1/calls/{call}/queue")
    assert answer.status == 200, answer
    return dict(answer.body)


def check(house: House, ids: list[str], since_ns: int, allowed: Allowed = Allowed()) -> None:
    house.wait_ended(ids)
    log = house.stack.arrivals(CARRIER.name)
    wrong = broken_limits(log, cps=CARRIER.cps, channels=CARRIER.channels, since_ns=since_ns)
    wrong += house.differences(ids, allowed)
    assert not wrong, "\n".join(wrong)
    house.wait_nothing_held()


def test_every_process_ends_in_order_and_nothing_is_lost(house: House) -> None:
    since, ids = time.time_ns(), []
    for name in PROCESSES:
        before = house.invites(CARRIER.name)
        ids += [house.post() for _ in range(4)]
        house.wait_invites(CARRIER.name, 1, before)
        assert house.stack.supervisor.stop(name, PATIENCE_S) == 0, house.stack.supervisor.tail(name)
        house.stack.supervisor.start(name)
    house.stack.wait_ready()
    # Between its end and its successor's start nobody heard the events of a controller's switch.
    check(house, ids, since, Allowed(unseen=True))
    cut = [str(leg) for leg in house.legs_of(ids) if leg.answered_at is not None and leg.bye]
    assert not cut, f"a talk was cut: {cut}"


def test_a_drained_switch_gets_no_calls_until_it_is_back(house: House) -> None:
    since = time.time_ns()
    ids = [house.post() for _ in range(8)]

    def both() -> bool:
        """Which of the two takes a call nobody knows before: where one has had them all, there are more."""
        if all(switches(house, [call]) for call in ids) and switches(house, ids) < {"fs1", "fs2"}:
            ids.extend(house.post() for _ in range(4))
        return switches(house, ids) >= {"fs1", "fs2"}

    wait_until("calls on both", both, timeout_s=PATIENCE_S)
    said = trunkline(house, "drain", "fs1", "--wait", str(PATIENCE_S))
    assert said.startswith("switch fs1: drained since")
    assert said.splitlines()[-1] == "0 calls left"
    drained = time.time()
    more = [house.post() for _ in range(8)]
    house.wait_ended(more)
    assert switches(house, more) == {"fs2"}, "the rest leaves by the other switch"
    trunkline(house, "drain", "fs2")
    waits = house.post()
    wait_until("the call to be held", lambda: "drained" in why(house)["sentence"], timeout_s=PATIENCE_S, every_s=0.3)
    assert "fs1: drained, 0 calls left" in why(house)["sentence"]
    trunkline(house, "undrain", "fs1")
    house.wait_ended([waits])
    assert switches(house, [waits]) == {"fs1"}
    trunkline(house, "drain", "fs2", "--undo")
    check(house, [*ids, *more, waits], since)
    late = [a for call in ids for a in house.see(call)["attempts"] if stamp(a["dialed_at"]) > drained]
    assert not late


def stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def switches(house: House, ids: list[str]) -> set[str]:
    """Where these calls were claimed, by their events."""
    found = set()
    for call in ids:
        answer = house.api.get(f"/v1/calls/{call}/events")
        found |= {event["data"]["switch"] for event in answer.body["data"] if event["type"] == "attempt.claimed"}
    return found


def why(house: House) -> dict[str, Any]:
    return dict(json.loads(trunkline(house, "why", "--json")))


def test_the_calls_of_a_paused_agent_wait_and_the_others_go_on(house: House) -> None:
    since = time.time_ns()
    other = agent_ref(house.stack.reference_agent(house.account, "second"))
    trunkline(house, "agents", "pause", "acme", "second")
    held = [house.post(agent_id=other) for _ in range(5)]
    go_on = [house.post() for _ in range(4)]
    house.wait_ended(go_on)
    assert {house.see(call)["status"] for call in held} == {"queued"}
    assert [queue(house, call)["position"] for call in held] == [1, 2, 3, 4, 5]
    assert queue(house, held[0])["blocked_by"]["detail"] == "Its agent is paused."
    assert why(house)["sentence"] == "Held by agent acme/second: paused, 5 calls wait."
    # Nobody takes them out of their lane again and again: no permit is granted, and the rows stay as they are.
    with redis.Redis.from_url(house.stack.redis_url) as connection:
        permits = connection.get(f"{PREFIX}fence")
        wait_until("the feeder and the pumps to look", lambda: looked(connection) >= 3, timeout_s=PATIENCE_S)
        assert connection.get(f"{PREFIX}fence") == permits
    expiring = house.post(
        agent_id=other, expires_at=f"{datetime.fromtimestamp(time.time() + 6).astimezone():%FT%T%z}"[:-2] + ":00"
    )
    assert house.wait(expiring, "expired")["attempts"][0]["dialed_at"] is None
    trunkline(house, "agents", "resume", "acme", "second")
    check(house, [*held, *go_on], since)
    assert {house.see(call)["status"] for call in held} == {"completed"}


_LOOKS: list[bytes] = []


def looked(connection: redis.Redis) -> int:
    """How often a pump was seen to have asked for this carrier anew."""
    (key,) = list(connection.scan_iter(f"{PREFIX}s:carrier:*"))
    asked = connection.hget(key, "asked")
    if asked is not None and (not _LOOKS or _LOOKS[-1] != asked):
        _LOOKS.append(bytes(asked))
    return len(_LOOKS)


def test_a_kill_hangs_up_what_is_up_and_cancels_what_waits(house: House) -> None:
    since = time.time_ns()
    ids = [house.post("0122") for _ in range(CARRIER.channels + 5)]  # callees who never hang up
    wait_until("all channels to talk", lambda: talking(house) == CARRIER.channels, timeout_s=PATIENCE_S)
    said = trunkline(house, "kill", "--tenant", "acme", "--cancel-queued", "--yes", "--wait", str(PATIENCE_S))
    assert f"{CARRIER.channels} live calls are being hung up" in said
    assert "5 queued calls are canceled" in said
    assert said.splitlines()[-1] == "0 calls left"
    again = trunkline(house, "kill", "--tenant", "acme", "--yes", "--wait", "1")
    assert "0 live calls are being hung up" in again
    check(house, ids, since)
    seen = [house.see(call) for call in ids]
    live = [call for call in seen if call["answered_at"] is not None]
    assert [(c["status"], c["end_reason"], c["hangup_by"]) for c in live] == [("completed", "hangup", "operator")] * len(
        live
    )
    assert len(live) == CARRIER.channels
    assert {call["status"] for call in seen if call["answered_at"] is None} == {"canceled"}
    assert sum(leg.bye for leg in house.legs_of(ids)) == CARRIER.channels
    waits = house.post()
    wait_until("the call to be held", lambda: "tenant acme: paused" in why(house)["sentence"], timeout_s=PATIENCE_S)
    trunkline(house, "tenants", "resume", "acme")
    house.wait_ended([waits])


def talking(house: House) -> int:
    return sum(leg.talks for leg in house.legs().values())


def test_the_carrier_saw_each_attempt_once(house: House) -> None:
    calls = [house.see(call) for call in house.posted]
    assert not (wrong := strangers(house.legs(), calls)), "\n".join(wrong)
