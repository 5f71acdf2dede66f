"""One call, end to end: posted by HTTP, rung at the carrier, talked to by the agent, told as it was."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from rq.job import Job

from calls.ids import agent_ref
from lab.judge import judge, read_log
from settings import Settings
from store import agents, tenants
from store.pool import Database, open_database
from tests.system.house import jobs_done
from trunkline.api import Api
from trunkline.children import wait_until
from trunkline.client import Client
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
        self.client = Client(stack.api, self.account.key)
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
    client = caller.client
    calls = {
        client.place_call(to=to, from_="+12025550100", agent_id=caller.agent, max_attempts=1).id: expected
        for to, expected in told.items()
    }
    for call, (status, reason, code) in calls.items():
        ended = client.wait_for_end(call, timeout_s=15)
        assert (ended.status, ended.end_reason) == (status, reason)
        if status != "completed":
            assert ended.sip_code == code
    verdict = judge(stack.arrivals("lab_a"))
    assert verdict.violations == []


def test_a_hangup_by_the_caller_reaches_the_phone(stack: Stack) -> None:
    caller = Caller(stack, "initech")
    call = caller.post(SILENT_CALLEE)
    caller.wait_status(call, "in_progress")
    client, call_id = caller.client, call.rpartition("/")[2]
    client.hang_up(call_id)
    ended = client.wait_for_end(call_id, timeout_s=15)
    assert (ended.status, ended.hangup_by) == ("completed", "customer")
    (attempt,) = client.attempts(call_id)

    def at_the_carrier() -> set[str]:
        return {fact["k"] for fact in read_log(stack.arrivals("lab_a")) if fact.get("call_id") == attempt.id}

    wait_until("the BYE at the carrier", lambda: "bye" in at_the_carrier(), timeout_s=5)


#: Those of Trunkline; the lab's are make-believe, and tell what the tests want to know.
PROCESSES = ("web", "controller", "relay", "spool", "recordings", "feeder", "watchdog", "dispatcher", "health", "agent")


def test_no_log_of_the_house_tells_a_number_or_a_secret(stack: Stack, database: Database) -> None:
    """After all of the above, and after what goes wrong: secrets and numbers where they do not belong."""
    caller = Caller(stack, "hooli")
    key, (number, other) = caller.account.key, ("+12125550101", "+12025550100")
    receiver = "http://127.0.0.1:9/hook?token=t0ken-of-a-receiver"  # nobody listens there
    call = caller.post(number, webhook_url=receiver, max_attempts=1)
    caller.wait_status(call, "busy", "failed")
    deaf = agents.create(
        database, tenant_id=caller.account.id, name="deaf", kind="websocket", url="ws://127.0.0.1:9/?key=k3y-of-an-agent"
    )
    caller.wait_status(
        caller.post(SILENT_CALLEE, agent_id=agent_ref(deaf.id), max_attempts=1), "failed", "completed", "canceled"
    )
    for path in (f"/v1/calls/{number}", f"/v1/calls/{key}", f"/v1/agents/{other.removeprefix('+')}", f"/nowhere/{key}"):
        assert caller.api.get(path).status in (401, 404)
    Api(stack.api, key[:-1] + "0").get("/v1/calls")
    secret = database_secret(database, caller)
    planted = {
        "the API key's secret": key.rpartition("_")[2],
        "the webhook secret": secret.hex(),
        "the webhook secret, as it is shown": base64.b64encode(secret).decode(),
        "the event socket's password": stack.esl_password,
        "the CDRs' password": stack.cdr_password,
        "the receiver's token": "t0ken-of-a-receiver",
        "the agent's key": "k3y-of-an-agent",
        "a number": number.removeprefix("+"),
        "another number": other.removeprefix("+"),
        "the callee's number": SILENT_CALLEE.removeprefix("+"),
    }
    logs = {name: (stack.run / "logs" / f"{name}.log").read_text("utf-8", "replace") for name in PROCESSES}
    assert "call_" in logs["agent"]
    assert '"request"' in logs["web"]
    assert [(name, what) for name, text in logs.items() for what, value in planted.items() if value in text] == []


def database_secret(database: Database, caller: Caller) -> bytes:
    found = tenants.get(database, caller.account.id)
    assert found is not None
    return found.webhook_secret


@pytest.fixture
def database(stack: Stack) -> Iterator[Database]:
    settings = Settings.model_validate({"database_url": stack.database_url})
    with open_database(settings, "test", cooperative=False, wait_s=10) as opened:
        yield opened
