"""Changes of agents: each is judged with what else the agent has by then, whoever changed that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from calls.ids import parse_ref
from store import agent_trunks, carriers, numbers
from tests.store.threads import wait_for, waits_for_lock
from tests.web.conftest import Api, World, named
from tests.web.operators import fresh


def made(api: Api, name: str, **fields: Any) -> str:
    """The path of a new agent."""
    response = api.post("/v1/agents", {"name": fresh(name), **fields})
    assert response.status_code == 201, response.get_json()
    return str(response.headers["Location"])


def socket(api: Api, name: str, **fields: Any) -> str:
    return made(api, name, kind="websocket", url="wss://bot.example.com/talk", **fields)


def person(api: Api, world: World, **fields: Any) -> str:
    """Behind the trunk hq; there is another one, branch."""
    carrier = carriers.put_carrier(world.database, name="switchboard", max_channels=10, cps=5)
    for trunk in ("hq", "branch"):
        agent_trunks.put(world.database, trunk, carrier_id=carrier.id, tenant_id=world.ours.id)
    return made(api, "behind", kind="sip", number="+442079460123", trunk="hq", **fields)


@pytest.mark.parametrize(
    ("meanwhile", "change", "fault"),
    [
        ("trunk = NULL, trunk_user = NULL", {"user": "200"}, {"/trunk": "required"}),
        ("protocol = 'twilio'", {"sample_rate": 16000}, {"/sample_rate": "conflict"}),
        ("sample_rate = 16000", {"protocol": "twilio"}, {"/sample_rate": "conflict"}),
    ],
)
def test_of_two_changes_at_once_the_second_is_judged_after_the_first(
    api: Api, world: World, postgres_url: str, meanwhile: str, change: dict[str, Any], fault: dict[str, str]
) -> None:
    path = person(api, world) if "user" in change else socket(api, "changed")
    answers: list[Any] = []
    with world.database.connection() as conn:
        id_ = parse_ref("agent", path.rpartition("/")[2])
        conn.execute(f"UPDATE agents SET {meanwhile} WHERE id = %s", (id_,))
        second = threading.Thread(target=lambda: answers.append(api.send("PATCH", path, json=change)))
        second.start()
        wait_for(lambda: waits_for_lock(postgres_url))
    second.join(20)
    (refused,) = answers
    assert (refused.status_code, named(refused)) == (422, fault)


def test_another_trunk_leaves_nobody_of_the_one_before_to_be_dialed(api: Api, world: World) -> None:
    path = person(api, world, user="200")
    refused = api.send("PATCH", path, json={"trunk": "branch"})
    assert (refused.status_code, named(refused)) == (422, {"/user": "required"})
    assert (api.get(path).get_json()["trunk"], api.get(path).get_json()["user"]) == ("hq", "200")
    assert api.send("PATCH", path, json={"trunk": "hq"}).get_json()["user"] == "200", "it is the same one"
    for to, user in (("branch", "300"), ("hq", None), ("branch", None)):
        changed = api.send("PATCH", path, json={"trunk": to, "user": user}).get_json()
        assert (changed["trunk"], changed["user"]) == (to, user)
    assert api.send("PATCH", path, json={"trunk": "hq"}).get_json()["trunk"] == "hq", "there is no user"


@pytest.fixture
def did(world: World) -> Iterator[str]:
    """A number that leads nowhere yet."""
    yield "+4930999998"
    numbers.remove(world.database, "+4930999998")


WANTING = {"text": "Good day, {{name}}."}


def test_an_agent_that_a_number_leads_to_gets_no_text_that_a_caller_cannot_fill(api: Api, world: World, did: str) -> None:
    greets = socket(api, "greets", greeting={"audio": "hello.wav"})
    says = made(api, "says", kind="announcement", script=[{"text": "Good day."}], menu={"confirm": "1"})
    for path, change, fault in (
        (greets, {"greeting": WANTING}, "/greeting/text"),
        (greets, {"fallback": {"action": "announcement", **WANTING}}, "/fallback/text"),
        (says, {"script": [WANTING]}, "/script"),
        (says, {"menu": {"confirm": "1", "confirmed": [WANTING]}}, "/menu"),
    ):
        agent = parse_ref("agent", path.rpartition("/")[2])
        numbers.put(world.database, number=did, tenant_id=world.ours.id, agent_id=agent)
        before = api.get(path).get_json()
        refused = api.send("PATCH", path, json=change)
        assert (refused.status_code, named(refused)) == (422, {fault: "not_possible"})
        assert did in refused.get_json()["errors"][0]["detail"]
        assert api.get(path).get_json() == before
    assert api.send("PATCH", says, json={"script": [{"text": "Hello."}]}).status_code == 200
    numbers.remove(world.database, did)
    assert api.send("PATCH", greets, json={"greeting": WANTING}).get_json()["needs_variables"] == ["name"]


def test_a_number_waits_for_the_change_that_it_would_contradict(api: Api, world: World, did: str, postgres_url: str) -> None:
    agent = parse_ref("agent", socket(api, "contended").rpartition("/")[2])
    with ThreadPoolExecutor(1) as pool:
        with world.database.connection() as conn:
            conn.execute("UPDATE agents SET needs = ARRAY['name'] WHERE id = %s", (agent,))
            put = pool.submit(numbers.put, world.database, number=did, tenant_id=world.ours.id, agent_id=agent)
            wait_for(lambda: waits_for_lock(postgres_url) or put.done())
        with pytest.raises(ValueError, match="variables"):
            put.result(20)
