"""The client on the real server, with a proxy between them that loses answers: one call, never two."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calls.evidence import Evidence, Source, State
from calls.ids import agent_ref
from calls.retry import RetryRules
from store import attempts, carriers, tenants
from tests.store.threads import wait_for
from tests.web.conftest import FROM, TO, World
from tests.web.faultproxy import LOST, UNHEARD, Proxy, proxy_to
from tests.web.served import Server
from tests.web.test_runtime import Placed, attempts_of, token_of
from trunkline.client import (
    Action,
    Call,
    CallRuntime,
    Client,
    Conflict,
    DeadlineExceeded,
    IdempotencyMismatch,
    InvalidRequest,
    NotFound,
    TooMany,
    Unauthenticated,
    Unreachable,
    transport,
)


@pytest.fixture(scope="module")
def server(
    postgres_url: str, redis_database: tuple[str, bool], world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One for all: starting it takes longer than any of the tests."""
    tenants.update(world.database, world.ours.name, requests_per_s=10_000, max_queued=1_000_000)
    given = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_database[0]}
    running = Server(given, tmp_path_factory.mktemp("web") / "web.log")
    running.await_alive()
    yield running
    running.close()


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    # A silent proxy is given up on soon, and a server that is only slow is not.
    monkeypatch.setattr(transport, "READ_S", 4.0)
    with proxy_to(server.port) as between:
        yield between


@pytest.fixture
def client(proxy: Proxy, world: World) -> Iterator[Client]:
    with Client(proxy.base, world.our_key, timeout_s=60, sleep=lambda _: None) as made:
        yield made


@pytest.fixture
def wanted(world: World) -> dict[str, Any]:
    return {"to": TO, "from_": FROM, "agent_id": agent_ref(world.our_agent.id)}


def _ids(world: World, reference: str) -> list[str]:
    with world.database.connection() as conn:
        rows = conn.execute("SELECT id FROM calls WHERE client_reference = %s", (reference,)).fetchall()
    return [f"call_{row[0].hex}" for row in rows]


def test_one_batch_however_many_answers_are_lost(proxy: Proxy, client: Client, world: World, wanted: dict[str, Any]) -> None:
    """One bad row; and what would become of each of them is known before."""
    reference = str(uuid4())
    row = {"to": wanted["to"], "client_reference": reference}
    defaults = {"from": wanted["from_"], "agent_id": wanted["agent_id"]}
    assert client.dry_run({**defaults, **row})["accepted"] is True
    assert _ids(world, reference) == []
    proxy.faults.extend((*LOST, *UNHEARD))
    placed = client.place_batch([row, {"to": "+911"}], defaults=defaults)
    (call, bad) = placed.calls
    assert (placed.accepted, placed.refused) == (1, 1)
    assert _ids(world, reference) == [call["call_id"]]
    assert [error["code"] for error in bad["errors"]] != []
    found = client.get_batch(placed.id)
    assert (found.statuses, found.ended, found.canceled_at) == ({"queued": 1}, 0, None)
    assert [one.id for one in client.calls(batch_id=placed.id)] == [call["call_id"]]
    assert client.cancel_batch(placed.id).canceled_at is not None


def test_one_call_however_many_answers_are_lost(proxy: Proxy, client: Client, world: World, wanted: dict[str, Any]) -> None:
    for faults in ([fault] for fault in (*UNHEARD, *LOST)):
        reference = str(uuid4())
        proxy.faults.extend(faults)
        placed = client.place_call(**wanted, client_reference=reference)
        assert _ids(world, reference) == [placed.id], faults

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(st.lists(st.sampled_from([one for one in (*UNHEARD, *LOST) if one != "silence"]), max_size=6))
    def any_faults(faults: list[str]) -> None:
        reference = str(uuid4())
        proxy.faults.extend(faults)
        placed = client.place_call(**wanted, client_reference=reference)
        assert not proxy.faults
        assert _ids(world, reference) == [placed.id]

    any_faults()


def test_a_call_that_was_given_up_can_be_gone_on_with_under_its_key(
    proxy: Proxy, world: World, wanted: dict[str, Any]
) -> None:
    reference = str(uuid4())
    proxy.faults.extend(["swallowed"] * 10_000)
    # Its time is over when the second answer is lost, however long that takes.
    with Client(proxy.base, world.our_key, timeout_s=5.0, clock=lambda: 9.0 if proxy.passed > 1 else 0.0) as client:
        with pytest.raises(DeadlineExceeded) as given_up:
            client.place_call(**wanted, client_reference=reference)
    assert proxy.passed > 1
    proxy.faults.clear()
    with Client(proxy.base, world.our_key) as later:
        placed = later.place_call(**wanted, client_reference=reference, idempotency_key=given_up.value.idempotency_key)
    assert _ids(world, reference) == [placed.id]


def test_what_has_no_key_is_sent_once(proxy: Proxy, client: Client) -> None:
    def made(name: str) -> Any:
        return client.request("POST", "/v1/agents", body={"name": name, "kind": "announcement", "audio": "a.wav"}).body

    proxy.faults.append("swallowed")
    with pytest.raises(Unreachable):
        made("once")
    wait_for(lambda: proxy.passed == 1)  # whoever goes away does not see it pass
    assert [agent.name for agent in client.agents()].count("once") == 1
    # What was not done may be sent again, key or not.
    proxy.faults.append("too_many")
    assert made("after-429")["name"] == "after-429"


def test_an_agent_is_made_once_however_many_answers_are_lost(proxy: Proxy, client: Client) -> None:
    proxy.faults.append("swallowed")
    agent = client.create_agent(name="keyed", kind="announcement", audio="a.wav")
    assert proxy.passed == 2
    assert [one.id for one in client.agents() if one.name == "keyed"] == [agent.id]


def test_a_reading_goes_on_until_it_is_answered(proxy: Proxy, client: Client) -> None:
    proxy.faults.extend([*UNHEARD, *LOST])
    assert client.limits()


def test_pages_follow_each_other(client: Client, world: World, wanted: dict[str, Any]) -> None:
    placed = [client.place_call(**wanted).id for _ in range(5)]
    found = [call.id for call in client.calls(page_size=2)]
    assert found[:5] == placed[::-1]
    assert len(found) == len(set(found))
    newer = [call.id for call in client.calls(page_size=2, ending_before=placed[0])]
    assert sorted(newer) == sorted(placed[1:]), "each once"
    assert set(newer[:2]) == set(placed[1:3]), "the nearest first"
    assert {call.status for call in client.calls(status="queued")} == {"queued"}


def test_results_are_typed_and_nothing_is_lost(client: Client, wanted: dict[str, Any]) -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    expires = datetime(2030, 1, 2, tzinfo=UTC)
    with pytest.raises(InvalidRequest):
        client.place_call(**wanted, not_before=at)
    with pytest.raises(ValueError, match="time zone"):
        client.place_call(**wanted, expires_at=datetime(2030, 1, 1))  # noqa: DTZ001 that is the point
    call = client.place_call(**wanted, metadata={"order": 4711}, more={"ring_timeout_s": 20})
    assert (call.from_, call.metadata, call.raw["ring_timeout_s"], call.ended) == (FROM, {"order": 4711}, 20, False)
    assert abs((datetime.now(UTC) - call.created_at).total_seconds()) < 60
    assert call.expires_at < expires
    assert client.get_call(call.id) == call
    assert [event.type for event in client.events(call.id)]
    assert [attempt.number for attempt in client.attempts(call.id)] == [1]
    assert client.queue(call.id).position is not None
    assert client.hang_up(call.id).id == call.id
    assert [action.type for action in client.actions(call.id)] == ["hangup"]
    assert client.recordings(call.id) == []


def test_what_is_asked_of_a_call_is_the_action_or_the_call(client: Client, world: World, wanted: dict[str, Any]) -> None:
    call = client.place_call(**wanted)
    carrier = carriers.put_carrier(world.database, name="lab", max_channels=5, cps=5)
    carriers.put_endpoint(world.database, carrier_id=carrier.id, gateway="lab", address="127.0.0.1:5060")
    (attempt,) = attempts_of(world.database, call.id)
    attempts.claim(world.database, attempt, fence=1, epoch=0, switch="fs1", carrier_id=carrier.id, pdd_s=25)
    now = datetime.now(UTC)
    seen = Evidence(attempt, "core:answer", Source.EVENT, State.IN_PROGRESS, now)
    attempts.apply_evidence(world.database, [seen], rules=RetryRules(), timers=attempts.FixedTimers(25, 5.0, 30.0), now=now)
    pressed = client.act(call.id, "dtmf", {"digits": "12#"})
    assert isinstance(pressed, Action)
    assert (pressed.type, pressed.status, pressed.leg_call_id) == ("dtmf", "requested", None)
    assert [action.id for action in client.actions(call.id)] == [pressed.id]
    hung_up = client.act(call.id, "hangup")
    assert isinstance(hung_up, Call)
    assert hung_up.id == call.id


def test_refusals_are_typed_by_their_code(client: Client, proxy: Proxy, wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        client.place_call(**{**wanted, "to": "030 123"}, ring_timeout_s=1)
    assert {fault.where for fault in invalid.value.faults} == {"/to", "/ring_timeout_s"}
    assert invalid.value.request_id.startswith("req_")
    client.place_call(**wanted, idempotency_key="order-1")
    with pytest.raises(IdempotencyMismatch):
        client.place_call(**wanted, idempotency_key="order-1", ring_timeout_s=20)
    with pytest.raises(NotFound):
        client.get_call(f"call_{'0' * 32}")
    with pytest.raises(NotFound):
        client.get_call("../calls?limit=1#")
    client.create_agent(name="taken", kind="announcement", audio="a.wav")
    with pytest.raises(Conflict) as taken:
        client.create_agent(name="taken", kind="announcement", audio="a.wav")
    assert taken.value.code == "name_taken"
    with Client(proxy.base, "tl_nobody") as nobody, pytest.raises(Unauthenticated):
        nobody.limits()


def test_a_limit_is_waited_for_only_within_the_deadline(client: Client, world: World, wanted: dict[str, Any]) -> None:
    tenants.update(world.database, world.ours.name, max_queued=0)
    try:
        with pytest.raises(TooMany) as full:
            client.request(
                "POST",
                "/v1/calls",
                body={"to": TO, "from": FROM, "agent_id": wanted["agent_id"]},
                idempotency_key="full",
                timeout_s=4.0,  # less than is told for a queue of which nothing else is known
            )
    finally:
        tenants.update(world.database, world.ours.name, max_queued=1_000_000)
    assert (full.value.code, full.value.limit and full.value.limit["scope"]) == ("queue_full", "queue_full")
    assert full.value.retry_after_s
    assert client.place_call(**wanted, idempotency_key="full").status == "queued"


def test_an_end_is_waited_for(client: Client, world: World, wanted: dict[str, Any]) -> None:
    call = client.place_call(**wanted)
    with pytest.raises(DeadlineExceeded, match="still queued"):
        client.wait_for_end(call.id, timeout_s=0.1)

    def end() -> None:
        with world.database.connection() as conn:
            conn.execute("UPDATE calls SET status = 'completed' WHERE id = %s", (call.id.removeprefix("call_"),))

    ending = threading.Timer(0.3, end)
    ending.start()
    assert client.wait_for_end(call.id, timeout_s=30).status == "completed"
    ending.join()


def test_a_server_that_only_drips_does_not_outlive_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.sendall(
                            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
                        )
                        while True:
                            connection.sendall(b" ")
                            time.sleep(0.05)
                    except OSError:
                        continue

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with Client(f"http://127.0.0.1:{listener.getsockname()[1]}", "tl_x", timeout_s=0.5) as client:
            with pytest.raises(DeadlineExceeded):
                client.limits()


def test_an_api_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody else has it meanwhile
        base = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(base, "tl_x", timeout_s=2.0) as client, pytest.raises(DeadlineExceeded) as late:
            client.limits()
    assert f"nobody answers at {base}: is the API up there?" in str(late.value)


def test_a_key_is_not_sent_in_the_clear() -> None:
    for base in ("http://calls.example.com", "ftp://127.0.0.1", "https://user@example.com", "https://example.com/?a=1", "x"):
        with pytest.raises(ValueError):
            Client(base, "tl_x")
    Client("https://calls.example.com", "tl_x").close()
    Client("http://calls.example.com", "tl_x", insecure=True).close()


def test_a_result_is_handed_in_once_however_many_answers_are_lost(
    proxy: Proxy, client: Client, world: World, wanted: dict[str, Any]
) -> None:
    for fault in (*UNHEARD, *LOST):
        call = client.place_call(**wanted)
        made = Placed(call.id, attempts_of(world.database, call.id)[0])
        token = token_of(world.database, world.ours.id, made)
        with CallRuntime(proxy.base, call.id, token, timeout_s=60, sleep=lambda _: None) as side:
            assert side.config().call["id"] == call.id
            proxy.faults.append(fault)
            kept = side.hand_in(outcome="done", summary="All is well.", transcript=[{"speaker": "agent", "text": "Hello."}])
            with pytest.raises(Conflict, match="result_taken"):
                side.hand_in(outcome="other")
        (result,) = client.results(call.id)
        assert (result.outcome, result.summary, result.turn_count, result.received_at) == (
            "done", "All is well.", 1, kept.received_at,
        )  # fmt: skip
        record = client.record(call.id)
        assert ([one.raw for one in record.results], record.call.id, len(record.attempts)) == ([result.raw], call.id, 1)
        (erased,) = client.erase_results(call.id)
        assert (erased.outcome, erased.summary, erased.transcript) == ("done", None, None)


def test_a_call_token_that_is_not_good_is_told_as_what_it_is(proxy: Proxy, client: Client, wanted: dict[str, Any]) -> None:
    call = client.place_call(**wanted)
    with CallRuntime(proxy.base, call.id, "nonsense", timeout_s=60) as side, pytest.raises(NotFound):
        side.config()
