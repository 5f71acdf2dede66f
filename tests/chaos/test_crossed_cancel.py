"""Our CANCEL and the carrier's 200 cross on the way: somebody picked up a phone that went dead in the same moment.

The switch acknowledges, hangs up and tells nobody (as recorded from a real one): to us it is a call that nobody answered. It
is known not to be certain, and whoever it was is not rung again at once.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.system.house import House
from tests.system.truth import Leg
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=4, cps=5)
ANSWERS_THE_CANCEL = "0114"
RING_S = 5


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    environ = {"TRUNKLINE_PDD_S": "2", "TRUNKLINE_RETRY_NO_ANSWER_S": "1", "TRUNKLINE_RING_GRACE_S": "5"}
    with Stack(ROOT, [CARRIER], [Route("all", ("",), (CARRIER.name,))], environ=environ, private=True) as stack:
        yield House(stack)


def leg_of(house: House, call: str) -> Leg:
    """Of its first attempt."""
    return house.legs()[house.see(call)["attempts"][0]["id"]]


def test_a_ring_that_timed_out_is_not_tried_again_before_the_ring_time_is_over(house: House) -> None:
    call = house.post(ANSWERS_THE_CANCEL, ring_timeout_s=RING_S, max_attempts=2)
    house.wait(call, "ringing")
    wait_until("the end of the first attempt", lambda: len(house.see(call)["attempts"]) == 2, timeout_s=60)
    told = house.see(call)
    first, second = told["attempts"]
    assert told["status"] == "queued"
    assert (first["outcome"], first["end_reason"], first["uncertain"]) == ("no_answer", "no_answer", True)
    assert first["answered_at"] is None
    gap = datetime.fromisoformat(second["due_at"]) - datetime.fromisoformat(first["ended_at"])
    assert gap >= timedelta(seconds=RING_S), told
    wait_until("the BYE at the carrier", lambda: leg_of(house, call).bye, timeout_s=60)
    leg = leg_of(house, call)
    assert leg.canceled, leg
    assert leg.answered_at is not None, leg
    wait_until("the second INVITE", lambda: house.invites(CARRIER.name) == 2, timeout_s=60)
    again = house.legs()[second["id"]]
    assert again.invited_at >= (leg.ended_at or time.time_ns()) + RING_S * 1_000_000_000 * 0.8
    house.hang_up(call)
    house.wait(call, "canceled")


def test_a_hangup_that_crossed_an_answer_is_uncertain_and_final(house: House) -> None:
    before = house.invites(CARRIER.name)
    call = house.post(ANSWERS_THE_CANCEL, ring_timeout_s=30, max_attempts=3)
    house.wait(call, "ringing")
    house.hang_up(call)
    told = house.wait(call, "canceled")
    (attempt,) = told["attempts"]
    assert (attempt["end_reason"], attempt["uncertain"], attempt["hangup_by"]) == ("canceled", True, "customer")
    wait_until("the BYE at the carrier", lambda: leg_of(house, call).bye, timeout_s=60)
    leg = leg_of(house, call)
    assert leg.canceled, leg
    assert leg.answered_at is not None, leg
    house.wait_nothing_held()
    assert house.invites(CARRIER.name) == before + 1
