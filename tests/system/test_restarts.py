"""No accepted call is lost when any one part dies: judged by the API, and by what the carrier's socket received.

Every part is killed with SIGKILL in the middle of a batch and started again. A call whose end nobody could see may end
as unknown; it must end, and its number must not be dialed twice for one attempt.
"""

from __future__ import annotations

import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from budget.replies import number
from calls.ids import agent_ref
from lab.judge import judge, read_log
from trunkline.api import Api
from trunkline.stack import Account, LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
CARRIER = LabCarrier("lab_a", channels=10, cps=10)
#: Outcome by the last four digits: answered and hung up, busy, not found, refused with 503, declined.
ENDINGS = ("0109", "0110", "0101", "0104", "0105", "0103")
BATCH = 18
ENDED = {"completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked"}
#: What proves itself whoever died: only the carrier's own answers.
TRUE_ENDS = {
    "0109": {"completed", "failed"},
    "0110": {"completed", "failed"},
    "0101": {"busy", "failed"},  # failed: the agent died while it rang, and the platform hung up
    "0104": {"failed"},
    "0105": {"failed"},
    "0103": {"failed"},
}


class House:
    """A running stack with one tenant that posts calls."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.account: Account = stack.account("acme")
        self.api = Api(stack.api, self.account.key)
        self.agent = agent_ref(stack.reference_agent(self.account))
        self.posted = 0

    def post(self, ending: str) -> str:
        """One accepted call, posted again under the same key until it is accepted; its id."""
        self.posted += 1
        to = f"+1415{320 + self.posted // 10:03d}{ending}"
        body = {"to": to, "from": "+14155550100", "agent_id": self.agent, "max_attempts": 1}
        key = {"Idempotency-Key": f"restart-{self.posted}"}
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = self.api.request("POST", "/v1/calls", body, key)
            except OSError:
                answer = None
            if answer is not None and answer.status == 202:
                return str(answer.body["id"])
            assert answer is None or answer.status in (409, 500, 503), answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    def statuses(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        found = {}
        for call in ids:
            try:
                answer = self.api.get(f"/v1/calls/{call}")
            except OSError:
                continue
            if answer.status == 200:
                found[call] = answer.body
        return found

    def wait_ended(self, ids: list[str], timeout_s: float = 45) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.statuses(ids)
            if len(now) == len(ids) and all(body["status"] in ENDED for body in now.values()):
                return now
            left = {call: body["status"] for call, body in now.items() if body["status"] not in ENDED}
            assert time.monotonic() < deadline, f"not ended: {left}, unread: {len(ids) - len(now)}"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    stack = Stack(
        ROOT,
        [CARRIER],
        [Route("all", ("",), ("lab_a",))],
        environ={"TRUNKLINE_PDD_S": "5", "TRUNKLINE_PROBE_GRACE_S": "2", "TRUNKLINE_RECONCILE_INTERVAL_S": "2"},
        private=True,
    )
    with stack:
        yield House(stack)


def _server(name: str) -> Callable[[Stack], None]:
    def kill(stack: Stack) -> None:
        server: Any = getattr(stack, name)
        server.kill()
        server.start()

    return kill


def _process(name: str) -> Callable[[Stack], None]:
    def kill(stack: Stack) -> None:
        stack.supervisor.kill(name)
        stack.supervisor.wait_gone(name, 5)
        stack.supervisor.start(name)

    return kill


VICTIMS: dict[str, Callable[[Stack], None]] = {
    **{name: _process(name) for name in ("web", "controller", "relay", "feeder", "watchdog", "dispatcher", "agent")},
    "switch": _process("switch"),
    "redis": _server("redis"),
    "postgres": _server("postgres"),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_no_call_is_lost_when_it_dies(house: House, victim: str) -> None:
    ids = {house.post(ENDINGS[n % len(ENDINGS)]): ENDINGS[n % len(ENDINGS)] for n in range(BATCH)}
    VICTIMS[victim](house.stack)
    ids |= {house.post(ENDINGS[n % len(ENDINGS)]): ENDINGS[n % len(ENDINGS)] for n in range(4)}
    house.stack.wait_ready()
    ended = house.wait_ended(list(ids))
    wrong = {
        call: (ids[call], body["status"], body["end_reason"])
        for call, body in ended.items()
        if body["status"] not in TRUE_ENDS[ids[call]]
    }
    assert not wrong, wrong
    unknown = [body for body in ended.values() if body["end_reason"] in ("lost", "end_not_seen", "carrier_silence")]
    if victim not in ("switch", "controller"):
        assert not unknown, unknown


def test_nobody_was_dialed_twice_and_no_limit_was_broken(house: House) -> None:
    log = house.stack.arrivals("lab_a")
    verdict = judge(log, cps=CARRIER.cps, channels=CARRIER.channels)
    assert verdict.ok, verdict.violations
    assert verdict.duplicate_call_ids == {}
    assert verdict.verdicts.get("cps", 0) == verdict.verdicts.get("channels", 0) == 0
    invites = Counter(r["number"] for r in read_log(log) if r["k"] == "invite")
    assert sum(invites.values()) > BATCH * len(VICTIMS) // 2


def test_everything_is_given_back(house: House) -> None:
    """No lease outlives its call, and no channel its row."""
    from redis import Redis

    redis = Redis.from_url(house.stack.redis_url)
    deadline = time.monotonic() + 30
    while True:
        keys = list(redis.scan_iter("tl1:leases:*"))
        held = sum(number(redis.zcard(key)) or 0 for key in keys)
        if held == 0:
            break
        assert time.monotonic() < deadline, f"{held} leases are still held"
        time.sleep(0.2)
    redis.close()
