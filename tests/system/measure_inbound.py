"""The figures on inbound calls in docs/real-freeswitch.md: people call one house around the FreeSWITCH of FREESWITCH_ESL.

    FREESWITCH_ESL=127.0.0.1:8021 FREESWITCH_PASSWORD=... python -m tests.system.measure_inbound [CALLS] [PER_SECOND] [fleet]

CALLS (50) callers, so many a second (25): every fifth gives up while it rings, every tenth dials nobody's number, the
others talk to the agent by RTP and hang up. With ``fleet`` that is a worker of the fleet, of which there are as many as
callers. What each heard and was told is compared with what the API says of it. Without FREESWITCH_ESL the simulated switch
has to stand the same. Exit status 1 when anything differs.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg
import redis

from budget.seats import pools
from lab.carrier.caller import PlacedCall
from lab.judge import read_log
from store import agent_pools, agents, numbers
from store import carriers as carrier_store
from tests.system.callers import Callers
from tests.system.conftest import CHECKOUT
from tests.system.house import House
from tests.system.measure_real_freeswitch import show
from tests.system.test_fleet import start
from tests.system.test_real_freeswitch import given_switch
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

DID, SLOW, NOBODYS = "+4989111222", "+4989111223", "+4989111999"
TALK_S = 1.5


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 25.0
    switch = given_switch()
    # Those who call an agent that is never ready give up when all have called.
    patient = {"TRUNKLINE_AGENT_CONNECT_TIMEOUT_S": "25"}
    lab, route = LabCarrier("lab_a", 20, 10), Route("all", ("",), ("lab_a",))
    stack = Stack(CHECKOUT, [lab], [route], environ=patient, private=True, switch=switch)
    with stack, socket.create_server(("127.0.0.1", 0)) as silent:
        house = House(stack)
        carrier_store.update(stack.db, "lab_a", max_channels=count)
        slow = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        front = a_fleet(house, count) if "fleet" in sys.argv else stack.reference_agent(house.account, "front")
        away = agents.create(stack.db, tenant_id=house.account.id, name="away", kind="websocket", url=slow)
        for did, agent in ((DID, front), (SLOW, away.id)):
            numbers.put(stack.db, number=did, tenant_id=house.account.id, agent_id=agent)
        log = stack.run / "callers.jsonl"
        with Callers(door(stack), simulated=switch is None, log=log, record_dir=stack.run / "heard") as callers:
            placed = call_all(callers, count, 1 / rate)
            verdict = judge(house, placed, facts(log))
        house.wait_nothing_held()
        print("nothing held afterwards")
    return verdict


def a_fleet(house: House, count: int) -> UUID:
    """An agent with so many workers, which are there; its id."""
    stack = house.stack
    agent_pools.update(stack.db, "desk")
    start(stack, count)
    with redis.Redis.from_url(stack.redis_url) as connection:
        wait_until("the workers", lambda: any(one.free == count for one in pools(connection)), timeout_s=60)
    return agents.create(stack.db, tenant_id=house.account.id, name="worker", kind="fleet", pool="desk").id


def door(stack: Stack) -> tuple[str, int]:
    """Where the switch takes calls."""
    if stack.switch is not None:
        return os.environ.get("FREESWITCH_SIP_IP", "127.0.0.1"), int(os.environ.get("FREESWITCH_SIP_PORT", "5060"))
    host, _, port = stack.places[0].sip.rpartition(":")
    return host, int(port)


def kind_of(number: int) -> str:
    return NOBODYS if number % 10 == 9 else SLOW if number % 5 == 0 else DID


def call_all(callers: Callers, count: int, every_s: float) -> list[PlacedCall]:
    """All have hung up, given up or been refused when this returns."""
    placed: list[PlacedCall] = []
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + number * every_s - time.monotonic()))
        placed.append(callers.call(kind_of(number), f"+493012{number:04d}", speech="beeps:880"))
    for one in placed:
        if one.number == SLOW:
            callers.wait_status(one, 180)
            callers.cancel(one)
    for one in placed:
        if one.number == DID:
            callers.wait_status(one, 200)
    time.sleep(TALK_S)
    for one in placed:
        if one.number == DID:
            callers.hang_up(one)
        callers.wait_ended(one)
    return placed


def facts(log: Any) -> dict[str, dict[str, int]]:
    """By Call-ID: the first stamp (ns) of each kind of fact."""
    found: dict[str, dict[str, int]] = {}
    for fact in read_log(log):
        if "call_id" in fact:
            found.setdefault(fact["call_id"], {}).setdefault(fact["k"], int(fact["t"]))
    return found


WANTED = {
    DID: ([100, 180, 200], ("completed", "hangup", "caller")),
    SLOW: ([100, 180, 487], ("canceled", "caller_gave_up", "caller")),
    NOBODYS: ([100, 404], None),
}


def judge(house: House, placed: Iterable[PlacedCall], seen: dict[str, dict[str, int]]) -> int:
    """Prints what became of them; 1 when a caller was told something else than the API tells, or heard nobody."""
    calls = list(placed)
    with psycopg.connect(house.stack.database_url) as conn:
        sql = """SELECT e.data ->> 'sip_call_id', c.status, c.end_reason, c.hangup_by FROM call_events e
                 JOIN calls c ON c.id = e.call_id WHERE e.type = 'call.received'"""

        def rows() -> dict[str, tuple[str, str, str]]:
            return {row[0]: row[1:] for row in conn.execute(sql)}

        def over() -> bool:
            return not any(row[0] in ("dialing", "ringing", "in_progress") for row in rows().values())

        wait_until("every end", over, timeout_s=60)
        told = rows()
        odd = conn.execute("SELECT count(*) FROM call_events WHERE type = 'attempt.contradiction'").fetchone()
    faults = [f"contradictions: {odd[0]}"] if odd is not None and odd[0] else []
    for one in calls:
        statuses, end = WANTED[one.number]
        if one.statuses != statuses or told.get(one.call_id) != end:
            faults.append(f"{one.number} {one.call_id}: {one.statuses}, told {told.get(one.call_id)}")
    outcome = Counter((one.number, *one.statuses, *(told.get(one.call_id) or ("no call",))) for one in calls)
    for what, how_many in sorted(outcome.items(), key=str):
        print(f"{how_many:4d}  {what}")
    talked = [seen[one.call_id] for one in calls if one.number == DID]
    show("INVITE -> 180", (one["progress"] - one["placed"] for one in talked))
    show("INVITE -> 200", (one["answer"] - one["placed"] for one in talked))
    refused = [seen[one.call_id] for one in calls if one.number == NOBODYS]
    show("INVITE -> 404", (one["final"] - one["placed"] for one in refused))
    if house.stack.switch is not None:
        deaf = [one for one in talked if "heard" not in one]
        early = [one for one in talked if one.get("rtp", one["answer"]) < one["answer"]]
        show("200 -> the agent's first sound in RTP", (one["heard"] - one["answer"] for one in talked if "heard" in one))
        faults += [f"{len(deaf)} callers heard nobody"] if deaf else []
        faults += [f"{len(early)} callers heard something before the answer"] if early else []
    print("\n".join(faults) or f"{len(calls)} calls, each told as it was")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
