"""The dispatcher as its own process, on real Postgres, against receivers that obey, refuse, hang and come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from gevent.event import Event
from psycopg.rows import dict_row
from redis import Redis

from jobs.dispatcher import Dispatcher
from jobs.webhook_post import Answer
from settings import Settings
from store import calls, outbox, tenants
from store.calls import NewCall
from tests.web.conftest import FROM, TO, Api, World
from tests.web.receiver import Got, Receiver
from web.app import create_app

ROOT = Path(__file__).resolve().parents[2]
#: s; of a delivery: longer than a busy machine takes for its answer; and where it is to pass.
PATIENT_S, TIMEOUT_S = 15.0, 1.0

Start = Callable[..., subprocess.Popen[bytes]]
Order = Callable[..., dict[str, Any]]


@pytest.fixture
def start(postgres_url: str, world: World) -> Iterator[Start]:
    """``start(webhook_per_url=2)``: a dispatcher; none outlives the test, and what was due is no later test's business."""
    with world.database.connection() as conn:
        conn.execute("UPDATE outbox SET failed_at = now() WHERE delivered_at IS NULL AND failed_at IS NULL")
        conn.execute("UPDATE webhook_deliveries SET status = 'failed' WHERE status = 'pending'")
    running: list[subprocess.Popen[bytes]] = []

    def begin(**changes: object) -> subprocess.Popen[bytes]:
        given = {"webhook_allow_private": "true", "webhook_timeout_s": PATIENT_S, **changes}
        environment = {
            **os.environ,
            "DATABASE_URL": postgres_url,
            **{f"TRUNKLINE_{name.upper()}": str(value) for name, value in given.items()},
        }
        process = subprocess.Popen([sys.executable, "-m", "jobs", "dispatcher"], cwd=ROOT, env=environment)
        running.append(process)
        return process

    yield begin
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)


@pytest.fixture
def lab(settings: Callable[..., Settings], world: World, redis: Redis) -> Api:
    """The API where webhooks may go to loopback."""
    app = create_app(settings(webhook_allow_private=True, requests_per_s=10_000), database=world.database, redis=redis)
    return Api(app, world.our_key)


def rows(world: World, call: str | UUID) -> list[dict[str, Any]]:
    with world.database.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        call_id = UUID(str(call).removeprefix("call_"))
        sql = "SELECT * FROM webhook_deliveries WHERE call_id = %s ORDER BY sequence"
        return cursor.execute(sql, (call_id,)).fetchall()


def rows_where(world: World, call: str, **values: object) -> list[dict[str, Any]]:
    return [row for row in rows(world, call) if all(row[name] == value for name, value in values.items())]


def rows_tried(world: World, call: str | UUID) -> list[dict[str, Any]]:
    """Those that have failed at least once."""
    return [row for row in rows(world, call) if row["last_error"]]


def delivered(world: World, call: str | UUID) -> bool:
    """Whether all that was to be told of the call is."""
    found = rows(world, call)
    return bool(found) and all(row["status"] == "delivered" for row in found)


def tried_before(world: World, calls: list[str], tries: int) -> None:
    """As if a dispatcher had tried what is written so often, and it were due again."""
    outbox.expand(world.database, datetime.now(UTC), 1000, 0, 1.0)
    with world.database.connection() as conn:
        ids = [UUID(call.removeprefix("call_")) for call in calls]
        conn.execute("UPDATE webhook_deliveries SET tries = %s WHERE call_id = ANY(%s)", (tries, ids))


def wait_for(met: Callable[[], Any], seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while not (value := met()):
        assert time.monotonic() < until, f"waited {seconds:g} s in vain"
        time.sleep(0.02)
    return value


def due_now(world: World, call: str) -> None:
    with world.database.connection() as conn:
        sql = "UPDATE webhook_deliveries SET next_at = now() WHERE call_id = %s"
        conn.execute(sql, (UUID(call.removeprefix("call_")),))
        conn.execute("SELECT pg_notify('outbox', '')")


def test_every_step_arrives_signed_and_in_sequence(start: Start, lab: Api, world: World, order: Order) -> None:
    start()
    with Receiver() as receiver:
        call = lab.post("/v1/calls", order(webhook_url=receiver.url + "?k=1", metadata={"ä": "€"})).get_json()
        assert receiver.wait_for(lambda: len(receiver.requests) == 1)
        lab.post(f"/v1/calls/{call['id']}/actions/hangup")
        assert receiver.wait_for(lambda: len(receiver.requests) == 2)
        queued, canceled = receiver.requests
        for got in receiver.requests:
            assert got.signed_by(world.ours.webhook_secret)
            assert not got.signed_by(world.theirs.webhook_secret)
            assert got.headers["content-type"] == "application/json"
            assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
            assert got.path == "/hook?k=1"
            assert set(got.json) >= {"type", "timestamp", "data"}
        assert (queued.json["type"], queued.json["data"]["sequence"]) == ("call.queued", 1)
        assert (canceled.json["type"], canceled.json["data"]["sequence"]) == ("call.canceled", 2)
        assert canceled.json["data"]["status"] == "canceled"
        assert queued.json["data"]["metadata"] == {"ä": "€"}
        assert queued.headers["webhook-id"] != canceled.headers["webhook-id"]
        wait_for(lambda: delivered(world, call["id"]))
        first, second = rows(world, call["id"])
        assert (first["last_code"], second["last_code"], first["tries"]) == (200, 200, 1)


def test_without_an_address_of_its_own_the_tenants_is_used(start: Start, lab: Api, world: World, order: Order) -> None:
    start()
    with Receiver() as receiver:
        tenants.set_webhook_url(world.database, world.ours.id, receiver.url)
        try:
            lab.post("/v1/calls", order())
            assert receiver.wait_for(lambda: len(receiver.requests) == 1)
        finally:
            tenants.set_webhook_url(world.database, world.ours.id, None)


def test_a_failure_is_tried_again_under_the_same_id(start: Start, lab: Api, world: World, order: Order) -> None:
    statuses = iter([500, 302, 200])
    start()
    with Receiver(behave=lambda _got: next(statuses), headers={"Location": "http://127.0.0.1:1/"}) as receiver:
        call = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        for tries, (code, low, high) in enumerate([(500, 4, 6), (302, 240, 360)], start=1):
            (row,) = wait_for(partial(rows_where, world, call, last_code=code))
            assert (row["tries"], row["status"], row["last_error"]) == (tries, "pending", f"answered {code}")
            with world.database.connection() as conn:
                found = conn.execute("SELECT extract(epoch FROM %s - now())", (row["next_at"],)).fetchone()
            assert found is not None
            assert low - 2 < found[0] < high
            due_now(world, call)
        (row,) = wait_for(lambda: rows_where(world, call, status="delivered"))
        assert (row["tries"], row["last_code"], row["last_error"]) == (3, 200, None)
        assert [one["code"] for one in row["attempts"]] == [500, 302, 200]
        assert {one["reply"] for one in row["attempts"]} == {"ok"}
        assert {got.headers["webhook-id"] for got in receiver.requests} == {str(row["event_id"])}
        assert len({got.body for got in receiver.requests}) == 1
        assert all(got.signed_by(world.ours.webhook_secret) for got in receiver.requests)


def test_after_the_last_try_it_is_given_up(start: Start, lab: Api, world: World, order: Order) -> None:
    with Receiver(status=503) as receiver:
        call = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        tried_before(world, [call], 9)
        start()
        (row,) = wait_for(lambda: rows_where(world, call, status="failed"))
        assert (row["tries"], row["last_code"]) == (10, 503)
        assert row["ended_at"] is not None
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("scheme", ["http://127.0.0.1", "https://127.0.0.1", "https://localhost", "https://[::1]"])
def test_a_private_address_is_never_connected_to(start: Start, world: World, scheme: str) -> None:
    with Receiver() as receiver:
        now = calls_now(world)
        new = NewCall(
            world.ours.id, world.our_agent.id, TO, FROM, "germany", now, now.replace(year=now.year + 1), 1, 30, 60,
            webhook_url=f"{scheme}:{receiver.port}/hook",
        )  # fmt: skip
        call = calls.accept_call(world.database, new, idempotency=None, now=now).call.id
        # Its usual doors are no way round either.
        other = calls.accept_call(
            world.database,
            NewCall(
                world.ours.id, world.our_agent.id, TO, FROM, "germany", now, new.expires_at, 1, 30, 60,
                webhook_url=f"{scheme.replace('http:', 'https:')}/hook",
            ),
            idempotency=None,
            now=now,
        ).call.id  # fmt: skip
        start(webhook_allow_private="false")
        for refused in (call, other):
            (row,) = wait_for(partial(rows_tried, world, refused))
            assert row["last_error"].startswith("refused:")
            assert (row["last_code"], row["status"]) == (None, "pending")
        assert receiver.connections == 0


def calls_now(world: World) -> Any:
    with world.database.connection() as conn:
        row = conn.execute("SELECT now()").fetchone()
    assert row is not None
    return row[0]


def test_a_receiver_that_hangs_costs_one_deadline(start: Start, lab: Api, world: World, order: Order) -> None:
    start(webhook_timeout_s=TIMEOUT_S)
    with Receiver(behave=lambda _got: None) as receiver:
        call = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        (row,) = wait_for(lambda: rows_tried(world, call))
        assert row["last_error"] == f"no complete answer within {TIMEOUT_S:g} s"
        assert row["last_code"] is None
        assert len(receiver.requests) == 1


def test_a_receiver_that_drips_costs_one_deadline_too(start: Start, lab: Api, world: World, order: Order) -> None:
    """Each read succeeds in time; only the deadline over the whole delivery ends it."""
    import socket

    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65_536)
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.1):
                try:
                    peer.sendall(b"x-drip: 1\r\n")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        start(webhook_timeout_s=TIMEOUT_S)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        call = lab.post("/v1/calls", order(webhook_url=url)).get_json()["id"]
        (row,) = wait_for(lambda: rows_tried(world, call))
        assert row["last_error"] == f"no complete answer within {TIMEOUT_S:g} s"
    finally:
        ended.set()
        thread.join()
        listener.close()


def test_one_that_hangs_does_not_stop_the_others(start: Start, lab: Api, world: World, order: Order) -> None:
    with Receiver(behave=lambda _got: None) as hanging, Receiver() as healthy:
        for _ in range(60):
            lab.post("/v1/calls", order(webhook_url=hanging.url))
        for _ in range(20):
            lab.post("/v1/calls", order(webhook_url=healthy.url))
        start(webhook_concurrency=8, webhook_per_url=2)
        assert healthy.wait_for(lambda: len(healthy.requests) == 20)
        assert hanging.peak <= 2
        assert healthy.peak <= 2
        # Where everything goes through eight places in turn, the sixty would have to end first.
        assert len(hanging.requests) < 60


def test_who_is_well_does_not_wait_until_what_is_too_much_for_another_is_written_down(
    start: Start, lab: Api, world: World, order: Order, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    del start  # its fixture's quiet is wanted, and no process
    for name in (*["hole"] * 9, "well"):
        assert lab.post("/v1/calls", order(webhook_url=f"https://{name}.example/hook")).status_code == 202
    sent, handed_back, waited = Event(), Event(), list[bool]()

    def post(url: str, _: dict[str, str], __: bytes) -> Answer:
        if "well" in url:
            sent.set()
        else:
            handed_back.wait(60)
        return Answer(200, None)

    hand_back = outbox.hand_back

    def later(*given: Any) -> None:
        waited.append(sent.wait(60))
        hand_back(*given)
        handed_back.set()
        dispatcher.stop.set()

    monkeypatch.setattr("jobs.dispatcher.outbox.hand_back", later)
    dispatcher = Dispatcher(world.database, post, settings(webhook_per_url=1))
    dispatcher.run()
    assert waited == [True]


def test_killed_in_the_middle_it_is_delivered_again(start: Start, lab: Api, world: World, order: Order) -> None:
    arrived = threading.Event()

    def first_hangs(_got: Got) -> int | None:
        if arrived.is_set():
            return 200
        arrived.set()
        return None

    with Receiver(behave=first_hangs) as receiver:
        process = start()
        call = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        assert arrived.wait(60)
        process.kill()
        process.wait(10)
        (row,) = rows(world, call)
        assert row["status"] == "pending"
        assert timedelta(0) < row["next_at"] - calls_now(world) <= timedelta(seconds=3 * PATIENT_S + 2)
        due_now(world, call)  # as when that is over
        start()
        (row,) = wait_for(lambda: rows_where(world, call, status="delivered"))
        first, second = receiver.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(row["event_id"])
        assert first.body == second.body
        assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"])
        assert second.signed_by(world.ours.webhook_secret)


def test_two_dispatchers_deliver_once(start: Start, lab: Api, world: World, order: Order) -> None:
    with Receiver() as receiver:
        for _ in range(2):
            start()
        ids = [lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"] for _ in range(40)]
        wait_for(lambda: all(delivered(world, call) for call in ids))
        seen = [got.headers["webhook-id"] for got in receiver.requests]
        assert len(seen) == len(set(seen)) == 40


def test_told_to_stop_it_finishes_what_is_in_flight(start: Start, lab: Api, world: World, order: Order) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def slowly(_got: Got) -> int:
        arrived.set()
        go_on.wait(60)
        return 200

    with Receiver(behave=slowly) as receiver:
        process = start(webhook_timeout_s=15)
        call = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        assert arrived.wait(60)
        process.send_signal(signal.SIGTERM)
        later = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        go_on.set()
        assert process.wait(60) == 0
        assert delivered(world, call)
        assert not delivered(world, later)


def test_postgres_sessions_cut_are_no_end(start: Start, lab: Api, world: World, order: Order) -> None:
    process = start()
    with Receiver() as receiver:
        lab.post("/v1/calls", order(webhook_url=receiver.url))
        assert receiver.wait_for(lambda: len(receiver.requests) == 1)
        with world.database.connection() as conn:
            cut = conn.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
                " AND (application_name LIKE 'dispatcher%' OR application_name LIKE 'listen%')"
            ).fetchone()
        assert cut is not None
        assert cut[0] >= 2
        call = lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"]
        wait_for(lambda: delivered(world, call))
        assert process.poll() is None


def test_jobs_are_named() -> None:
    done = subprocess.run([sys.executable, "-m", "jobs", "nothing"], cwd=ROOT, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert b"feeder|watchdog|dispatcher" in done.stderr


def test_what_waits_behind_a_slow_receiver_is_not_given_up_untried(
    start: Start, lab: Api, world: World, order: Order
) -> None:
    with Receiver(behave=lambda _got: None) as hanging:
        ids = [lab.post("/v1/calls", order(webhook_url=hanging.url)).get_json()["id"] for _ in range(12)]
        tried_before(world, ids, 9)
        start(webhook_concurrency=8, webhook_per_url=1, webhook_timeout_s=3)

        def not_tried() -> list[dict[str, Any]]:
            tried = {UUID(got.headers["webhook-id"]) for got in hanging.requests}
            return [row for call in ids for row in rows_tried(world, call) if row["event_id"] not in tried]

        handed_back = wait_for(not_tried)
        given_up = {row["event_id"] for call in ids for row in rows_where(world, call, status="failed")}
        tried = {UUID(got.headers["webhook-id"]) for got in hanging.requests}
        assert given_up <= tried
        assert all(row["last_error"].startswith("not tried") and row["status"] == "pending" for row in handed_back)


def test_a_turn_that_was_not_had_uses_up_no_try_and_comes_again_soon(
    start: Start, lab: Api, world: World, order: Order
) -> None:
    """A receiver that answers slowly, and more for it than it takes: nothing is put off by the schedule of failures."""
    slow = threading.Event()

    def behave(_got: Got) -> int:
        slow.wait(1.3)
        return 200

    with Receiver(behave=behave) as receiver:
        ids = [lab.post("/v1/calls", order(webhook_url=receiver.url)).get_json()["id"] for _ in range(12)]
        start(webhook_concurrency=8, webhook_per_url=1, webhook_timeout_s=10)
        wait_for(lambda: [row for call in ids for row in rows(world, call) if row["last_error"]])
        put_off = [row for call in ids for row in rows(world, call) if (row["last_error"] or "").startswith("not tried")]
        assert put_off
        assert {row["tries"] for row in put_off} == {0}
        assert all(row["next_at"] - row["created_at"] < timedelta(seconds=60) for row in put_off)
        slow.set()  # it is well again
        wait_for(lambda: all(delivered(world, call) for call in ids))
        assert {rows(world, call)[0]["tries"] for call in ids} == {1}
