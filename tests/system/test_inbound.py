"""People call: their calls are taken, rung, answered by the agent, refused in order, and told as they were.

Real processes on the simulated switch, which follows dialplan/inbound.xml; the truth is what the callers' own socket saw.
"""

from __future__ import annotations

import io
import socket
import time
import urllib.request
import wave
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis

from budget.scripts import PREFIX
from lab.audio import pcm
from lab.carrier.caller import PlacedCall
from store import agents, numbers, scopes, switches, tenants
from store import carriers as carrier_store
from store.scopes import Scope
from tests.system.callers import Callers
from tests.system.conftest import CHECKOUT
from tests.system.house import House
from tests.system.recorded import share
from tests.system.switch_words import ask
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

#: One number for each test's agent; the last digits are what the test says they are.
DID, SLOW, CROWDED, PLAYED, PAUSED, GREETED = (f"+498911122{n}" for n in range(20, 26))
NOBODYS = "+4989111999"
CALLER = "+4930123456"
CHANNELS = 6


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    environ = {
        # For the agents that are there; each test of one that is not waits as long.
        "TRUNKLINE_AGENT_CONNECT_TIMEOUT_S": "5",
        "TRUNKLINE_RECONCILE_INTERVAL_S": "1",
        # What is dialed here besides only has to get through, however busy the machine is.
        "TRUNKLINE_SLOT_GRACE_MS": "200",
        "TRUNKLINE_JITTER_MS": "250",
    }
    stack = Stack(CHECKOUT, [LabCarrier("lab_a", CHANNELS, 10)], [Route("all", ("",), ("lab_a",))], environ=environ)
    with stack:
        house = House(stack, webhook_url="http://127.0.0.1:9/hook")
        number(house, DID, stack.reference_agent(house.account, "front"))
        yield house


@pytest.fixture(scope="module")
def callers(house: House) -> Iterator[Callers]:
    host, _, port = house.stack.places[0].sip.rpartition(":")
    with Callers((host, int(port)), simulated=True, log=house.stack.run / "callers.jsonl") as callers:
        yield callers


@pytest.fixture(scope="module")
def nobody_answers() -> Iterator[int]:
    """A port that takes connections and says nothing: an agent that is never ready."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def lab(house: House) -> Callable[[str], str]:
    """``lab("tone <uuid> 440")``, as in conftest.py."""
    return lambda words: ask(house.stack, f"lab {words}")


def number(house: House, did: str, agent: UUID, **more: Any) -> None:
    numbers.put(house.stack.db, number=did, tenant_id=house.account.id, agent_id=agent, **more)


def told(house: House, placed: PlacedCall) -> dict[str, Any]:
    """The call that was made of it, found by the carrier's own Call-ID; with ``attempts`` and ``events``."""
    with psycopg.connect(house.stack.database_url) as conn:
        sql = "SELECT call_id FROM call_events WHERE type = 'call.received' AND data ->> 'sip_call_id' = %s"

        def row() -> Any:
            return conn.execute(sql, (placed.call_id,)).fetchone()

        wait_until("the call's row", lambda: row() is not None, timeout_s=60)
        call = f"call_{row()[0].hex}"
    return {**house.see(call), "events": house.api.get(f"/v1/calls/{call}/events").body["data"]}


def ended(house: House, placed: PlacedCall) -> dict[str, Any]:
    house.wait_ended([told(house, placed)["id"]])
    return told(house, placed)


def end_of(call: dict[str, Any]) -> tuple[Any, ...]:
    return call["status"], call["end_reason"], call["hangup_by"], call["sip_code"]


def test_a_caller_is_rung_answered_and_heard(house: House, callers: Callers, lab: Callable[[str], str]) -> None:
    placed = callers.call(DID, CALLER, speech="beeps:880")
    callers.wait_status(placed, 200)
    assert placed.statuses == [100, 180, 200]
    assert not any(message.body for message in placed.said[:-1])
    call = told(house, placed)
    assert (call["direction"], call["from"], call["to"], call["attempt_count"]) == ("inbound", CALLER, DID, 1)
    (attempt,) = call["attempts"]

    def hears(hz: int) -> bool:
        said = lab(f"tone {attempt['id']} {hz} 0.5")
        return said.startswith("+OK") and float(said.split()[1]) > 0.3

    wait_until("the agent, who echoes what the caller says", lambda: hears(880), timeout_s=60)
    callers.hang_up(placed)
    call = ended(house, placed)
    assert end_of(call) == ("completed", "hangup", "caller", 200)
    (attempt,) = call["attempts"]
    assert attempt["ringing_at"] < attempt["answered_at"] < attempt["ended_at"]
    assert attempt["early_at"] is None
    # Nothing of the caller reached the agent before the answer: there was no media socket.
    assert first(call, "relay.agent_ready") < attempt["answered_at"] < first(call, "relay.fork_connected")
    wait_until("the time the agent took", lambda: told(house, placed)["agent_connect_ms"] is not None, timeout_s=60)
    heard = webhooks(house, call["id"])
    assert [one for one in heard if one[0] not in ("call.agent_connected", "call.result")] == [
        ("call.received", "dialing"),
        ("call.ringing", "ringing"),
        ("call.answered", "in_progress"),
        ("call.completed", "completed"),
    ]
    assert [kind for kind, _ in heard].count("call.agent_connected") == 1


def test_a_caller_is_recorded_as_the_account_has_it(house: House, callers: Callers) -> None:
    tenants.update(house.stack.db, house.account.name, recording="answer")
    try:
        placed = callers.call(DID, CALLER, speech="tone:440")
        callers.wait_status(placed, 200)
        call = told(house, placed)
    finally:
        tenants.update(house.stack.db, house.account.name, recording="off")
    recording_of(house, call, "recording")
    time.sleep(1.0)  # of sound
    callers.hang_up(placed)
    kept = recording_of(house, call, "available")
    with urllib.request.urlopen(kept["url"], timeout=10) as answer, wave.open(io.BytesIO(answer.read())) as sound:
        samples = pcm.unpack(sound.readframes(sound.getnframes()))
    assert share(samples[::2].tobytes(), 440) > 0.8, "who is at the other end of the line is left"


def recording_of(house: House, call: dict[str, Any], state: str) -> dict[str, Any]:
    """The call's one recording, once it is so far."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = house.api.get(f"/v1/calls/{call['id']}/recordings").body["data"]
        return [one["state"] for one in found] == [state]

    wait_until(f"the recording of {call['id']} to be {state}", there, timeout_s=60, every_s=0.1)
    return found[0]


def first(call: dict[str, Any], kind: str) -> str:
    return next(str(event["at"]) for event in call["events"] if event["type"] == kind)


def webhooks(house: House, call: str) -> list[tuple[str, str]]:
    """What the enterprise is told of it, all of which says that it came in."""
    with psycopg.connect(house.stack.database_url) as conn:
        sql = "SELECT type, body -> 'data' FROM outbox WHERE call_id = %s ORDER BY sequence"
        rows = conn.execute(sql, (UUID(call.removeprefix("call_")),)).fetchall()
    assert {data["direction"] for _, data in rows} == {"inbound"}
    return [(kind, data["status"]) for kind, data in rows]


def test_a_caller_is_greeted_at_the_answer_and_then_hears_the_agent(
    house: House, callers: Callers, lab: Callable[[str], str]
) -> None:
    pcm.write_wav(str(house.stack.audio / "welcome.wav"), pcm.tone(1500, 2.0))
    (house.stack.audio / "welcome.wav").chmod(0o644)
    agent = agents.create(
        house.stack.db,
        tenant_id=house.account.id,
        name="greeting",
        kind="websocket",
        url=house.stack.agent_url,
        greeting={"audio": "welcome.wav"},
    )
    number(house, GREETED, agent.id)
    placed = callers.call(GREETED, CALLER, speech="beeps:880")
    callers.wait_status(placed, 200)
    assert placed.statuses == [100, 180, 200]
    (attempt,) = told(house, placed)["attempts"]

    def hears(hz: int) -> bool:
        said = lab(f"tone {attempt['id']} {hz} 0.5")
        return said.startswith("+OK") and float(said.split()[1]) > 0.3

    wait_until("the greeting", lambda: hears(1500), timeout_s=15)
    wait_until("the agent, who echoes what the caller says", lambda: hears(880), timeout_s=30)
    callers.hang_up(placed)
    call = ended(house, placed)
    assert end_of(call) == ("completed", "hangup", "caller", 200)
    (attempt,) = call["attempts"]
    assert attempt["answered_at"] <= first(call, "relay.greeting") < first(call, "relay.first_audio")
    kinds = [event["type"] for event in call["events"]]
    assert (kinds.count("relay.greeting"), kinds.count("relay.greeting_failed")) == (1, 0)


def test_the_customer_and_the_agent_can_hang_up(house: House, callers: Callers) -> None:
    placed = callers.call(DID, "anonymous", display="a;b,c")
    callers.wait_status(placed, 200)
    call = told(house, placed)
    assert call["from"] == "anonymous"
    house.hang_up(call["id"])
    callers.wait_ended(placed)
    assert end_of(ended(house, placed)) == ("completed", "hangup", "customer", 200)


def test_an_announcement_answers_and_ends_the_call(house: House, callers: Callers) -> None:
    pcm.write_wav(str(house.stack.audio / "closed.wav"), pcm.tone(440, 0.3))
    number(house, PLAYED, house.stack.announcement(house.account, "closed.wav"))
    placed = callers.call(PLAYED)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 180, 200]
    call = ended(house, placed)
    assert end_of(call)[0] == "completed"


def test_a_caller_who_gives_up_while_it_rings(house: House, callers: Callers, nobody_answers: int) -> None:
    slow(house, nobody_answers)
    placed = callers.call(SLOW)
    callers.wait_status(placed, 180)
    callers.cancel(placed)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 180, 487]
    call = ended(house, placed)
    assert end_of(call) == ("canceled", "caller_gave_up", "caller", 487)
    assert call["attempts"][0]["answered_at"] is None
    assert webhooks(house, call["id"])[-1] == ("call.canceled", "canceled")


def test_an_agent_that_is_not_ready_in_time(house: House, callers: Callers, nobody_answers: int) -> None:
    slow(house, nobody_answers)
    placed = callers.call(SLOW)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 180, 480]
    assert end_of(ended(house, placed)) == ("failed", "agent_unavailable", "platform", 480)


def test_a_caller_whose_agent_is_not_ready_is_answered_for_its_fallback(
    house: House, callers: Callers, nobody_answers: int
) -> None:
    pcm.write_wav(str(house.stack.audio / "sorry.wav"), pcm.tone(700, 0.5))
    (house.stack.audio / "sorry.wav").chmod(0o644)
    agent = agents.create(
        house.stack.db,
        tenant_id=house.account.id,
        name="polite",
        kind="websocket",
        url=f"ws://127.0.0.1:{nobody_answers}/",
        fallback={"action": "announcement", "audio": "sorry.wav"},
    )
    number(house, SLOW, agent.id)
    placed = callers.call(SLOW)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 180, 200]
    assert end_of(ended(house, placed))[:3] == ("completed", "agent_unavailable", "platform")


def slow(house: House, port: int) -> None:
    """SLOW leads to an agent that never gets ready."""
    known = agents.get_by_name(house.stack.db, house.account.id, "slow")
    url = f"ws://127.0.0.1:{port}/"
    agent = known or agents.create(house.stack.db, tenant_id=house.account.id, name="slow", kind="websocket", url=url)
    number(house, SLOW, agent.id)


def test_nobodys_number_is_refused_and_counted_and_nothing_else(house: House, callers: Callers) -> None:
    before = sum(one.count for one in numbers.list_refused(house.stack.db) if one.reason == "unknown_number")
    calls = len(house.listed())
    placed = callers.call(NOBODYS)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 404]

    def counted() -> int:
        return sum(one.count for one in numbers.list_refused(house.stack.db) if one.reason == "unknown_number")

    wait_until("the count", lambda: counted() == before + 1, timeout_s=60)
    assert next(one for one in numbers.list_refused(house.stack.db)).last_number == NOBODYS
    assert len(house.listed()) == calls


def test_a_paused_agent_takes_no_calls(house: House, callers: Callers) -> None:
    agent = house.stack.reference_agent(house.account, "resting")
    number(house, PAUSED, agent)
    agents.set_paused(house.stack.db, agent, True)
    placed = callers.call(PAUSED)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 480]
    assert end_of(ended(house, placed)) == ("failed", "agent_unavailable", "platform", 480)
    agents.set_paused(house.stack.db, agent, False)
    again = callers.call(PAUSED)
    callers.wait_status(again, 200)
    callers.hang_up(again)
    ended(house, again)


def test_agents_who_have_as_many_as_they_may_are_busy(house: House, callers: Callers) -> None:
    scopes.put(house.stack.db, Scope("agents:desk", 1, None))
    number(house, CROWDED, house.stack.reference_agent(house.account, "desk"), pool="desk")
    wait_for_limit(house, "agents:desk", "1")
    first = callers.call(CROWDED)
    callers.wait_status(first, 200)
    second = callers.call(CROWDED)
    callers.wait_ended(second)
    assert second.statuses == [100, 486]
    assert end_of(ended(house, second)) == ("busy", "agent_busy", "platform", 486)
    callers.hang_up(first)
    ended(house, first)

    def taken() -> bool:
        third = callers.call(CROWDED)
        callers.wait_ended(third) if (status := answer_of(callers, third)) != 200 else callers.hang_up(third)
        return status == 200

    wait_until("the place to be free again", taken, timeout_s=60)


def answer_of(callers: Callers, placed: PlacedCall) -> int:
    wait_until("the final answer", lambda: placed.final > 0, timeout_s=60)
    return placed.final


def wait_for_limit(house: House, scope: str, most: str) -> None:
    """The feeder has told the budget."""
    with redis.Redis.from_url(house.stack.redis_url, decode_responses=True) as connection:
        wait_until(f"{scope} in the budget", lambda: connection.hget(f"{PREFIX}s:{scope}", "max") == most, timeout_s=60)


def test_a_full_carrier_and_its_reserve(house: House, callers: Callers) -> None:
    (carrier,) = carrier_store.list_limits(house.stack.db)
    carrier_store.update(house.stack.db, carrier.name, inbound_reserved=CHANNELS - 1)
    with redis.Redis.from_url(house.stack.redis_url, decode_responses=True) as connection:
        key = f"{PREFIX}s:carrier:{carrier.id}"
        wait_until("the reserve", lambda: connection.hget(key, "reserved") == str(CHANNELS - 1), timeout_s=60)
    house.wait_nothing_held()
    out = [house.post("0120"), house.post("0120")]  # answered, and nobody hangs up
    wait_until(
        "one of ours to be answered", lambda: "in_progress" in {house.see(one)["status"] for one in out}, timeout_s=30
    )
    placed = [callers.call(DID) for _ in range(CHANNELS - 1)]
    for one in placed:
        callers.wait_status(one, 200)
    # The carrier is full: one of ours and all of its reserve. The other of ours has waited all the time.
    assert sorted(house.see(one)["status"] for one in out) == ["in_progress", "queued"]
    late = callers.call(DID)
    callers.wait_ended(late)
    assert late.statuses == [100, 503]
    assert end_of(ended(house, late)) == ("failed", "house_full", "platform", 503)
    for one in placed:
        callers.hang_up(one)
    for dialed in out:
        house.hang_up(dialed)
    house.wait_ended([*out, *(told(house, one)["id"] for one in placed)])
    carrier_store.update(house.stack.db, carrier.name, inbound_reserved=0)


def test_a_drained_switch_sends_callers_elsewhere(house: House, callers: Callers) -> None:
    switches.drain(house.stack.db, "fs1", datetime.now(UTC))
    calls = len(house.listed())
    placed = callers.call(DID)
    callers.wait_ended(placed)
    assert placed.statuses == [100, 503]
    assert len(house.listed()) == calls
    switches.drain(house.stack.db, "fs1", None)
    again = callers.call(DID)
    callers.wait_status(again, 200)
    callers.hang_up(again)
    ended(house, again)


def test_callers_outlive_their_controller(house: House, callers: Callers) -> None:
    """One is talking when it is killed, one calls while it is away: the next controller knows both, and counts them."""
    supervisor = house.stack.supervisor
    talking = callers.call(DID)
    callers.wait_status(talking, 200)
    supervisor.kill("controller")
    supervisor.wait_gone("controller", 10)
    waiting = callers.call(DID)
    callers.wait_status(waiting, 100)
    supervisor.start("controller")
    callers.wait_status(waiting, 200)
    assert waiting.statuses == [100, 180, 200]
    for one in (talking, waiting):
        callers.hang_up(one)
        assert end_of(ended(house, one))[:3] == ("completed", "hangup", "caller")


def test_many_at_once_some_of_whom_give_up(house: House, callers: Callers, nobody_answers: int) -> None:
    slow(house, nobody_answers)
    (carrier,) = carrier_store.list_limits(house.stack.db)
    carrier_store.update(house.stack.db, carrier.name, counts_inbound=False)
    placed = [callers.call(SLOW if n % 4 == 0 else DID, f"+49301234{n:02d}") for n in range(20)]
    impatient, others = placed[::4], [one for n, one in enumerate(placed) if n % 4]
    for one in impatient:
        callers.cancel(one)  # whether it rings yet or not
    for one in others:
        callers.wait_status(one, 200)
        callers.hang_up(one)
    for one in impatient:
        callers.wait_ended(one)
        assert one.statuses[-1] == 487
    assert {end_of(ended(house, one))[:3] for one in others} == {("completed", "hangup", "caller")}
    carrier_store.update(house.stack.db, carrier.name, counts_inbound=True)


def test_afterwards_nothing_is_held_and_every_attempt_is_its_channel(house: House) -> None:
    with psycopg.connect(house.stack.database_url) as conn:
        wait_until(
            "every end", lambda: conn.execute("SELECT count(*) FROM calls WHERE NOT ended").fetchone() == (0,), timeout_s=30
        )
        unlike = conn.execute(
            "SELECT count(*) FROM attempts a JOIN calls c ON c.id = a.call_id"
            " WHERE (c.direction = 'inbound') IS DISTINCT FROM a.inbound"
            " OR (a.inbound AND (a.number <> 1 OR a.gateway IS NOT NULL))"
        ).fetchone()
        contradictions = conn.execute("SELECT data FROM call_events WHERE type = 'attempt.contradiction'").fetchall()
    assert unlike == (0,)
    assert contradictions == []
    house.wait_nothing_held()
