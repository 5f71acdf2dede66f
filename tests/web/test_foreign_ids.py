"""Another tenant's ids: on every route they are answered as if there were no such thing.

The routes are read from the application: a new one is asked too, and one whose parameter nobody has told an id for fails.
Then the same with every condition on the tenant taken out of the SQL, so that row level security stands alone; and, so that
it is known that this took out what mattered, without row level security as well: then ids of others do lead somewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from calls.ids import agent_ref, call_ref, key_ref, parse_ref, recording_ref, suppression_ref
from store import keys, recordings, suppressions
from store.pool import Database
from store.queries import Queries
from store.recordings import Sound
from store.suppressions import Provenance
from tests.web.conftest import Api, World

Order = Callable[..., dict[str, Any]]
#: What is nobody's: the documentation, and what is the operator's alone.
NOBODYS = ("/v1/docs/", "/v1/operator/")
#: What an operation must be sent to come as far as its id; all others are sent nothing.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/keys/<key_id>/rotate"): {},
    ("POST", "/v1/calls/<call_id>/actions/dtmf"): {"digits": "1"},
    ("POST", "/v1/calls/<call_id>/actions/play"): {"audio": "hello.wav"},
    ("POST", "/v1/calls/<call_id>/actions/transfer"): {"to": "+4930987654"},
    ("POST", "/v1/calls/<call_id>/actions/hold"): {},
    ("PATCH", "/v1/agents/<agent_id>"): {"name": "another"},
    ("POST", "/v1/agents/<agent_id>/rotate_secret"): {},
    ("PATCH", "/v1/webhook_endpoints/<endpoint_id>"): {"description": "another"},
    ("POST", "/v1/webhook_endpoints/<endpoint_id>/rotate_secret"): {},
    ("POST", "/v1/webhook_endpoints/<endpoint_id>/test"): {},
    ("POST", "/v1/webhook_listeners/<listener_id>/poll"): {},
}
#: A number that nobody of this house calls, and where that is written.
HOUSES, HOUSES_WORDS = "+4930999991", "a register of the house's"
QUERIES = {("DELETE", "/v1/suppressions/<suppression_id>"): "?reason=test"}


@dataclass(frozen=True)
class Ids:
    """By parameter: an id of the other tenant's that exists, one of the house's where it has such, and one that does not."""

    theirs: dict[str, str]
    houses: dict[str, str]
    nobodys: dict[str, str]


@pytest.fixture
def ids(api: Api, world: World, order: Order) -> Ids:
    """Of everything that has an id the other tenant has one. A new kind: another entry here."""
    theirs = Api(api.app, world.their_key)
    body = order(agent_id=agent_ref(world.their_agent.id))
    call = theirs.post("/v1/calls", body).get_json()["id"]
    endpoint = theirs.post("/v1/webhook_endpoints", {"url": "https://example.com/hook", "events": ["*"]}).get_json()["id"]
    hung_up = theirs.post(f"/v1/calls/{call}/actions/hangup")
    existing = {
        "call_id": call,
        "action_id": hung_up.headers["Location"].rpartition("/")[2],
        "agent_id": agent_ref(world.their_agent.id),
        "recording_id": _recording(world, theirs.post("/v1/calls", body).get_json()["id"]),
        "key_id": key_ref(keys.create(world.database, tenant_id=world.theirs.id)[0].id),
        "batch_id": theirs.post("/v1/batches", {"calls": [body]}).get_json()["id"],
        "suppression_id": theirs.post("/v1/suppressions", {"number": "+4930999990", "source": "test"}).get_json()["id"],
        "endpoint_id": endpoint,
        "delivery_id": theirs.post(f"/v1/webhook_endpoints/{endpoint}/test", {}).get_json()["id"],
        "listener_id": theirs.post("/v1/webhook_listeners", {}).get_json()["id"],
    }
    nobodys = {
        "call_id": call_ref(uuid4()),
        "action_id": str(uuid4()),
        "agent_id": agent_ref(uuid4()),
        "recording_id": recording_ref(uuid4()),
        "key_id": key_ref(uuid4()),
        **{f"{kind}_id": f"{kind}_{uuid4().hex}" for kind in ("batch", "suppression", "endpoint", "delivery", "listener")},
    }
    now = datetime.now(UTC)
    house, _ = suppressions.add(
        world.database, None, HOUSES, Provenance("operator", HOUSES_WORDS, now, "operator:test"), now
    )
    return Ids(existing, {"suppression_id": suppression_ref(house.id)}, nobodys)


def _recording(world: World, call: str) -> str:
    """A recording of the call that can be fetched, as if it had been answered."""
    now = datetime.now(UTC)
    with world.database.connection() as conn:
        row = conn.execute(
            'UPDATE calls SET recording = \'{"start": "answer", "notice": null, "days": 1}\' WHERE id = %s'
            " RETURNING (SELECT a.id FROM attempts a WHERE a.call_id = calls.id)",
            (parse_ref("call", call),),
        ).fetchone()
    assert row is not None
    recordings.expect(world.database, row[0], now)
    made = recordings.uploading(world.database, row[0], Sound(4, b"h" * 32, 20, 2, 8000), "local", "k.wav", now)
    assert made is not None
    assert recordings.available(world.database, made, now)
    return recording_ref(made.id)


def routes(app: Flask) -> Iterator[tuple[str, str, set[str]]]:
    """(method, rule, parameters) of each operation of tenants that takes an id."""
    for rule in app.url_map.iter_rules():
        if rule.arguments and rule.rule.startswith("/v1/") and not rule.rule.startswith(NOBODYS):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule.rule, rule.arguments


def ask(api: Api, method: str, rule: str, by: dict[str, str]) -> tuple[int, dict[str, Any]]:
    path = re.sub(r"<(?:[a-z]+:)?(\w+)>", lambda match: by[match[1]], rule) + QUERIES.get((method, rule), "")
    body = BODIES.get((method, rule))
    answer = api.send(method, path, **({} if body is None else {"json": body}))
    problem = answer.get_json(silent=True) or {}
    return answer.status_code, {key: problem.get(key) for key in ("code", "detail", "errors")}


def leaks(api: Api, ids: Ids) -> set[tuple[str, str]]:
    """The operations that tell another's id from one that does not exist."""
    found = set()
    # What is removed is asked for last: nothing else could be done with it then.
    for method, rule, parameters in sorted(routes(api.app), key=lambda route: route[0] == "DELETE"):
        assert parameters <= ids.theirs.keys(), f"{rule}: say in ids() how another tenant comes by a {parameters}"
        theirs, nobodys = ask(api, method, rule, ids.theirs), ask(api, method, rule, ids.nobodys)
        assert nobodys[0] == 404, (method, rule, nobodys, "name a body in BODIES that gets as far as the id")
        houses = ask(api, method, rule, ids.houses) if parameters <= ids.houses.keys() else nobodys
        if theirs != nobodys:
            found.add((method, rule))
        if houses != nobodys:
            found.add((method, f"{rule} of the house"))
    return found


def others(api: Api, world: World, ids: Ids, order: Order) -> set[str]:
    """What else names things of others by their ids, or lists them, and gave something of theirs away."""
    given = {
        "an agent in a call": api.place(**order(agent_id=ids.theirs["agent_id"])).status_code == 202,
        "a list of calls": ids.theirs["call_id"] in api.get("/v1/calls?limit=200").get_data(as_text=True),
        "the house's suppressions": HOUSES_WORDS in api.get("/v1/suppressions?limit=100").get_data(as_text=True),
        "a list of agents": ids.theirs["agent_id"] in api.get("/v1/agents?limit=200").get_data(as_text=True),
    }
    return {what for what, is_given in given.items() if is_given}


#: What says whose a row is, in every form that the SQL has it in. (Which tenant asks is no condition on a row of others.)
OF_TENANT = re.compile(r"\b(?:\w+\.)?tenant_id (?:=|IS NOT DISTINCT FROM) (?:%\(tenant_id\)s|t\.id)(?=[\s)]|$)")


OF_AGENT = re.compile(r"\bg\.tenant_id = (?:%\(tenant_id\)s|t\.id)(?=[\s)]|$)")


@pytest.fixture
def without_where(monkeypatch: pytest.MonkeyPatch) -> int:
    """Every condition on the tenant is true; returns how many there were."""
    return take_out(monkeypatch, OF_TENANT)


def take_out(monkeypatch: pytest.MonkeyPatch, condition: re.Pattern[str]) -> int:
    changed = 0
    for module in [module for name, module in sys.modules.items() if name.startswith("store.")]:
        for queries in [value for value in vars(module).values() if isinstance(value, Queries)]:
            mutated = {}
            for name, statement in queries.items():
                text, count = condition.subn("true", statement.decode())
                mutated[name] = text.encode()
                changed += count
            monkeypatch.setattr(queries, "_statements", mutated)
    return changed


@pytest.fixture
def without_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenants' requests go by the system's connection."""
    monkeypatch.setattr(Database, "of_tenant", lambda self, _: self)


def test_ids_of_others_do_not_exist(api: Api, world: World, ids: Ids, order: Order) -> None:
    assert leaks(api, ids) == set()
    assert others(api, world, ids, order) == set()


def test_the_where_alone_holds(api: Api, world: World, ids: Ids, order: Order, without_rules: None) -> None:
    assert leaks(api, ids) == set()
    assert others(api, world, ids, order) == set()


def test_row_level_security_alone_holds(api: Api, world: World, ids: Ids, order: Order, without_where: int) -> None:
    assert without_where >= 15
    before = world.counts()
    assert leaks(api, ids) == set()
    assert others(api, world, ids, order) == set()
    assert world.counts() == before


def test_with_neither_they_do_lead_somewhere(
    api: Api, world: World, ids: Ids, order: Order, without_where: int, without_rules: None
) -> None:
    """What was taken out is what held: else the test before this one could not fail."""
    asked = {(method, rule) for method, rule, _ in routes(api.app)}
    others_given = others(api, world, ids, order)
    houses = {(method, f"{rule} of the house") for method, rule, names in routes(api.app) if names <= ids.houses.keys()}
    assert houses
    assert leaks(api, ids) == asked | houses
    assert {"a list of calls", "the house's suppressions", "a list of agents"} <= others_given


def test_another_tenants_agent_is_kept_from_a_call_by_either(
    api: Api, world: World, ids: Ids, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, because what else the accept asks of the tenant has one answer only."""
    assert take_out(monkeypatch, OF_AGENT) >= 2
    assert "an agent in a call" not in others(api, world, ids, order)
    monkeypatch.setattr(Database, "of_tenant", lambda self, _: self)
    assert "an agent in a call" in others(api, world, ids, order)
