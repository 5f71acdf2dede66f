"""A switch that stands still keeps what was written to it and sends it when it wakes up: at a moment of its own choosing.

The others go on dialing the same carrier meanwhile, as fast as they may.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest

from bench._campaign import ENVIRON, Campaign, Faults
from lab.judge import judge, read_log
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(200)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: So slow that its seconds are full whenever it is saturated, and each controller has a turn while the other stands still.
CARRIER = LabCarrier("one", channels=100, cps=3, mix="busy=1", ring="0.05")
#: s; a controller gives an originate up after 2 s (esl_command_timeout_s).
STANDSTILL_S = 2.6
TRIES = 8
#: How many INVITEs of unknown moment the test wants to have seen.
WANTED = 3


@pytest.fixture
def stack() -> Iterator[Stack]:
    with Stack(ROOT, [CARRIER], [Route("all", ("",), ("one",))], environ=ENVIRON, private=True, switches=2) as running:
        yield running


def test_what_a_switch_sends_when_it_wakes_up_has_its_place_in_the_carriers_second(stack: Stack) -> None:
    calls, faults = Campaign(stack, {CARRIER.name: "415"}), Faults(stack)
    calls.post({CARRIER.name: int(CARRIER.cps * TRIES * (STANDSTILL_S + 3))})
    sleeper = stack.places[1]
    late = 0
    for _ in range(TRIES):
        if late >= WANTED:
            break
        calls.wait_any({CARRIER.name: calls.invites(CARRIER.name) + 2 * CARRIER.cps})
        faults.pause(sleeper.process("switch"), STANDSTILL_S)
        woke = faults.done[-1].end
        # More than a window after it woke up, the others have dialed on.
        wait_until("the next second", lambda woke=woke: time.time_ns() > woke + 1_500_000_000, timeout_s=10)  # type: ignore[misc]
        late += sum(
            record["k"] == "invite" and record["peer"] == sleeper.sip and 0 <= record["t"] - woke < 100_000_000
            for record in read_log(stack.arrivals(CARRIER.name))
        )
    assert late, "nothing was written to the switch while it stood still: no test"
    verdict = judge(stack.arrivals(CARRIER.name), cps=CARRIER.cps, channels=CARRIER.channels)
    assert verdict.ok, verdict.violations
    assert verdict.peak_invites == CARRIER.cps, "the carrier was never saturated: no test"
