"""When Postgres goes away: what is said of the request is true, and what is advised works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from werkzeug.test import TestResponse

from store import agents
from store.pool import Conn, Database
from tests.web.conftest import Api, World
from tests.web.test_call_actions import talking

Order = Callable[..., dict[str, Any]]
GONE = psycopg.OperationalError("server closed the connection unexpectedly")


@pytest.fixture
def lost_at_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on: a unit is committed, its connection is lost before the answer, and then none can be had."""
    run, connection = Database.run, Database.connection

    def begin() -> None:
        lost: list[int] = []

        def losing(self: Database, unit: Callable[[Conn], Any], **options: Any) -> Any:
            def committed(conn: Conn) -> None:
                unit(conn)
                conn.commit()
                lost.append(1)
                raise GONE

            return run(self, committed, **options)

        def none_left(self: Database, **options: Any) -> Any:
            if lost:
                raise PoolTimeout("couldn't get a connection after 3 s")
            return connection(self, **options)

        monkeypatch.setattr(Database, "run", losing)
        monkeypatch.setattr(Database, "connection", none_left)

    return begin


@pytest.fixture
def none_to_be_had(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on a write finds no connection; whoever asks may still be known."""

    def begin() -> None:
        def nothing(*_: object, **__: object) -> Any:
            raise PoolTimeout("couldn't get a connection after 3 s")

        monkeypatch.setattr(Database, "run", nothing)
        monkeypatch.setattr("web.api.agents.agents.create", nothing)

    return begin


def in_doubt(response: TestResponse) -> str:
    """The detail of a 503 that promises nothing."""
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    problem = response.get_json()
    assert problem["code"] == "outcome_unknown"
    detail: str = problem["detail"]
    assert "may or may not have been accepted" in detail
    assert "Nothing was accepted" not in detail
    return detail


def test_a_call_in_doubt_is_told_so_and_safe_to_send_again(
    api: Api, world: World, order: Order, lost_at_commit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, before, once = order(), world.counts(), {"Idempotency-Key": "in-doubt"}
    lost_at_commit()
    assert "same Idempotency-Key" in in_doubt(api.post("/v1/calls", body, headers=once))
    monkeypatch.undo()
    after = world.counts()
    assert after["calls"] == before["calls"] + 1
    again = api.post("/v1/calls", body, headers=once)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert world.counts() == after


def test_without_a_key_a_call_in_doubt_is_to_be_looked_for(
    api: Api, order: Order, lost_at_commit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost_at_commit()
    assert "GET /v1/calls" in in_doubt(api.post("/v1/calls", order(client_reference="look-for-me")))
    monkeypatch.undo()
    assert api.get("/v1/calls?limit=1").get_json()["data"][0]["client_reference"] == "look-for-me"


def test_a_call_that_is_in_but_cannot_be_read_back_is_in_doubt(
    api: Api, world: World, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try finds the ids taken, by one before it whose end nobody saw, and then Postgres is away."""
    run, taken = Database.run, list[int]()

    def once(self: Database, unit: Callable[[Conn], Any], **options: Any) -> Any:
        if taken:
            raise PoolTimeout("couldn't get a connection after 3 s")
        run(self, unit, **options)
        taken.append(1)
        raise psycopg.errors.UniqueViolation("duplicate key value violates unique constraint")

    before = world.counts()
    monkeypatch.setattr(Database, "run", once)
    in_doubt(api.post("/v1/calls", order()))
    monkeypatch.undo()
    assert world.counts()["calls"] == before["calls"] + 1


def test_a_hangup_in_doubt_is_told_so(
    api: Api, order: Order, lost_at_commit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = api.post("/v1/calls", order()).headers["Location"]
    lost_at_commit()
    assert "asking twice changes nothing" in in_doubt(api.post(f"{path}/actions/hangup"))
    monkeypatch.undo()
    assert api.get(path).get_json()["status"] == "canceled"
    assert api.post(f"{path}/actions/hangup").status_code == 202


def test_keys_in_doubt_are_told_so_and_pressed_once(
    api: Api, world: World, order: Order, lost_at_commit: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = talking(api, world, order)
    run = Database.run
    with monkeypatch.context() as lost:

        def twice(self: Database, unit: Callable[[Conn], Any], **options: Any) -> Any:
            """The first try is committed, and its connection lost: it is given another."""
            run(self, unit, **options)
            return run(self, unit, **options)

        lost.setattr(Database, "run", twice)
        assert api.post(f"{path}/actions/dtmf", {"digits": "1"}).status_code == 202
    assert len(api.get(f"{path}/actions").get_json()["data"]) == 1
    lost_at_commit()
    assert "Look at the call's actions" in in_doubt(api.post(f"{path}/actions/dtmf", {"digits": "2"}))
    monkeypatch.undo()
    assert len(api.get(f"{path}/actions").get_json()["data"]) == 2


def test_a_hangup_that_cannot_be_read_back_is_not_denied(api: Api, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    path = api.post("/v1/calls", order()).headers["Location"]

    def away(*_: object) -> None:
        raise PoolTimeout("couldn't get a connection after 3 s")

    monkeypatch.setattr("web.api.calls.call_list.get", away)
    in_doubt(api.post(f"{path}/actions/hangup"))
    # Reading alone promises what it can.
    assert api.get(path).get_json()["code"] == "database_unavailable"


def test_an_agent_in_doubt_is_told_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    create, body = agents.create, {"name": "in-doubt", "kind": "announcement", "audio": "a.wav"}

    def losing(*args: Any, **more: Any) -> None:
        create(*args, **more)
        raise GONE

    monkeypatch.setattr("web.api.agents.agents.create", losing)
    assert "409" in in_doubt(api.post("/v1/agents", body))
    monkeypatch.undo()
    again = api.post("/v1/agents", body)
    assert (again.status_code, again.get_json()["code"]) == (409, "name_taken")


def test_where_no_connection_could_be_had_nothing_was_accepted(
    api: Api, world: World, order: Order, none_to_be_had: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = api.post("/v1/calls", order()).headers["Location"]
    before = world.counts()
    none_to_be_had()
    for answer in (
        api.post("/v1/calls", order(), headers={"Idempotency-Key": "never-reached"}),
        api.post(f"{path}/actions/hangup"),
        api.post("/v1/agents", {"name": "never", "kind": "announcement", "audio": "a.wav"}),
    ):
        assert (answer.status_code, answer.get_json()["code"]) == (503, "database_unavailable")
        assert "Nothing was accepted; try again" in answer.get_json()["detail"]
    monkeypatch.undo()
    assert world.counts() == before


def test_a_statement_that_was_too_slow_was_rolled_back(api: Api, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    monkeypatch.setattr(Database, "run", slow)
    assert api.post("/v1/calls", order()).get_json()["code"] == "database_unavailable"


def test_the_description_tells_both(api: Api) -> None:
    spec = api.get("/v1/openapi.json", key="").get_json()

    def described(path: str, method: str) -> str:
        name = spec["paths"][path][method]["responses"]["503"]["$ref"].rsplit("/", 1)[1]
        return str(spec["components"]["responses"][name]["description"])

    for path, methods in spec["paths"].items():
        for method in methods.keys() & {"get", "post", "put", "patch", "delete"}:
            assert ("outcome_unknown" in described(path, method)) == (method != "get"), (path, method)
    assert "Idempotency-Key" in described("/v1/calls", "post")
    assert "outcome_unknown" in spec["paths"]["/v1/calls"]["post"]["description"]
