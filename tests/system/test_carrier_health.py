"""A carrier that fails, and one that refuses: seen at the carriers' sockets, while calls go on through the others."""

from __future__ import annotations

import pathlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import redis

from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.ids import call_ref
from lab.judge import judge, read_log
from store import carriers, outcomes
from store.outcomes import Standing
from tests.system.house import PATIENCE_S, House
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
RING, TALK = "0.2:0.4", "0.3:0.6"
FIRST = LabCarrier("first", channels=40, cps=10, ring=RING, talk=TALK)
SECOND = LabCarrier("second", channels=40, cps=8, ring=RING, talk=TALK)
#: It allows less than we were told, and says so.
STRICT = LabCarrier("strict", channels=40, cps=10, ring=RING, talk=TALK, options=("--cps 4",))
BOTH_AREA, STRICT_AREA = "415", "212"
PROBES = 3
ENVIRON = {
    "TRUNKLINE_HEALTH_PAUSE_S": "1.5",
    "TRUNKLINE_HEALTH_PROBES": str(PROBES),
    "TRUNKLINE_HEALTH_PROBE_INTERVAL_S": "0.5",
    "TRUNKLINE_SLOW_RECOVER_S": "20",
    "TRUNKLINE_RETRY_CARRIER_S": "1",
    "TRUNKLINE_RETRY_CAPACITY_S": "1",
    # Not the pace is tried here, but who is given the calls; a machine with other work to do is to break no limit.
    "TRUNKLINE_JITTER_MS": "250",
}
S = 1_000_000_000


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    routes = [
        Route("both", (f"1{BOTH_AREA}",), (FIRST.name, SECOND.name)),
        Route("strict", (f"1{STRICT_AREA}",), (STRICT.name,)),
    ]
    with Stack(ROOT, [FIRST, SECOND, STRICT], routes, environ=ENVIRON, private=True) as stack:
        yield House(stack)


def carrier_id(house: House, name: str) -> UUID:
    return next(c.id for c in carriers.list_limits(house.stack.db) if c.name == name)


def becomes(house: House, name: str, *states: str) -> Standing:
    """The carrier's verdict as soon as it is one of these."""
    carrier = carrier_id(house, name)
    found: list[Standing] = []

    def there() -> bool:
        row = outcomes.standings(house.stack.db).get(carrier)
        found[:] = [row] if row is not None and row.state in states else []
        return bool(found)

    wait_until(f"{name} to be {' or '.join(states)}", there, timeout_s=PATIENCE_S, every_s=0.05)
    return found[0]


def invites(house: House, name: str, since_ns: float = 0, until_ns: float = 1e30) -> list[dict[str, Any]]:
    """INVITE transactions that arrived in that time."""
    log = read_log(house.stack.arrivals(name))
    return [r for r in log if r["k"] == "invite" and since_ns <= r["t"] < until_ns]


def replace_carrier(house: House, name: str, lab: LabCarrier, mix: Sequence[str]) -> None:
    """The carrier's program ends and another one listens in its place, as an operator's failover would be seen."""
    stack = house.stack
    listen = stack.carrier_addresses[lab.name]
    command = replace(lab, options=tuple(mix)).command(listen=listen, log=stack.arrivals(lab.name), seed=7, recordings=None)
    stack.supervisor.add(name, command)
    stack.supervisor.stop(f"carrier-{lab.name}" if name.endswith("out") else f"carrier-{lab.name}-out")
    stack.supervisor.start(name)
    stack.supervisor.wait_line(name, r'^(\{.*"ready": ?true.*\})$', timeout_s=PATIENCE_S)


def test_an_outage_stops_a_carrier_and_the_other_takes_its_calls(house: House) -> None:
    since = time.time_ns()
    ids: list[str] = []
    with calls_that_wait(house, ids):
        went, began, caught = _outage(house)
    # Whose carrier's program ended under them ring or talk on: nobody at the other end knows of them any more.
    ids = [call for call in ids if call not in caught]
    house.wait_ended(ids)
    assert {house.see(call)["status"] for call in ids} == {"completed"}
    # What arrived at nobody is sent again half a second later, and once more a second after: that is not our pacing.
    settled = int(began * S) + 2 * S
    for carrier, pieces in ((FIRST, ((since, went), (settled, None))), (SECOND, ((since, None),))):
        for start, end in pieces:
            arrived = between(house, carrier.name, start, end)
            verdict = judge(arrived, cps=carrier.cps, channels=carrier.channels)
            assert not verdict.violations


def _outage(house: House) -> tuple[int, float, set[str]]:
    """(ns, s: just before and after the first carrier began to fail; the calls that were at it when its program changed)."""
    house.wait_invites(FIRST.name, 25)
    becomes(house, FIRST.name, "ok")
    went = time.time_ns()
    replace_carrier(house, "carrier-first-out", FIRST, ("--mix fault=1", "--no-magic"))
    began = time.time()
    caught = in_flight(house, began)
    stopped = becomes(house, FIRST.name, "stopped")
    seen = time.time()
    assert "503 Service Unavailable and no ringing" in stopped.why
    faults = len(invites(house, FIRST.name, began * S, seen * S))
    assert 6 <= faults <= 40, "a few seconds of calls, not more"
    # Out of order for two trials and the beginning of a third pause. A trial takes calls that wait.
    wait_until("two trials", lambda: _stops(house) >= 3, timeout_s=PATIENCE_S, every_s=0.05)
    history = outcomes.history(house.stack.db, carrier_id(house, FIRST.name))
    probing = [row for row in history if row.state == "probing"]
    again = time.time()
    tried = invites(house, FIRST.name, seen * S + 0.5 * S, again * S)
    assert len(probing) == 2
    assert 4 <= len(tried) <= PROBES * 2, "counted calls and nothing else"
    assert len(invites(house, SECOND.name, seen * S, again * S)) >= 20, "the other goes on"
    replace_carrier(house, "carrier-first-back", FIRST, ())
    caught |= in_flight(house, time.time())  # a trial that was sent while nobody listened
    back = time.time_ns()
    wait_until(
        "ten calls through the first carrier, which is well again",
        lambda: len(invites(house, FIRST.name, back)) >= PROBES + 10,
        timeout_s=PATIENCE_S,
        every_s=0.05,
    )
    assert becomes(house, FIRST.name, "ok", "stopped", "probing").state == "ok"
    return went, began, caught


@contextmanager
def calls_that_wait(house: House, ids: list[str], least: int = 40) -> Iterator[None]:
    """Meanwhile as many wait for either carrier, however long the machine takes for the rest. ``ids``: what was posted."""
    over = threading.Event()

    def queued() -> int:
        with house.stack.db.connection() as conn:
            row = conn.execute(b"SELECT count(*) FROM attempts WHERE state = 'queued'").fetchone()
        assert row is not None
        return int(row[0])

    def post() -> None:
        while not over.wait(0.2):
            ids.extend([house.post(area=BOTH_AREA, max_attempts=5) for _ in range(least - queued())])

    posting = threading.Thread(target=post)
    posting.start()
    try:
        yield
    finally:
        over.set()
        posting.join()


def between(house: House, name: str, start_ns: int, end_ns: int | None) -> Iterator[dict[str, Any]]:
    """The arrivals of that time."""
    for record in read_log(house.stack.arrivals(name)):
        if record["t"] >= start_ns and (end_ns is None or record["t"] < end_ns):
            yield record


def in_flight(house: House, until: float) -> set[str]:
    """The calls that were given to the first carrier in the seconds before, also those whose INVITE arrived at nobody."""
    query = (
        b"SELECT call_id FROM attempts WHERE carrier_id = %s AND claimed_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
    )
    with house.stack.db.connection() as conn:
        rows = conn.execute(query, [carrier_id(house, FIRST.name), until - 4, until]).fetchall()
    return {call_ref(row[0]) for row in rows}


def _stops(house: House) -> int:
    return outcomes.standings(house.stack.db)[carrier_id(house, FIRST.name)].stops


def factor(house: House, name: str) -> float:
    with redis.Redis.from_url(house.stack.redis_url) as connection:
        raw = connection.hget(f"{PREFIX}s:{carrier_scope(carrier_id(house, name))}", "factor")
    assert isinstance(raw, bytes), "its rate was not lowered"
    return float(raw)


def test_a_carrier_that_refuses_for_its_rate_is_slowed_at_once(house: House) -> None:
    ids = house.post_together(house.order(area=STRICT_AREA)[0] for _ in range(60))
    verdict = becomes(house, STRICT.name, "slowed")
    assert "refused for its limits" in verdict.why
    assert "503 CPS limit exceeded" in verdict.why
    assert factor(house, STRICT.name) < 1
    house.wait_ended(ids)
    assert {house.see(call)["status"] for call in ids} == {"completed"}, "a refusal uses up no attempt"
    arrived = invites(house, STRICT.name)
    refused = [r["t"] for r in arrived if r["verdict"] == "cps"]
    # The answer takes its way through the switch, its event and one transaction; then nothing leaves for a window.
    first = 0
    for at in refused:
        if at - first < 1.2 * S:
            continue  # out already when the one before it was refused: both are one word
        first = at
        assert not [r for r in arrived if at + 0.4 * S < r["t"] < at + 1.0 * S], "it rests at once"
    assert len(refused) < len(arrived) / 3, "at 10 in a second, six of ten would have been refused"
    states = [row.state for row in outcomes.history(house.stack.db, carrier_id(house, STRICT.name))]
    assert "stopped" not in states
