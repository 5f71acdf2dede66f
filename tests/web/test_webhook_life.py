"""The dispatcher with endpoints: what fails is told all the same, once, without a gap; who is gone is told nothing more.

The small form of ``python -m bench webhooks``. Signatures are verified by the standard's own library.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.web.conftest import Api, World
from tests.web.receiver import Got, Receiver
from tests.web.test_dispatcher import Order, Start, lab, rows, start, wait_for

__all__ = ["lab", "start"]

FAST = "[0" + ", 0.1" * 39 + "]"
#: Deliveries in flight of the dispatcher that is killed: so many may be told twice.
IN_FLIGHT = 4


@pytest.fixture(autouse=True)
def clean(world: World) -> Iterator[None]:
    yield
    with world.database.connection() as conn:
        conn.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE deleted_at IS NULL")
        conn.execute("UPDATE tenants SET webhook_also = NULL, webhook_url = NULL")


def endpoint(api: Api, receiver: Receiver, **more: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhook_endpoints", {"url": receiver.url, **more})
    assert answer.status_code == 201, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def state(api: Api, one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/v1/webhook_endpoints/{one['id']}").get_json()
    return found


def deliveries(api: Api, one: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    found: list[dict[str, Any]] = api.get(f"/v1/webhook_deliveries?limit=200&endpoint_id={one['id']}{more}").get_json()[
        "data"
    ]
    return found


def test_three_in_ten_fail_and_a_dispatcher_is_killed(start: Start, lab: Api, order: Order, world: World) -> None:
    taken: Counter[str] = Counter()
    hung: Counter[str] = Counter()
    lock, some = threading.Lock(), threading.Event()
    seen = [0]

    def behave(got: Got) -> int | None:
        with lock:
            seen[0] += 1
            turn = seen[0] % 10
            if seen[0] == 12:
                some.set()
            if turn in (2, 8):
                return 500
            if turn == 5:
                hung[got.headers["webhook-id"]] += 1
                return None
            taken[got.headers["webhook-id"]] += 1
        return 200

    given = {
        "webhook_timeout_s": 0.5, "webhook_schedule_s": FAST, "webhook_per_url": IN_FLIGHT, "webhook_concurrency": IN_FLIGHT,
    }  # fmt: skip
    with Receiver(behave=behave) as receiver:
        one = endpoint(lab, receiver)
        process = start(**given)
        calls = [lab.post("/v1/calls", order()).get_json()["id"] for _ in range(15)]
        for call in calls:
            lab.post(f"/v1/calls/{call}/actions/hangup")
        assert some.wait(60)
        process.kill()
        process.wait(10)
        start(**given)
        wait_for(lambda: len(taken) == 30)
        wait_for(lambda: {row["status"] for row in deliveries(lab, one)} == {"delivered"})
        told_again = {str(row["event_id"]): row for call in calls for row in rows(world, call)}
        twice = 0
        for event, times in taken.items():
            # What it had given up when the answer came, on a machine that was slow, is rightly told again.
            given_up = sum(tried["code"] is None for tried in told_again[event]["attempts"]) - hung[event]
            twice += max(0, times - 1 - max(0, given_up))
        assert twice <= IN_FLIGHT, (taken, hung)
        told: dict[str, set[int]] = defaultdict(set)
        for got in receiver.requests:
            body = Webhook(one["secret"]).verify(got.body, dict(got.headers))
            if got.headers["webhook-id"] in taken:
                told[body["data"]["id"]].add(body["data"]["sequence"])
        assert told == {call: {1, 2} for call in calls}


def test_who_is_gone_is_disabled_and_the_others_are_told(start: Start, lab: Api, order: Order) -> None:
    start()
    with Receiver(status=410) as gone, Receiver() as other:
        dead, live = endpoint(lab, gone), endpoint(lab, other, events=["webhook_endpoint.disabled"])
        lab.post("/v1/calls", order())
        wait_for(lambda: state(lab, dead)["status"] == "disabled")
        assert state(lab, dead)["disabled_reason"] == "gone"
        (row,) = deliveries(lab, dead)
        assert (row["status"], row["code"], row["tries"]) == ("failed", 410, 1)
        assert other.wait_for(lambda: bool(other.requests))
        body = Webhook(live["secret"]).verify(other.requests[0].body, dict(other.requests[0].headers))
        assert (body["type"], body["data"]["endpoint_id"]) == ("webhook_endpoint.disabled", dead["id"])
        lab.post("/v1/calls", order())
        wait_for(lambda: len(deliveries(lab, dead)) == 2)
        assert deliveries(lab, dead)[0]["status"] == "skipped"
        assert len(gone.requests) == 1


def test_retry_after_is_waited_for_by_all_that_goes_there(start: Start, lab: Api, order: Order) -> None:
    """So a receiver that is overloaded gets nothing at all for as long as it asked, and one alone after it."""
    first = threading.Event()

    def behave(_got: Got) -> int:
        if first.is_set():
            return 200
        first.set()
        return 429

    start(webhook_schedule_s=FAST)
    with Receiver(behave=behave, headers={"Retry-After": "2"}) as receiver:
        one = endpoint(lab, receiver)
        lab.post("/v1/calls", order())
        assert first.wait(60)
        refused_at = receiver.requests[0].at
        wait_for(lambda: [row for row in deliveries(lab, one) if row["code"] == 429])
        for _ in range(5):
            lab.post("/v1/calls", order())
        wait_for(lambda: len(deliveries(lab, one, status="delivered")) == 6)
        assert receiver.requests[1].at - refused_at >= 2


def test_a_test_a_rotation_and_a_replay_arrive(start: Start, lab: Api, order: Order) -> None:
    start()
    with Receiver(body=b"<b>thanks</b>" + b"!" * 2000) as receiver:
        one = endpoint(lab, receiver)
        path = f"/v1/webhook_endpoints/{one['id']}"
        begun = datetime.now(UTC).isoformat()
        test = lab.post(f"{path}/test").get_json()
        assert receiver.wait_for(lambda: len(receiver.requests) == 1)
        wait_for(lambda: lab.get(f"/v1/webhook_deliveries/{test['id']}").get_json()["status"] == "delivered")
        (attempt,) = lab.get(f"/v1/webhook_deliveries/{test['id']}").get_json()["attempts"]
        assert (attempt["code"], attempt["reply"]) == (200, "<b>thanks</b>" + "!" * 1011)
        second = lab.post(f"{path}/rotate_secret", {}).get_json()
        lab.post("/v1/calls", order())
        assert receiver.wait_for(lambda: len(receiver.requests) == 2)
        got = receiver.requests[1]
        for secret in (one["secret"], second["secret"]):
            assert Webhook(secret).verify(got.body, dict(got.headers))["type"] == "call.queued"
        assert "webhook-replay" not in got.headers
        wait_for(lambda: not deliveries(lab, one, status="pending"))
        asked = {"endpoint_id": one["id"], "since": begun, "events": ["call.queued"], "which": "all"}
        assert lab.post("/v1/webhook_deliveries/replay", asked).get_json()["replayed"] == 1
        assert receiver.wait_for(lambda: len(receiver.requests) == 3)
        again = receiver.requests[2]
        assert (again.headers["webhook-id"], again.body) == (got.headers["webhook-id"], got.body)
        assert again.headers["webhook-replay"] == "true"


def test_a_backlog_of_all_else_does_not_delay_an_end(start: Start, lab: Api, order: Order, world: World) -> None:
    """Hundreds of other events wait for a receiver that takes one at a time: an end is among the next that it gets."""
    ends: list[int] = []
    go_on = threading.Event()

    def behave(got: Got) -> int:
        if got.json["type"] == "call.canceled":
            ends.append(len(receiver.requests))
        elif not go_on.is_set():
            go_on.wait(60)
        time.sleep(0.01)
        return 200

    with Receiver(behave=behave) as receiver:
        one = endpoint(lab, receiver)
        calls = [lab.post("/v1/calls", order()).get_json()["id"] for _ in range(120)]
        start(webhook_concurrency=8, webhook_per_url=1)
        assert receiver.wait_for(lambda: len(receiver.requests) == 1)
        lab.post(f"/v1/calls/{calls[-1]}/actions/hangup")
        wait_for(lambda: [row for row in deliveries(lab, one, call_id=calls[-1]) if row["type"] == "call.canceled"])
        go_on.set()
        assert receiver.wait_for(lambda: bool(ends))
        assert ends[0] <= 20  # of 121, and not the last one
