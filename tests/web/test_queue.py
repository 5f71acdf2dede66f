"""Where a call stands: its place, its wait and the limit that holds it, on real Postgres and Redis with a real feeder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from redis import Redis

from budget import health, permits
from budget.connect import connect
from budget.epoch import begin, marks
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.ids import parse_ref
from jobs.feeder import Feeder
from settings import Settings
from store import carriers, place, scopes, tenants
from store.scopes import Scope, tenant_scope
from tests.web.conftest import Api, World, named
from web.app import create_app

TABLES = (
    "outbox, call_events, call_results, contradictions, call_commands, idempotency_keys, recordings, attempts, calls,"
    " queue_counts, queue_deltas"
)

#: CPS at which whatever waits for its slot still does when it is looked at.
SLOW = 0.1


@dataclass
class Queue:
    """Calls in line; ``look`` asks the API, ``tick`` is the feeder's work, ``grant`` a controller's question."""

    api: Api
    world: World
    redis: Redis
    settings: Settings
    order: Callable[..., dict[str, Any]]
    feeder: Feeder

    @property
    def carrier(self) -> UUID:
        return carriers.list_limits(self.world.database)[0].id

    def place(self, **changes: Any) -> str:
        answer = self.api.post("/v1/calls", self.order(**changes))
        assert answer.status_code == 202, answer.get_json()
        return str(answer.get_json()["id"])

    def line(self, count: int) -> list[str]:
        """So many calls, laned, at a carrier that somebody asks."""
        made = [self.place() for _ in range(count)]
        self.tick()
        return made

    def tick(self) -> None:
        self.feeder.look_again()
        self.feeder.tick(datetime.now(UTC), time.monotonic())

    def grant(self) -> permits.Answer:
        """A permit whose slot is free now; the rest after a rebuild is not what is tested here."""
        self.redis.hdel(f"{PREFIX}s:{carrier_scope(self.carrier)}", "tat")
        return permits.grant(self.redis, self.settings, self.carrier, "fs1")

    def look(self, call: str) -> dict[str, Any]:
        answer = self.api.get(f"/v1/calls/{call}/queue")
        assert answer.status_code == 200, answer.get_json()
        body: dict[str, Any] = answer.get_json()
        return body

    def blocked(self, call: str) -> tuple[str, str, float | None, float | None]:
        found = self.look(call)["blocked_by"]
        assert found["detail"].endswith(".")
        return found["scope"], found["name"], found["limit"], found["current"]


@pytest.fixture
def queue(
    api: Api, world: World, redis: Redis, settings: Callable[..., Settings], order: Callable[..., dict[str, Any]]
) -> Iterator[Queue]:
    with world.database.connection() as conn:
        conn.execute(f"TRUNCATE {TABLES}".encode())
    options = settings()
    made = Queue(api, world, redis, options, order, Feeder(world.database, redis, options))
    made.tick()
    yield made
    own = tenant_scope(world.ours.id)
    scopes.remove(world.database, own)
    tenants.update(world.database, world.ours.name, paused=False)
    carriers.update(world.database, "acme", paused=False, max_channels=10, cps=5)
    with world.database.connection() as conn:
        conn.execute("UPDATE tenants SET canceled_before = NULL")


@pytest.fixture(autouse=True)
def reachable(world: World) -> None:
    (carrier,) = carriers.list_limits(world.database)
    carriers.put_endpoint(world.database, carrier_id=carrier.id, gateway="gw", address="127.0.0.1:5060")


def test_the_answer_to_a_post_says_it_where_it_is_asked_for(queue: Queue) -> None:
    carriers.update(queue.world.database, "acme", cps=SLOW)
    (first,) = queue.line(1)
    key = {"Idempotency-Key": f"queued-{first}"}
    body = queue.order()
    told = queue.api.post("/v1/calls?queue=true", body, headers=key).get_json()
    assert (queue.look(first)["position"], told["queue"]["position"]) == (1, 2)
    assert told["queue"].keys() == queue.look(told["id"]).keys()
    # A repetition is the first answer again, but for where the call stands: that is asked anew.
    again = queue.api.post("/v1/calls?queue=true", body, headers=key)
    assert (again.headers["Idempotent-Replayed"], again.get_json()["queue"]["position"]) == ("true", 2)
    assert "queue" not in queue.api.post("/v1/calls", body, headers=key).get_json()
    assert queue.api.post(f"/v1/calls/{told['id']}/actions/hangup").status_code == 202
    assert queue.api.post("/v1/calls?queue=true", body, headers=key).get_json() == {**told, "queue": None}
    refused = queue.api.post("/v1/calls?queue=true&dry_run=true", body)
    assert (refused.status_code, named(refused)) == (422, {"queue": "conflict"})


def test_each_has_its_place_and_a_forecast(queue: Queue, world: World) -> None:
    carriers.update(world.database, "acme", cps=SLOW)
    made = queue.line(4)
    assert queue.grant().grants
    first, *rest = made
    assert queue.look(first)["position"] == 0
    found = [queue.look(call) for call in rest]
    assert [one["position"] for one in found] == [1, 2, 3]
    assert [one["blocked_by"]["name"] for one in found] == ["cps"] * 3
    assert {one["blocked_by"]["scope"] for one in found} == {"carrier"}
    waits = [one["eta_s"] for one in found]
    assert all(0 <= one["p50"] <= one["p90"] for one in waits)
    # One more place is ten seconds more, however long the looks themselves took.
    begun = [datetime.fromisoformat(one["as_of"]).timestamp() + one["eta_s"]["p50"] for one in found]
    assert 8 < begun[2] - begun[1] < 12


def test_a_call_with_its_permit_is_about_to_be_dialed(queue: Queue) -> None:
    (call,) = queue.line(1)
    assert queue.grant().grants
    found = queue.look(call)
    assert (found["position"], found["blocked_by"]) == (0, None)
    assert 0 <= found["eta_s"]["p50"] <= 0.2


def test_places_go_on_behind_the_window(queue: Queue, settings: Callable[..., Settings], world: World) -> None:
    small = settings(lane_window=2, requests_per_s=10_000)
    queue.api = Api(create_app(small, database=world.database, redis=queue.redis), world.our_key)
    made = [queue.place() for _ in range(6)]
    with world.database.connection() as conn:
        (lane,) = conn.execute("SELECT lane FROM calls LIMIT 1").fetchone() or ("",)
    assert queue.redis.llen(f"rq:queue:{lane}") == 2
    assert [queue.look(call)["position"] for call in made] == [1, 2, 3, 4, 5, 6]
    queue.tick()
    assert [queue.look(call)["position"] for call in made] == [1, 2, 3, 4, 5, 6]


def test_exact_to_a_thousand(queue: Queue, world: World) -> None:
    first = queue.place()
    last = queue.place(priority="bulk")
    with world.database.connection() as conn:
        # Before the last one, in its lane, and behind everything that lanes hold.
        conn.execute(
            "INSERT INTO attempts (id, call_id, number, lane, due_at, created_at) SELECT gen_random_uuid(), c.id, n + 1, "
            "(SELECT lane FROM calls WHERE id = %s), now() - interval '1 hour', now()"
            " FROM calls c, generate_series(1, %s) n WHERE c.id = %s",
            (parse_ref("call", last), place.EXACT - 1, parse_ref("call", first)),
        )
        row = conn.execute("SELECT id, lane FROM attempts WHERE call_id = %s", (parse_ref("call", last),)).fetchone()
    assert row is not None
    # Out of its lane again, as if older ones had come first.
    queue.redis.lrem(f"rq:queue:{row[1]}", 0, str(row[0]))
    queue.redis.srem(f"{PREFIX}in", str(row[0]))
    assert queue.look(last)["position"] == place.EXACT
    with world.database.connection() as conn:
        conn.execute(
            "INSERT INTO attempts (id, call_id, number, lane, due_at, created_at)"
            " SELECT gen_random_uuid(), call_id, 5000, lane, due_at, created_at FROM attempts WHERE number = 2"
        )
    found = queue.look(last)
    assert (found["position"], found["eta_s"]) == ("1000+", None)


def test_a_call_for_later_is_in_no_line_yet(queue: Queue) -> None:
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    found = queue.look(queue.place(not_before=later))
    assert (found["position"], found["eta_s"], found["blocked_by"]["name"]) == (None, None, "not_before")
    assert found["due_at"] > found["as_of"]


def test_a_retry_says_so(queue: Queue, world: World) -> None:
    call = queue.place()
    with world.database.connection() as conn:
        conn.execute("UPDATE attempts SET number = 2, due_at = now() + interval '1 minute'")
    assert queue.blocked(call) == ("call", "retry", None, None)


def test_nobody_elses_call_and_none_that_is_not_queued(queue: Queue, world: World) -> None:
    call = queue.place()
    for path, key in ((f"/v1/calls/{call}/queue", world.their_key), (f"/v1/calls/call_{'0' * 32}/queue", world.our_key)):
        assert queue.api.get(path, key=key).status_code == 404
    queue.api.post(f"/v1/calls/{call}/actions/hangup")
    answer = queue.api.get(f"/v1/calls/{call}/queue")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "not_queued")
    assert "canceled" in answer.get_json()["detail"]


def test_ones_own_limit_is_named_with_its_numbers(queue: Queue, world: World) -> None:
    carriers.update(world.database, "acme", cps=1000)  # whose pace holds nobody here, however quick the machine
    scopes.put(world.database, Scope(tenant_scope(world.ours.id), max_channels=1))
    calls = queue.line(3)
    assert queue.grant().grants
    assert not queue.grant().grants
    assert queue.blocked(calls[-1]) == ("tenant", "channels", 1, 1)
    scopes.put(world.database, Scope(tenant_scope(world.ours.id), cps=SLOW))
    queue.tick()
    assert not queue.grant().grants  # a new rate rests first
    found = queue.look(calls[-1])
    assert (found["blocked_by"]["name"], found["blocked_by"]["limit"], found["position"]) == ("cps", SLOW, 2)
    assert found["eta_s"]["p50"] > 2


def test_a_carriers_limit_is_named_by_kind_alone(queue: Queue, world: World) -> None:
    carriers.update(world.database, "acme", max_channels=1)
    calls = queue.line(3)
    assert queue.grant().grants
    assert not queue.grant().grants
    assert queue.blocked(calls[-1]) == ("carrier", "channels", None, None)
    body = str(queue.look(calls[-1]))
    assert "acme" not in body
    assert str(queue.carrier) not in body


def test_others_are_before_it(queue: Queue, world: World) -> None:
    carriers.update(world.database, "acme", cps=SLOW)
    theirs = queue.order(agent_id=f"agent_{world.their_agent.id.hex}")
    for _ in range(3):
        assert queue.api.post("/v1/calls", theirs, key=world.their_key).status_code == 202
    calls = queue.line(3)
    granted = queue.grant().grants[0]
    turn = {"theirs": "cps", "ours": "turn"}["ours" if world.ours.id.hex in granted.lane else "theirs"]
    assert queue.blocked(calls[-1])[:2] == ("carrier", turn)
    assert queue.look(calls[-1])["eta_s"]["p50"] > 0.3


@pytest.mark.parametrize(
    ("what", "blocked"),
    [
        ("tenant paused", ("tenant", "paused")),
        ("carrier paused", ("carrier", "paused")),
        ("carrier stopped", ("carrier", "stopped")),
        ("carrier probing", ("carrier", "probing")),
        ("no route", ("route", "no_route")),
        ("nobody asks", ("platform", "no_controller")),
        ("closed", ("platform", "budget_closed")),
        ("rebuilding", ("platform", "budget_rebuilding")),
        ("not laned", ("platform", "backlog")),
    ],
)
def test_what_nobody_can_foretell_is_named(queue: Queue, world: World, what: str, blocked: tuple[str, str]) -> None:
    calls = queue.line(3)
    assert what == "nobody asks" or queue.grant().grants
    if what == "tenant paused":
        tenants.update(world.database, world.ours.name, paused=True)
    elif what == "carrier paused":
        carriers.update(world.database, "acme", paused=True)
        queue.tick()
    elif what == "carrier stopped":
        health.set_health(queue.redis, queue.carrier, "stopped", "a secret of the operator's")
    elif what == "carrier probing":
        health.set_health(queue.redis, queue.carrier, "probing", "again", probes=0, probe_interval_us=1)
    elif what == "no route":
        carriers.remove_route(world.database, "germany")
        queue.tick()
    elif what == "closed":
        queue.redis.delete(f"{PREFIX}epoch")
    elif what == "rebuilding":
        begin(queue.redis, marks(queue.redis), 99)
    elif what == "not laned":
        queue.redis.delete(*queue.redis.keys("rq:queue:*"), f"{PREFIX}in")
        with world.database.connection() as conn:
            conn.execute("UPDATE attempts SET pushed_epoch = NULL")
    found = queue.look(calls[-1])
    assert queue.blocked(calls[-1])[:2] == blocked
    assert found["eta_s"] is None or what == "not laned"
    assert found["position"] in (2, 3)
    assert "secret" not in str(found)
    if what == "no route":
        carriers.put_route(world.database, name="germany", prefixes=["49"], carriers=[queue.carrier])


def test_without_redis_the_place_is_postgres_word(queue: Queue, world: World, settings: Callable[..., Settings]) -> None:
    calls = queue.line(3)
    away = connect(settings(redis_url="redis://127.0.0.1:1/0"))
    app: Flask = create_app(settings(requests_per_s=10_000), database=world.database, redis=away)
    queue.api = Api(app, world.our_key)
    found = [queue.look(call) for call in calls]
    assert [one["position"] for one in found] == [1, 2, 3]
    assert {(one["blocked_by"]["name"], one["eta_s"]) for one in found} == {("budget_unavailable", None)}
    away.close()


def test_a_canceled_queue_and_an_expired_call(queue: Queue, world: World) -> None:
    calls = queue.line(2)
    with world.database.connection() as conn:
        conn.execute("UPDATE calls SET expires_at = now() - interval '1 s' WHERE id = %s", (parse_ref("call", calls[0]),))
    assert queue.blocked(calls[0])[:2] == ("call", "expired")
    assert queue.api.post("/v1/calls/actions/cancel_queued").status_code == 202
    found = queue.look(calls[1])
    assert (found["position"], found["blocked_by"]["name"]) == (None, "canceled")


def test_how_long_calls_last_decides_when_channels_are_full(queue: Queue, world: World) -> None:
    carriers.update(world.database, "acme", max_channels=1)
    calls = queue.line(3)
    assert queue.grant().grants
    assert not queue.grant().grants
    assert queue.look(calls[-1])["eta_s"] is None  # no call has ended yet
    with world.database.connection() as conn:
        conn.execute(
            "UPDATE attempts SET state = 'ended', carrier_id = %s, claimed_at = now() - interval '30 s', ended_at = now()"
            " WHERE call_id = %s",
            (queue.carrier, parse_ref("call", calls[0])),
        )
    app = create_app(queue.settings, database=world.database, redis=queue.redis)  # it remembers for some seconds
    queue.api = Api(app, world.our_key)
    eta = queue.look(calls[-1])["eta_s"]
    assert 50 < eta["p50"] < 75
    assert eta["p90"] > eta["p50"]
