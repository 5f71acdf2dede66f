"""A switch that stands still keeps what was written to it and sends it when it wakes up: at a moment of its own choosing.

The others go on dialing the same carrier meanwhile, as fast as they may.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import psycopg
import pytest

from bench._campaign import ENVIRON, Campaign, Faults
from lab.judge import judge, read_log
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: So slow that its seconds are full whenever it is saturated, and each controller has a turn while the other stands still.
CARRIER = LabCarrier("one", channels=100, cps=3, mix="busy=1", ring="0.05")
#: s from the claim of what is then written to the switch that stands still, until that switch wakes up: the carrier has
#: rested for its window, and the others have filled the second after it.
UNKNOWN_S = 2.4
#: The link is not given up meanwhile, which might lose what was written to it.
PATIENT = {"TRUNKLINE_ESL_COMMAND_TIMEOUT_S": "10"}
#: s; the sleeper's turn comes at least every second, unless this machine stands still too.
TURN_S = 15.0
TRIES = 6
#: How many INVITEs of unknown moment the test wants to have seen.
WANTED = 2


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(
        ROOT, [CARRIER], [Route("all", ("",), ("one",))], environ=ENVIRON | PATIENT, private=True, switches=2
    ) as running:
        yield running


def test_what_a_switch_sends_when_it_wakes_up_has_its_place_in_the_carriers_second(stack: Stack) -> None:
    calls, faults = Campaign(stack, {CARRIER.name: "415"}), Faults(stack)
    calls.post({CARRIER.name: int(CARRIER.cps * TRIES * (UNKNOWN_S + 5))})
    sleeper = stack.places[1]
    sent = 0
    for _ in range(TRIES):
        if sent >= WANTED:
            break
        calls.wait_any({CARRIER.name: calls.invites(CARRIER.name) + 2 * CARRIER.cps})
        with faults.paused(sleeper.process("switch")):
            wait_until("its turn", lambda: bool(claimed(stack, sleeper.name)), timeout_s=TURN_S)
            attempt = claimed(stack, sleeper.name)
            time.sleep(UNKNOWN_S)
        woke = time.time_ns()
        # More than a window after it woke up, the others have dialed on.
        wait_until("the next second", lambda woke=woke: time.time_ns() > woke + 1_500_000_000, timeout_s=TURN_S)  # type: ignore[misc]
        sent += invited(stack, attempt)
    assert sent, "nothing was written to the switch while it stood still: no test"
    verdict = judge(stack.arrivals(CARRIER.name), cps=CARRIER.cps, channels=CARRIER.channels)
    assert verdict.ok, verdict.violations
    assert verdict.peak_invites == CARRIER.cps, "the carrier was never saturated: no test"


def claimed(stack: Stack, switch: str) -> str:
    """The attempt which this switch's controller has claimed, and of which no INVITE has arrived; or nothing."""
    with psycopg.connect(stack.database_url) as conn:
        rows = conn.execute("SELECT id::text FROM attempts WHERE switch = %s AND state = 'dialing'", (switch,)).fetchall()
    return next((row[0] for row in rows if not invited(stack, row[0])), "")


def invited(stack: Stack, attempt: str) -> bool:
    """Whether its INVITE has arrived."""
    return any(r["k"] == "invite" and r["call_id"] == attempt for r in read_log(stack.arrivals(CARRIER.name)))
