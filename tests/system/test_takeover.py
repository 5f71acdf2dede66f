"""Two controllers beside one switch: whatever becomes of the one on duty, the other goes on, and never both.

On the simulated switch, or on a real FreeSWITCH (FREESWITCH_ESL). The truth is the carrier's raw arrival log. Events are
lost to nobody: the one that stood by had heard them too, so no end may be unknown but of what was being dialed when the
first one died.
"""

from __future__ import annotations

import pathlib
import signal
import time
from collections.abc import Iterator

import pytest

from lab.judge import read_log
from tests.system.house import PATIENCE_S, SHARED, House
from tests.system.test_real_freeswitch import given_switch
from tests.system.truth import Allowed, broken_limits, strangers
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=40, cps=15, ring="0.4:0.8", talk="0.8:1.4")
BOTH = ("controller", "standby")
#: Whoever stands still is to be one that the test has stopped, not one that a busy machine keeps waiting.
LEASE = {"TRUNKLINE_DUTY_LEASE_S": "4"}
#: answered, busy, not found, refused with 503, declined.
ENDINGS = ("4000", "4000", "0101", "4000", "0104", "4000", "0105", "4000", "0103", "4000")


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    stack = Stack(
        ROOT,
        [CARRIER],
        [Route("all", ("",), ("lab_a",))],
        environ=SHARED | {"TRUNKLINE_PROBE_GRACE_S": "2", "TRUNKLINE_RECONCILE_INTERVAL_S": "2"} | LEASE,
        private=True,
        standby=True,
        switch=given_switch(),
    )
    with stack:
        yield House(stack)


def on_duty(house: House, *, fence: int = -1) -> tuple[str, int]:
    """(name, fence) of the one on duty, once it is one after `fence`; by its own log, the latest word counts."""
    found: list[tuple[int, str]] = []

    def there() -> bool:
        found.clear()
        for name in BOTH:
            for line in (house.stack.supervisor.logs / f"{name}.log").read_text(errors="replace").splitlines():
                if '"on duty"' in line and '"fence": ' in line:
                    found.append((int(line.split('"fence": ')[1].split("}")[0].split(",")[0]), name))
        return bool(found) and max(found)[0] > fence

    wait_until("a controller to take the duty", there, timeout_s=PATIENCE_S, every_s=0.02)
    number, name = max(found)
    return name, number


def post_batch(house: House, rounds: int = 4) -> list[str]:
    """All at once: so many wait at the same time, however slow the machine is."""
    return house.post_together(house.order(ending)[0] for _ in range(rounds) for ending in ENDINGS)


def check(house: House, ids: list[str], since_ns: int, *, unseen: bool) -> None:
    house.wait_ended(ids)
    log = house.stack.arrivals(CARRIER.name)
    wrong = broken_limits(log, cps=CARRIER.cps, channels=CARRIER.channels, since_ns=since_ns)
    wrong += house.differences(ids, Allowed(unseen=unseen))
    assert not wrong, "\n".join(wrong)


def gap_s(house: House, at_ns: int) -> float:
    """s from `at_ns` to the carrier's next INVITE."""
    after = [r["t"] for r in read_log(house.stack.arrivals(CARRIER.name)) if r["k"] == "invite" and int(r["t"]) > at_ns]
    return (min(after) - at_ns) / 1e9


def test_killed_with_calls_up_and_waiting(house: House) -> None:
    first, fence = on_duty(house)
    since = time.time_ns()
    hung_up = house.post("0122")  # a callee that never hangs up
    house.wait(hung_up, "in_progress")
    before = house.invites(CARRIER.name)
    ids = post_batch(house)
    house.wait_invites(CARRIER.name, 8, before)
    at = time.time_ns()
    house.stack.supervisor.kill(first)
    house.hang_up(hung_up)  # nobody is there to hear it
    other, fence = on_duty(house, fence=fence)
    assert other != first
    dialed = house.invites(CARRIER.name)
    ids += post_batch(house, 1)  # there is something to dial, if only now
    house.wait_invites(CARRIER.name, 4, dialed)
    took = gap_s(house, at)
    house.stack.supervisor.start(first)
    check(house, [*ids, hung_up], since, unseen=True)
    assert house.see(hung_up)["hangup_by"] == "customer"
    unknown = [call for call in map(house.see, ids) if call["end_reason"] in ("lost", "end_not_seen", "carrier_silence")]
    # Only what was on its way to the switch in the moment of the kill may be in doubt: two, unacknowledged.
    assert len(unknown) <= 2, unknown
    print(f"kill -9 -> next INVITE: {took:.2f} s")


def test_stopped_in_order_the_duty_changes_hands_at_once(house: House) -> None:
    first, fence = on_duty(house)
    since = time.time_ns()
    before = house.invites(CARRIER.name)
    ids = post_batch(house)
    house.wait_invites(CARRIER.name, 8, before)
    at = time.time_ns()
    house.stack.supervisor.stop(first)
    other, _ = on_duty(house, fence=fence)
    assert other != first
    dialed = house.invites(CARRIER.name)
    ids += post_batch(house, 1)  # there is something to dial, if only now
    house.wait_invites(CARRIER.name, 4, dialed)
    print(f"SIGTERM -> next INVITE: {gap_s(house, at):.2f} s")
    house.stack.supervisor.start(first)
    check(house, ids, since, unseen=False)


def test_one_that_stood_still_does_nothing_when_it_wakes(house: House) -> None:
    first, fence = on_duty(house)
    since = time.time_ns()
    before = house.invites(CARRIER.name)
    ids = post_batch(house)
    house.wait_invites(CARRIER.name, 8, before)
    house.stack.supervisor.signal(first, signal.SIGSTOP)
    other, fence = on_duty(house, fence=fence)
    assert other != first
    dialed = house.invites(CARRIER.name)
    ids += post_batch(house, 1)  # there is something to dial, if only now
    house.wait_invites(CARRIER.name, 4, dialed)
    house.stack.supervisor.signal(first, signal.SIGCONT)
    ids += post_batch(house, 1)
    check(house, ids, since, unseen=True)
    assert on_duty(house) == (other, fence)
    # It has not only lost its duty but stands by: it follows when the other goes.
    house.stack.supervisor.stop(other)
    assert on_duty(house, fence=fence)[0] == first
    house.stack.supervisor.start(other)
    last = [house.post()]
    check(house, last, since, unseen=False)


def test_nothing_was_dialed_twice_and_nothing_is_held(house: House) -> None:
    calls = [house.see(call) for call in house.posted]
    assert not (wrong := strangers(house.legs(), calls)), "\n".join(wrong)
    house.wait_nothing_held()
