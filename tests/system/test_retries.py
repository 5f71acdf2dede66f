"""A call's own rules through the whole house, judged at the carrier's socket: when it rang, how often, and when not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calls.ids import parse_ref
from lab.judge import read_log
from tests.system.test_one_call import Caller
from trunkline.children import wait_until
from trunkline.stack import Stack

pytestmark = pytest.mark.system

BUSY, ANSWERS, NOBODY = "+12125550101", "+12125550109", "+12125550209"


def rang(stack: Stack, to: str) -> list[float]:
    """Unix times at which the carrier got an INVITE for the number; s, by its log's nanoseconds."""
    return [
        int(fact["t"]) / 1e9 for fact in read_log(stack.arrivals("lab_a")) if fact["k"] == "invite" and fact["number"] == to
    ]


def rescheduled(caller: Caller, call: str) -> list[dict[str, Any]]:
    events = caller.see(call, "/events")["data"]
    return [event["data"] for event in events if event["type"] == "attempt.rescheduled"]


def test_what_is_asked_of_retry_is_what_the_carrier_gets(stack: Stack) -> None:
    caller = Caller(stack, "patient")
    call = caller.post(BUSY, retry={"max_attempts": 3, "busy_gaps_s": [1, 2]})
    ended = caller.wait_status(call, "busy", timeout_s=60)
    assert (ended["attempt_count"], ended["retry"]["busy_gaps_s"]) == (3, [1, 2])
    first, second, third = rang(stack, BUSY)
    assert second - first >= 1
    assert third - second >= 2


def test_what_may_not_be_dialed_today_is_not(stack: Stack) -> None:
    caller = Caller(stack, "careful")
    once = {"number_per_day": 1}
    caller.wait_status(caller.post(ANSWERS, retry=once), "completed")
    capped = caller.post(ANSWERS, retry=once)
    another_day = f"{datetime.now(UTC) + timedelta(days=2):%a}".lower()
    window = {"time_zone": "UTC", "days": [another_day], "from": "00:00", "to": "24:00"}
    closed = caller.post(NOBODY, window=window, expires_at=(datetime.now(UTC) + timedelta(days=3)).isoformat())
    assert datetime.fromisoformat(caller.see(closed)["due_at"]) > datetime.now(UTC)
    # As a version that knows no windows would have left it: due at once.
    with stack.db.connection() as conn:
        conn.execute(
            "UPDATE attempts SET due_at = now(), dial_until = NULL WHERE call_id = %s",
            [parse_ref("call", caller.see(closed)["id"])],
        )
    wait_until("both to be refused", lambda: all(rescheduled(caller, call) for call in (capped, closed)), timeout_s=60)
    for call, reason in ((capped, "number_per_day"), (closed, "window")):
        (told,) = rescheduled(caller, call)
        assert told["reason"] == reason
        seen = caller.see(call)
        assert (seen["status"], seen["attempt_count"]) == ("queued", 1)
        assert datetime.fromisoformat(seen["due_at"]) > datetime.now(UTC)
    assert (len(rang(stack, ANSWERS)), rang(stack, NOBODY)) == (1, [])
