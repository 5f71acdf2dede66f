"""A switch that answers +OK to everything and does nothing more: no event, no channel, no truth to be had from it.

Every attempt leaves its state when its deadline and the two questions to the switch have passed, by one decision.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from jobs.watchdog import PROBES
from tests.system.house import PATIENCE_S, House
from tests.system.switch_words import ask
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=30, cps=20, options=("--max-ring", "20", "--max-call", "20"))
GRACE_S = 1
ENVIRON = {
    "TRUNKLINE_PDD_S": "7",
    "TRUNKLINE_RING_GRACE_S": "2",
    "TRUNKLINE_DURATION_GRACE_S": "0",
    "TRUNKLINE_PROBE_GRACE_S": str(GRACE_S),
}
#: Whatever the controller might find out by.
DEAF_TO = ("uuid_exists", "uuid_dump", "uuid_kill", "uuid_setvar", "show", "hash", "global_getvar", "originate")
#: Never ends by itself: the called number's last digits, by the state it stays in.
STUCK = {"dialing": "0119", "ringing": "0102", "in_progress": "0122"}
#: What silence in each state means: (outcome, end_reason).
MEANS = {
    "dialing": ("failed", "carrier_silence"),
    "ringing": ("no_answer", "no_answer"),
    "in_progress": ("completed", "end_not_seen"),
}
EACH = 3
#: When an attempt is to be out of its state, after the last deadline it had. Beside other tests the watchdog itself may be
#: kept from looking; ``make chaos`` has the machine to itself and holds it to a second.
LATE = timedelta(seconds=1 if os.environ.get("TRUNKLINE_CHAOS") == "all" else 20)


@pytest.fixture
def house() -> Iterator[House]:
    route = Route("all", ("",), (CARRIER.name,))
    with Stack(ROOT, [CARRIER], [route], environ=ENVIRON, private=True, cdrs=False) as stack:
        yield House(stack)


@dataclass
class Watched:
    """An attempt as its row was seen: ``deadlines`` it had in that state, in order."""

    call: str
    state: str
    deadlines: list[datetime]
    ended_at: datetime | None = None


def test_every_attempt_leaves_its_state_by_its_deadline_by_one_decision(house: House) -> None:
    stack = house.stack
    states = [state for state in STUCK for _ in range(EACH)]
    ids = dict(zip(house.post_together(order(house, STUCK[state]) for state in states), states, strict=True))
    # All together and by their rows: the first of their deadlines is near.
    wait_until("each in its state", lambda: counted(stack) == Counter(ids.values()), timeout_s=PATIENCE_S, every_s=0.02)
    ask(stack, "lab fault drop_events 1")
    for command in DEAF_TO:
        ask(stack, f"lab ignore {command}")
    seen = {call: Watched(call, state, []) for call, state in ids.items()}
    began = time.monotonic()
    wait_until("every attempt to leave its state", lambda: look(stack, seen), timeout_s=PATIENCE_S, every_s=0.05)
    assert time.monotonic() - began > GRACE_S, "they had ended before: no test"
    for call, one in seen.items():
        told = house.see(call)
        about = (one, told)
        assert one.ended_at is not None, about
        assert one.ended_at - one.deadlines[-1] <= LATE, about
        # Every one lasts a second, and a look may miss it on a slow machine; there are never more.
        assert 1 <= len(one.deadlines) <= 1 + PROBES, about
        asked = one.deadlines[-1] - one.deadlines[0]
        assert asked <= PROBES * (timedelta(seconds=GRACE_S) + LATE), about
        assert (told["status"], told["end_reason"]) == MEANS[one.state], about
        assert decisions(house, call) == {"call." + told["status"]: 1}, about
        assert len(told["attempts"]) == 1, about
    ask(stack, "lab ignore none")
    ask(stack, "lab fault clear")
    house.wait_nothing_held()
    assert [decisions(house, call).total() for call in seen] == [1] * len(seen), "decided again when the switch came to"


def order(house: House, ending: str) -> dict[str, object]:
    attempts = 2 if ending == STUCK["dialing"] else 1
    return house.order(ending, ring_timeout_s=5, max_duration_s=10, max_attempts=attempts)[0]


def counted(stack: Stack) -> Counter[str]:
    """Attempts in each state."""
    with stack.db.connection() as conn:
        return Counter(str(row[0]) for row in conn.execute("SELECT state FROM attempts"))


def look(stack: Stack, seen: dict[str, Watched]) -> bool:
    """Notes what the rows say; whether all have ended. Asked of Postgres: deadlines are no business of the API's."""
    with stack.db.connection() as conn:
        rows: list[Any] = conn.execute(
            "SELECT c.id, a.state, a.deadline_at, a.ended_at FROM attempts a JOIN calls c ON c.id = a.call_id"
        ).fetchall()
    by_id = {one.call.removeprefix("call_"): one for one in seen.values()}
    for call, state, deadline, ended_at in rows:
        one = by_id[call.hex]
        if state == one.state and deadline not in one.deadlines:
            one.deadlines.append(deadline)
        elif state == "ended":
            one.ended_at = ended_at
    return all(one.ended_at is not None for one in seen.values())


def decisions(house: House, call: str) -> Counter[str]:
    """What the policy decided about a call, by the type of its record."""
    events = house.api.get(f"/v1/calls/{call}/events")
    assert events.status == 200, events
    return Counter(event["type"] for event in events.body["data"] if event["source"] == "policy")
