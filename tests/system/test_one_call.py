"""One call, end to end: posted by HTTP, rung at the carrier, talked to by the agent, told as it was."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from rq.job import Job

from calls.ids import agent_ref
from lab.audio import pcm
from lab.judge import judge, read_log
from settings import Settings
from store import agents, tenants
from store.pool import Database, open_database
from tests.system.house import House, jobs_done
from tests.system.late_agent import late_agent
from tests.web.receiver import Receiver
from trunkline.api import Api
from trunkline.children import wait_until
from trunkline.client import CallRuntime, Client, Conflict
from trunkline.stack import Stack

pytestmark = pytest.mark.system

SILENT_CALLEE = "+12125550122"  # answers, says nothing, never hangs up
GREETING_HZ, CALLEE_HZ, NEWS_HZ = 523, 880, 1250
HEARD = 0.5  # share of the power at that frequency in the last second
NEWS_SHARE = 0.02  # of all there was to hear: a louder greeting and its echo beside it


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

    def act(self, call: str, verb: str, body: dict[str, object]) -> str:
        """The address of an action that was accepted."""
        answer = self.api.post(f"{call}/actions/{verb}", body)
        assert answer.status == 202, answer
        return answer.headers["location"]

    def wait_done(self, action: str) -> dict[str, Any]:
        wait_until(f"{action} to be done", lambda: self.see(action)["status"] == "done", timeout_s=60, every_s=0.05)
        done: dict[str, Any] = self.see(action)
        return done

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

    wait_until("the agent's greeting at the callee", lambda: hears(GREETING_HZ), timeout_s=60)
    wait_until("the greeting's end", lambda: not hears(GREETING_HZ), timeout_s=60)
    assert lab(f"say {attempt['id']} tone:{CALLEE_HZ}").startswith("+OK")
    assert not hears(CALLEE_HZ)
    time.sleep(1.0)  # so long does the callee speak
    assert lab(f"say {attempt['id']} silent").startswith("+OK")
    wait_until("the agent's echo at the callee", lambda: hears(CALLEE_HZ), timeout_s=60)

    # Keys and a file for the callee, and what came of each.
    def news() -> float:
        """Its share of all that the callee has heard, however long ago."""
        return float(lab(f"tone {attempt['id']} {NEWS_HZ} 60").split()[1])

    assert news() < NEWS_SHARE / 4
    pcm.write_wav(str(stack.audio / "news.wav"), pcm.tone(NEWS_HZ, 1.5))
    pressed = caller.act(call, "dtmf", {"digits": "4w2#"})
    played = caller.act(call, "play", {"audio": "news.wav"})
    assert caller.wait_done(pressed)["result"] == "sent"
    assert lab(f"keys {attempt['id']}") == "+OK 4w2#"
    assert caller.wait_done(played)["result"] == "played"
    assert news() > NEWS_SHARE

    assert lab(f"press {attempt['id']} 9").startswith("+OK")  # the agent says goodbye and hangs up
    ended = caller.wait_status(call, "completed", "failed")
    assert (ended["status"], ended["end_reason"], ended["hangup_by"]) == ("completed", "hangup", "agent")
    assert ended["answered_at"] == answered["answered_at"] is not None
    assert (ended["client_reference"], ended["metadata"]) == ("order-4711", {"order": 4711})
    assert (ended["carrier"], ended["recording_ids"]) == ("lab_a", [])
    (dial,) = caller.see(call, "/attempts")["data"]
    for name in ("queue_ms", "pdd_ms", "ring_ms", "talk_ms", "agent_connect_ms"):
        assert ended[name] == dial[name] is not None, name
    assert ended["talk_ms"] > ended["agent_connect_ms"]
    (found,) = caller.api.get("/v1/calls?client_reference=order-4711").body["data"]
    assert found == ended

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
        ended = client.wait_for_end(call, timeout_s=60)
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
    ended = client.wait_for_end(call_id, timeout_s=60)
    assert (ended.status, ended.hangup_by) == ("completed", "customer")
    (attempt,) = client.attempts(call_id)

    def at_the_carrier() -> set[str]:
        return {fact["k"] for fact in read_log(stack.arrivals("lab_a")) if fact.get("call_id") == attempt.id}

    wait_until("the BYE at the carrier", lambda: "bye" in at_the_carrier(), timeout_s=60)


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
    with open_database(settings, "test", cooperative=False, wait_s=60) as opened:
        yield opened


def test_a_thousand_equal_requests_under_one_key_are_one_call(stack: Stack) -> None:
    """All of them are there before the first is answered; each answer is a documented one."""
    house = House(stack, "thousand")
    tenants.update(stack.db, "thousand", requests_per_s=10_000)
    body, key = house.order()
    before = house.invites("lab_a")
    answers = at_once(stack.api, house.account.key, key, body, 1000)
    assert {status for status, _, _ in answers} <= {202, 409}
    taken = [(headers, told) for status, headers, told in answers if status == 202]
    assert sum("idempotent-replayed" not in headers for headers, _ in taken) == 1
    assert len({told for _, told in taken}) == 1
    refused = [(headers, json.loads(told)) for status, headers, told in answers if status == 409]
    assert {(headers["retry-after"], told["code"]) for headers, told in refused} <= {("1", "idempotency_in_flight")}
    (call,) = house.listed()
    house.wait_ended([call["id"]])
    assert house.invites("lab_a") == before + 1
    assert house.insist(body, key) == call["id"]


def at_once(
    base: str, api_key: str, key: str, body: dict[str, object], count: int
) -> list[tuple[int, dict[str, str], bytes]]:
    """(status, headers, body) of each of so many equal requests, all sent before any answer is read."""
    address = urlsplit(base)
    text = json.dumps(body)
    sent = (
        f"POST /v1/calls HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {api_key}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    ).encode()
    with contextlib.ExitStack() as open_ones:
        sockets = [
            open_ones.enter_context(socket.create_connection((address.hostname or "", address.port or 0), timeout=60))
            for _ in range(count)
        ]
        for one in sockets:
            one.sendall(sent)
        answers = []
        for one in sockets:
            reply = http.client.HTTPResponse(one)
            reply.begin()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            answers.append((reply.status, headers, reply.read()))
            reply.close()
        return answers


def test_a_result_that_comes_after_the_end_is_told_and_joined(stack: Stack) -> None:
    """An agent of the customer's own, with the client: it asks while the call lasts, and hands in when it is over."""
    caller = Caller(stack, "late")
    runtime = {"prompt": "Say goodbye.", "variables": {"company": "Acme", "mood": "good"}}
    with Receiver() as receiver, late_agent() as agent:
        made = caller.client.create_agent(name="late", kind="websocket", url=agent.url, runtime=runtime)
        call = caller.client.place_call(
            to="+12125550124",
            from_="+12025550100",
            agent_id=made.id,
            agent_variables={"mood": "late"},
            metadata={"order": 9},
            webhook_url=receiver.url,
        )
        wait_until("the agent to be told of the call", lambda: call.id in agent.starts, timeout_s=60)
        given = agent.starts[call.id]["runtime"]
        assert given["result_url"] == f"{stack.api}/internal/calls/{call.id}/result"
        with CallRuntime(stack.api, call.id, given["token"]) as side:
            config = side.config()
            assert (config.prompt, config.variables) == ("Say goodbye.", {"company": "Acme", "mood": "late"})
            assert config.call["metadata"] == {"order": 9}
            ended = caller.client.wait_for_end(call.id, timeout_s=60)
            assert (ended.status, ended.hangup_by) == ("completed", "agent")
            turns = [{"speaker": "agent", "text": "Goodbye, sir.", "at_ms": 0}]
            kept = side.hand_in(outcome="said_goodbye", summary="It was short.", transcript=turns)
            assert side.hand_in(outcome="said_goodbye", summary="It was short.", transcript=turns).raw == kept.raw
            with pytest.raises(Conflict):
                side.hand_in(outcome="changed_its_mind")
        wait_until("the result's webhook", lambda: "call.result" in types(receiver), timeout_s=60)
        wait_until("all that was before it", lambda: len(receiver.requests) >= sequence_of(receiver), timeout_s=60)
        told = sorted((got.json["data"]["sequence"], got.json["type"]) for got in receiver.requests)
        assert [sequence for sequence, _ in told] == list(range(1, len(told) + 1)), "without a gap, and each once"
        assert {"call.answered", "call.agent_connected", "call.completed"} < {kind for _, kind in told}
        assert told[-1][1] == "call.result"
        body = next(got.json for got in receiver.requests if got.json["type"] == "call.result")
        assert body["data"]["result"] == kept.raw
        record = caller.client.record(call.id)
        (result,) = record.results
        assert (result.outcome, result.transcript, result.attempt_id) == ("said_goodbye", turns, record.attempts[0].id)
        assert result.received_at > ended.ended_at
        assert record.call.raw["sequence"] == len(told)
        assert (record.said, record.recordings) == (True, [])
    logs = "".join(path.read_text(errors="replace") for path in stack.supervisor.logs.iterdir() if path.is_file())
    assert call.id in logs or record.attempts[0].id in logs, "something is logged of it"
    assert "Goodbye, sir." not in logs
    assert "It was short." not in logs
    assert given["token"] not in logs


def types(receiver: Receiver) -> set[str]:
    return {got.json["type"] for got in list(receiver.requests)}


def sequence_of(receiver: Receiver) -> int:
    """The highest that was heard."""
    return max(int(got.json["data"]["sequence"]) for got in list(receiver.requests))


def test_the_reference_agent_hands_in_what_came_of_its_call(stack: Stack) -> None:
    caller = Caller(stack, "reports")
    call = caller.post(SILENT_CALLEE, agent_variables={"tone_hz": 523, "hangup_after_s": 0.3}, max_attempts=1)
    caller.wait_status(call, "completed", timeout_s=60)
    wait_until("its result", lambda: caller.see(call, "/results")["data"] != [], timeout_s=60)
    (result,) = caller.see(call, "/results")["data"]
    assert (result["outcome"], result["data"]["reason"]) == ("time_over", "agent_hangup")
    assert [turn["text"] for turn in result["transcript"]] == ["(tone of 523 Hz)"]
    assert [one["name"] for one in result["latencies"]] == ["runtime_config"], "it has asked for its configuration"
