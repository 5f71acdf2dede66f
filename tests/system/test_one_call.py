"""One call, end to end: posted by HTTP, rung at the carrier, talked to by the agent, told as it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from rq.job import Job

from calls.ids import agent_ref
from lab.judge import judge, read_log
from tests.system.house import jobs_done
from trunkline.api import Api
from trunkline.children import wait_until
from trunkline.stack import Stack

pytestmark = pytest.mark.system

SILENT_CALLEE = "+12125550122"  # answers, says nothing, never hangs up
GREETING_HZ, CALLEE_HZ = 523, 880
HEARD = 0.5  # share of the power at that frequency in the last second


class Caller:
    """A tenant's program: posts one call and asks about it."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.account = stack.account(name)
        self.api = Api(stack.api, self.account.key)
        self.agent = agent_ref(stack.reference_agent(self.account))

    def post(self, to: str, **more: object) -> str:
        """The new call's address."""
        answer = self.api.post("/v1/calls", {"to": to, "from": "+12025550100", "agent_id": self.agent, **more})
        assert answer.status == 202, answer
        assert answer.headers["location"] == f"/v1/calls/{answer.body['id']}"
        return answer.headers["location"]

    def see(self, call: str, suffix: str = "") -> Any:
        answer = self.api.get(call + suffix)
        assert answer.status == 200, answer
        return answer.body

    def wait_status(self, call: str, *statuses: str, timeout_s: float = 15) -> dict[str, Any]:
        def there() -> bool:
            return self.see(call)["status"] in statuses

        wait_until(f"{call} to be {' or '.join(statuses)}", there, timeout_s=timeout_s, every_s=0.05)
        seen: dict[str, Any] = self.see(call)
        return seen


def test_the_agent_and_the_callee_hear_each_other(stack: Stack, lab: Callable[[str], str]) -> None:
    caller = Caller(stack, "acme")
    call = caller.post(
        SILENT_CALLEE,
        agent_variables={"tone_hz": GREETING_HZ, "tone_ms": 3000},
        client_reference="order-4711",
        metadata={"order": 4711},
    )
    answered = caller.wait_status(call, "in_progress")
    (attempt,) = caller.see(call, "/attempts")["data"]

    def hears(hz: int) -> bool:
        said = lab(f"tone {attempt['id']} {hz} 0.5")
        return said.startswith("+OK") and float(said.split()[1]) > HEARD

    wait_until("the agent's greeting at the callee", lambda: hears(GREETING_HZ), timeout_s=5)
    wait_until("the greeting's end", lambda: not hears(GREETING_HZ), timeout_s=10)
    assert lab(f"say {attempt['id']} tone:{CALLEE_HZ}").startswith("+OK")
    assert not hears(CALLEE_HZ)
    time.sleep(1.0)  # so long does the callee speak
    assert lab(f"say {attempt['id']} silent").startswith("+OK")
    wait_until("the agent's echo at the callee", lambda: hears(CALLEE_HZ), timeout_s=10)

    assert lab(f"press {attempt['id']} 9").startswith("+OK")  # the agent says goodbye and hangs up
    ended = caller.wait_status(call, "completed", "failed")
    assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "hangup", "agent")
    assert ended["answered_at"] == answered["answered_at"] is not None
    assert (ended["client_reference"], ended["metadata"]) == ("order-4711", {"order": 4711})

    invites = [fact for fact in read_log(stack.arrivals("lab_a")) if fact["k"] == "invite"]
    assert [(fact["call_id"], fact["number"]) for fact in invites] == [(attempt["id"], SILENT_CALLEE)]
    with redis.Redis.from_url(stack.redis_url) as connection:
        assert jobs_done(connection) >= 1
        assert not Job.exists(attempt["id"], connection=connection)


def test_what_the_carrier_says_is_what_the_caller_reads(stack: Stack) -> None:
    caller = Caller(stack, "globex")
    told = {
        "+12125550101": ("busy", "busy", 486),
        "+12125550103": ("failed", "declined", 603),
        "+12125550104": ("failed", "bad_number", 404),
        "+12125550109": ("completed", "hangup", 200),
    }
    calls = {caller.post(to, max_attempts=1): expected for to, expected in told.items()}
    for call, (status, reason, code) in calls.items():
        ended = caller.wait_status(call, "completed", "failed", "busy", "no_answer")
        assert (ended["status"], ended["end_reason"]) == (status, reason)
        if status != "completed":
            assert ended["sip_code"] == code
    verdict = judge(stack.arrivals("lab_a"))
    assert verdict.violations == []


def test_a_hangup_by_the_caller_reaches_the_phone(stack: Stack) -> None:
    caller = Caller(stack, "initech")
    call = caller.post(SILENT_CALLEE)
    caller.wait_status(call, "in_progress")
    answer = caller.api.post(f"{call}/actions/hangup", {})
    assert answer.status in (200, 202), answer
    ended = caller.wait_status(call, "completed")
    assert ended["hangup_by"] == "customer"
    (attempt,) = caller.see(call, "/attempts")["data"]

    def at_the_carrier() -> set[str]:
        return {fact["k"] for fact in read_log(stack.arrivals("lab_a")) if fact.get("call_id") == attempt["id"]}

    wait_until("the BYE at the carrier", lambda: "bye" in at_the_carrier(), timeout_s=5)
