"""kill -9 of a switch with many live calls: it sends no BYE and no CANCEL, so its carrier keeps every channel until a timer
of its own.

The calls end here within seconds, as unknown; the channels go on counting, so that nobody is dialed into a full trunk; whose
phone rang is not called again.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.system.house import SHARED, House
from tests.system.truth import Allowed, broken_limits, legs, strangers
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIVE = 200 if os.environ.get("TRUNKLINE_CHAOS") == "all" else 30
#: s; after which the carrier gives up what nobody ends.
TIMER_S = 40 if LIVE == 200 else 20
CARRIER = LabCarrier("lab_a", channels=LIVE, cps=25, options=("--max-ring", f"{TIMER_S}", "--max-call", f"{TIMER_S}"))
RINGS, TALKS = "0102", "0122"
#: s; from the death to the last end. Beside other tests the new switch may be slow to come up.
ENDS_S = 10.0 if LIVE == 200 else 40.0
MORE = 10


@pytest.fixture
def house() -> Iterator[House]:
    environ = SHARED | {
        # The switch's own timers are longer than the carrier's: it is the carrier that frees the channels.
        "TRUNKLINE_PDD_S": "60",
        "TRUNKLINE_CRASH_LINGER_S": f"{TIMER_S}",
        "TRUNKLINE_DIAL_GREENLETS": "50",
    }
    with Stack(ROOT, [CARRIER], [Route("all", ("",), (CARRIER.name,))], environ=environ, private=True) as stack:
        yield House(stack)


def test_its_calls_end_and_its_channels_go_on_counting(house: House) -> None:
    stack = house.stack
    ids = house.post_together(
        house.order(TALKS if n % 4 == 0 else RINGS, max_attempts=3, ring_timeout_s=60)[0] for n in range(LIVE)
    )
    wait_until("all of them to be live", lambda: sum(live(house).values()) == LIVE, timeout_s=TIMER_S)
    up = live(house)
    assert up["rings"] > LIVE // 2 < up.total(), up
    wait_until("their rows", lambda: in_states(stack, "ringing", "in_progress") == LIVE, timeout_s=60)
    died = time.monotonic()
    died_ns = time.time_ns()
    stack.supervisor.kill("switch")
    stack.supervisor.start("switch")
    more = [house.post("0101") for _ in range(MORE)]
    wait_until("their ends", lambda: in_states(stack, "ended") >= LIVE, timeout_s=60, every_s=0.05)
    took = time.monotonic() - died
    assert took <= ENDS_S, f"{took:.1f} s"
    told = [house.see(call) for call in ids]
    ends = Counter((call["status"], call["end_reason"]) for call in told)
    assert set(ends) == {("failed", "lost"), ("completed", "end_not_seen")}, ends
    house.wait_ended(more)
    log = stack.arrivals(CARRIER.name)
    broken = broken_limits(log, cps=CARRIER.cps, channels=CARRIER.channels)
    assert not broken, broken
    first = min(leg.ended_at or 0 for leg in house.legs_of(ids))
    later = min(leg.invited_at for leg in house.legs_of(more))
    assert died_ns < first < later, "dialed while every channel was in use"
    told = [house.see(call) for call in ids]
    assert {len(call["attempts"]) for call in told} == {1}, "somebody whose phone had rung was to be called again"
    assert not strangers(house.legs(), [*told, *(house.see(call) for call in more)])
    wrong = house.differences([*ids, *more], Allowed(unseen=True))
    assert not wrong, "\n".join(wrong)
    house.wait_nothing_held()
    print(f"{LIVE} live calls; all ended {took:.1f} s after the death: {dict(ends)}")


def live(house: House) -> Counter[str]:
    """Legs that ring and talk at the carrier."""
    seen = legs(house.stack.arrivals(CARRIER.name)).values()
    return Counter({"rings": sum(leg.rings for leg in seen), "talks": sum(leg.talks for leg in seen)})


def in_states(stack: Stack, *states: str) -> int:
    """Attempts in one of these states."""
    with stack.db.connection() as conn:
        row = conn.execute("SELECT count(*) FROM attempts WHERE state = ANY(%s)", (list(states),)).fetchone()
    return 0 if row is None else int(row[0])
