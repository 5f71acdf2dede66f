"""/v1/suppressions: added, taken in as a list, listed and lifted; what is placed to them is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from calls.numbers import NumberError, parse_suppressed
from store import suppressions
from store.suppressions import Provenance
from tests.web.conftest import TO, Api, World, named

OTHER = "+4930123457"


@pytest.fixture(autouse=True)
def _none_left(world: World) -> None:
    with world.database.connection() as conn:
        conn.execute("DELETE FROM suppressions")


def entry(api: Api, **changes: Any) -> dict[str, Any]:
    response = api.post("/v1/suppressions", {"number": TO, "source": "hotline", **changes})
    assert response.status_code == 201, response.get_data()
    shown: dict[str, Any] = response.get_json()
    assert response.headers["Location"] == f"/v1/suppressions/{shown['id']}"
    return shown


def test_an_entry_is_kept_with_where_it_comes_from(api: Api) -> None:
    shown = entry(api, note="by mail", list_name="spring", obtained_at="2026-03-01T10:00:00+01:00")
    assert (shown["number"], shown["origin"], shown["source"], shown["note"]) == (TO, "api", "hotline", "by mail")
    assert shown["obtained_at"] == "2026-03-01T09:00:00.000000Z"
    assert shown["created_by"].startswith("key:")
    assert (shown["new"], shown["lifted_at"]) == (True, None)
    again = entry(api, source="mail")
    assert (again["id"], again["new"], again["source"]) == (shown["id"], False, "hotline")
    read = api.get(f"/v1/suppressions/{shown['id']}").get_json()
    assert read == {name: value for name, value in shown.items() if name not in ("new", "calls_ended")}


def test_what_waits_is_canceled_and_what_is_placed_is_refused(api: Api, order: Callable[..., dict[str, Any]]) -> None:
    placed = api.place(**order(to=TO)).get_json()
    assert entry(api)["calls_ended"] == 1
    assert api.get(f"/v1/calls/{placed['id']}").get_json()["status"] == "canceled"
    refused = api.place(**order(to=TO))
    assert (refused.status_code, named(refused)) == (422, {"/to": "suppressed"})
    assert api.place(**order(to=OTHER)).status_code == 202


def test_what_is_committed_is_told_although_not_all_calls_could_be_ended(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> Iterator[int]:
        yield 2
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(suppressions, "ending", dies)
    assert entry(api)["calls_ended"] == 2
    body = {"numbers": [TO, OTHER], "source": "list", "obtained_at": "2026-03-01T10:00:00Z"}
    taken = api.post("/v1/suppressions/import", body)
    assert taken.status_code == 200, taken.get_data()
    assert (taken.get_json()["new"], taken.get_json()["known"], taken.get_json()["calls_ended"]) == (1, 1, 2)


def test_what_nobody_calls_is_refused_as_well(api: Api, world: World, order: Callable[..., dict[str, Any]]) -> None:
    whence = Provenance("operator", "registry", datetime.now(UTC), "operator:ops")
    suppressions.add(world.database, None, TO, whence, datetime.now(UTC))
    assert named(api.place(**order(to=TO))) == {"/to": "suppressed"}
    assert api.get("/v1/suppressions").get_json()["data"] == []


def test_a_list_is_taken_in_and_what_is_no_number_is_told(api: Api) -> None:
    entry(api, number="+4930200001")
    numbers = ["+4930200001", "+49 (0)30 200-002", "030200003", 7, "+4930200004", "+49030200004", ""]
    body = {"numbers": numbers, "source": "registry", "obtained_at": "2026-03-01T00:00:00Z", "list_name": "2026-03"}
    done = api.post("/v1/suppressions/import", body)
    assert done.status_code == 200
    told = done.get_json()
    assert (told["new"], told["known"], told["refused"], told["calls_ended"]) == (2, 2, 3, 0)
    assert [(one["pointer"], one["code"]) for one in told["errors"]] == [
        ("/numbers/2", "missing_plus"), ("/numbers/3", "wrong_type"), ("/numbers/6", "empty"),
    ]  # fmt: skip
    listed = api.get("/v1/suppressions?limit=1").get_json()
    assert listed["has_more"]
    assert listed["data"][0]["list_name"] == "2026-03"
    rest = api.get(f"/v1/suppressions?starting_after={listed['next_cursor']}").get_json()["data"]
    assert {one["number"] for one in [*listed["data"], *rest]} == {"+4930200001", "+4930200002", "+4930200004"}


def test_ten_thousand_at_once_and_not_one_more(api: Api) -> None:
    numbers = [f"+49151{n}" for n in range(30_000_000, 30_010_000)]
    body = {"numbers": numbers, "source": "registry", "obtained_at": "2026-03-01T00:00:00Z"}
    assert api.post("/v1/suppressions/import", body).get_json()["new"] == 10_000
    found = api.get("/v1/suppressions?number=%2B4915130009999").get_json()["data"]
    assert [one["number"] for one in found] == ["+4915130009999"]
    refused = api.post("/v1/suppressions/import", {**body, "numbers": [*numbers, TO]})
    assert named(refused) == {"/numbers": "bad_length"}
    huge = api.post("/v1/suppressions/import", {**body, "note": "x" * (1 << 20)})
    assert huge.status_code == 413


def test_a_lifted_entry_is_kept_with_who_and_why(api: Api, order: Callable[..., dict[str, Any]]) -> None:
    shown = entry(api)
    assert named(api.send("DELETE", f"/v1/suppressions/{shown['id']}")) == {"reason": "required"}
    lifted = api.send("DELETE", f"/v1/suppressions/{shown['id']}?reason=asked+for+a+call").get_json()
    assert (lifted["lifted_by"], lifted["lifted_reason"]) == (shown["created_by"], "asked for a call")
    assert api.send("DELETE", f"/v1/suppressions/{shown['id']}?reason=again").get_json() == lifted
    assert api.get("/v1/suppressions").get_json()["data"] == []
    assert api.get("/v1/suppressions?lifted=include").get_json()["data"] == [lifted]
    assert api.place(**order(to=TO)).status_code == 202


def test_what_is_another_tenants_is_not_there(api: Api, world: World, order: Callable[..., dict[str, Any]]) -> None:
    shown = entry(api)
    path = f"/v1/suppressions/{shown['id']}"
    for method, where in (("GET", path), ("DELETE", f"{path}?reason=x")):
        assert api.send(method, where, key=world.their_key).status_code == 404
    assert api.get("/v1/suppressions", key=world.their_key).get_json()["data"] == []
    theirs = api.place(**order(to=OTHER)).get_json()["id"]
    refused = api.send(
        "POST", "/v1/suppressions", key=world.their_key, json={"number": TO, "source": "x", "call_id": theirs}
    )
    assert named(refused) == {"/call_id": "unknown_call"}


@pytest.mark.parametrize(
    ("change", "where", "code"),
    [({"number": "112"}, "/number", "emergency"), ({"number": 49}, "/number", "wrong_type"),
     ({"source": ""}, "/source", "bad_length"), ({"obtained_at": "yesterday"}, "/obtained_at", "bad_format"),
     ({"list": "x"}, "/list", "unknown_field")],
)  # fmt: skip
def test_what_is_wrong_is_named(api: Api, change: dict[str, Any], where: str, code: str) -> None:
    assert named(api.post("/v1/suppressions", {"number": TO, "source": "hotline", **change})) == {where: code}


def test_numbers_are_kept_as_they_are_dialed() -> None:
    for text in ("+4930123456", "+49 30 123456", "+49 (0)30-123456", "+49030123456"):
        assert parse_suppressed(text) == "+4930123456"
    assert parse_suppressed("+999123456789") == "+999123456789"  # no plan has it: it harms nobody
    assert parse_suppressed("+4990012345678") == "+4990012345678"  # never dialed anyway
    for wrong in ("", "4930123456", "+0301234567", "+49" + "1" * 14, "+49x30123456"):
        with pytest.raises(NumberError):
            parse_suppressed(wrong)
