"""The list of calls: filters, both directions, and all of it as lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from calls.ids import agent_ref
from store import agents, call_list
from tests.web.conftest import TO, Api, World, named

Order = Callable[..., dict[str, Any]]
LINES = {"Accept": "application/x-ndjson"}
ELSEWHERE = "+4930123457"


def placed(api: Api, order: Order, **changes: Any) -> dict[str, Any]:
    response = api.post("/v1/calls", order(**changes))
    assert response.status_code == 202, response.get_json()
    call: dict[str, Any] = response.get_json()
    return call


def listed(api: Api, query: str) -> list[str]:
    response = api.get(f"/v1/calls?limit=200&{query}")
    assert response.status_code == 200, response.get_json()
    return [call["id"] for call in response.get_json()["data"]]


def test_each_filter_finds_its_calls_and_no_others(api: Api, world: World, order: Order) -> None:
    other = agents.create(world.database, tenant_id=world.ours.id, name="other", kind="announcement", audio="a.wav")
    one = placed(api, order, client_reference="A-17 & more")
    two = placed(api, order, to=ELSEWHERE, agent_id=agent_ref(other.id))
    three = placed(api, order)
    api.post(f"/v1/calls/{three['id']}/actions/hangup")
    after, before = quote(one["created_at"]), quote(three["created_at"])

    def ours(query: str) -> list[str]:
        return [id_ for id_ in listed(api, query) if id_ in {call["id"] for call in (one, two, three)}]

    assert ours(f"client_reference={quote('A-17 & more')}") == [one["id"]]
    assert ours(f"to={quote(ELSEWHERE)}") == [two["id"]]
    assert ours(f"to={quote(TO)}") == [three["id"], one["id"]]
    assert ours(f"agent_id={agent_ref(other.id)}") == [two["id"]]
    assert ours("end_reason=canceled") == [three["id"]]
    assert ours("end_reason=canceled&status=queued") == []
    assert ours(f"created_after={after}") == [three["id"], two["id"], one["id"]]
    assert ours(f"created_after={after}&created_before={before}") == [two["id"], one["id"]]
    assert ours(f"to={quote(TO)}&status=queued") == [one["id"]]
    assert listed(api, f"ending_before={one['id']}")[-1] == two["id"]
    theirs = api.get(f"/v1/calls?client_reference={quote('A-17 & more')}", key=world.their_key)
    assert theirs.get_json()["data"] == []


def test_what_cannot_be_asked_is_refused_by_name(api: Api, order: Order) -> None:
    call = placed(api, order)["id"]
    for query, fault in (
        ("to=+4930123456", {"to": "bad_format"}),  # a space, as every form decodes it
        ("end_reason=tired", {"end_reason": "bad_value"}),
        ("created_after=yesterday", {"created_after": "bad_format"}),
        (f"starting_after={call}&ending_before={call}", {"ending_before": "conflict"}),
        ("batch=1", {"batch": "unknown_field"}),
        ("limit=201", {"limit": "out_of_range"}),
    ):
        response = api.get(f"/v1/calls?{query}")
        assert (response.status_code, named(response)) == (422, fault), query
    for query in ("limit=5", f"ending_before={call}"):
        response = api.get(f"/v1/calls?{query}", headers=LINES)
        assert (response.status_code, set(named(response).values())) == (422, {"not_with_lines"})


def test_lines_are_all_calls_however_many_pages_they_take(
    api: Api, world: World, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [placed(api, order, client_reference="lines")["id"] for _ in range(7)]
    monkeypatch.setattr("web.api.call_lines.PAGE_MOST", 3)
    response = api.get("/v1/calls?client_reference=lines", headers=LINES)
    assert (response.status_code, response.mimetype) == (200, "application/x-ndjson")
    calls = [json.loads(line) for line in response.get_data(as_text=True).splitlines()]
    assert [call["id"] for call in calls] == made[::-1]
    assert calls[0] == api.get(f"/v1/calls/{made[-1]}").get_json()
    rest = api.get(f"/v1/calls?client_reference=lines&starting_after={made[4]}", headers=LINES)
    assert len(rest.get_data(as_text=True).splitlines()) == 4
    assert api.get("/v1/calls?client_reference=lines", headers=LINES, key=world.their_key).get_data() == b""


def test_lines_that_break_off_do_not_look_like_an_end(api: Api, order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        placed(api, order, client_reference="broken")
    monkeypatch.setattr("web.api.call_lines.PAGE_MOST", 1)
    real, asked = call_list.page, []

    def page(*args: Any, **more: Any) -> Any:
        asked.append(more)
        if len(asked) == 3:
            raise RuntimeError("Postgres went away")
        return real(*args, **more)

    monkeypatch.setattr("web.api.call_lines.call_list.page", page)
    with api.client() as client, pytest.raises(RuntimeError):
        client.get("/v1/calls?client_reference=broken", headers={**LINES, "Authorization": f"Bearer {api.key}"}).get_data()
