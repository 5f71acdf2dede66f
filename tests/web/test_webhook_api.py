"""Endpoints, delivery log, replay and listeners, as the API shows them. With a dispatcher: test_webhook_life.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from calls.ids import agent_ref, new_uuid7
from calls.webhook_events import EVENT_TYPES
from store import outbox, tenants, webhook_endpoints
from store.outbox import Outcome, Tried
from tests.web.conftest import Api, World, named
from tests.web.test_dispatcher import wait_for

URL = "https://hooks.example.com/one"
Order = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def clean(world: World) -> Iterator[None]:
    """No endpoints before a test, and nothing left to be told."""
    yield
    with world.database.connection() as conn:
        conn.execute("UPDATE webhook_endpoints SET deleted_at = now() WHERE deleted_at IS NULL AND NOT account")
        conn.execute("UPDATE tenants SET webhook_also = NULL, webhook_url = NULL")
        conn.execute("DELETE FROM webhook_deliveries")
        conn.execute("UPDATE outbox SET delivered_at = now() WHERE delivered_at IS NULL")


def made(api: Api, **more: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhook_endpoints", {"url": URL, **more})
    assert answer.status_code == 201, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"].endswith(f"/v1/webhook_endpoints/{found['id']}")
    return found


def expand(world: World, room: int = 100) -> list[outbox.Delivery]:
    """As a dispatcher does with what is new."""
    return outbox.expand(world.database, datetime.now(UTC), 1000, room, 30)[1]


def log(api: Api, **query: Any) -> list[dict[str, Any]]:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = api.get(f"/v1/webhook_deliveries?{text}")
    assert answer.status_code == 200, answer.get_json()
    found: list[dict[str, Any]] = answer.get_json()["data"]
    return found


def place(api: Api, order: Order, **more: Any) -> str:
    answer = api.post("/v1/calls", order(**more))
    assert answer.status_code == 202, answer.get_json()
    return str(answer.get_json()["id"])


def test_an_endpoint_is_made_changed_and_removed(api: Api, world: World) -> None:
    one = made(api, events=["call.completed", "call.failed", "call.completed"], description="crm")
    assert one["secret"].startswith("whsec_")
    assert (one["events"], one["description"]) == (["call.completed", "call.failed"], "crm")
    assert (one["status"], one["account"], one["disabled_reason"]) == ("enabled", False, None)
    path = f"/v1/webhook_endpoints/{one['id']}"
    shown = api.get(path).get_json()
    assert shown == {name: value for name, value in one.items() if name != "secret"}
    changed = api.send("PATCH", path, json={"url": URL + "2", "events": ["*", "call.busy"], "description": ""}).get_json()
    assert (changed["url"], changed["events"], changed["description"]) == (URL + "2", ["*"], None)
    off = api.send("PATCH", path, json={"enabled": False}).get_json()
    assert (off["status"], off["disabled_reason"], off["url"]) == ("disabled", "customer", URL + "2")
    assert api.post(path + "/test").get_json()["code"] == "endpoint_disabled"
    on = api.send("PATCH", path, json={"enabled": True}).get_json()
    assert (on["status"], on["disabled_at"]) == ("enabled", None)
    theirs = Api(api.app, world.their_key)
    for method, suffix in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate_secret")):
        body = {"PATCH": {"enabled": True}, "POST": {}}.get(method)
        assert theirs.send(method, path + suffix, json=body).status_code == 404
    assert theirs.get("/v1/webhook_endpoints").get_json()["data"] == []
    assert api.send("DELETE", path).get_json() == {"id": one["id"], "deleted": True}
    assert api.send("DELETE", path).status_code == api.get(path).status_code == 404


def test_what_is_wrong_is_refused_by_name(api: Api) -> None:
    wanted = [
        ({}, {"/url": "required"}),
        ({"url": "http://hooks.example.com/"}, {"/url": "bad_scheme"}),
        ({"url": "https://10.0.0.1/"}, {"/url": "private_address"}),
        ({"url": URL, "events": []}, {"/events": "bad_length"}),
        ({"url": URL, "events": ["call.completed", "campaign.started"]}, {"/events/1": "bad_value"}),
        ({"url": URL, "events": "call.completed"}, {"/events": "wrong_type"}),
        ({"url": URL, "secret": "whsec_mine"}, {"/secret": "unknown_field"}),
        ({"url": URL, "description": "x" * 256}, {"/description": "bad_length"}),
    ]
    for body, faults in wanted:
        answer = api.post("/v1/webhook_endpoints", body)
        assert (answer.status_code, named(answer)) == (422, faults), body
    path = f"/v1/webhook_endpoints/{made(api)['id']}"
    assert api.send("PATCH", path, json={}).status_code == 422
    assert named(api.send("PATCH", path, json={"enabled": 1})) == {"/enabled": "wrong_type"}
    assert named(api.post(path + "/rotate_secret", {"overlap_s": -1})) == {"/overlap_s": "out_of_range"}


def test_there_are_as_many_as_the_setting_says(api: Api, settings: Any, world: World, redis: Any) -> None:
    from web.app import create_app

    few = Api(create_app(settings(webhook_endpoints=2), database=world.database, redis=redis), world.our_key)
    ids = [made(few)["id"] for _ in range(2)]
    refused = few.post("/v1/webhook_endpoints", {"url": URL})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "too_many_endpoints")
    first = few.get("/v1/webhook_endpoints?limit=1").get_json()
    rest = few.get(f"/v1/webhook_endpoints?limit=1&starting_after={first['next_cursor']}").get_json()
    assert [first["data"][0]["id"], rest["data"][0]["id"]] == ids[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)


def test_the_accounts_address_is_its_first_endpoint(api: Api, world: World, order: Order) -> None:
    """Whoever sets it, a process of the version before as well: the row of the tenant is what both know."""
    tenants.set_webhook_url(world.database, world.ours.id, "https://old.example.com/")
    (one,) = api.get("/v1/webhook_endpoints").get_json()["data"]
    assert (one["url"], one["account"], one["events"]) == ("https://old.example.com/", True, ["*"])
    place(api, order)
    (delivery,) = expand(world)
    assert (delivery.url, delivery.secrets) == ("https://old.example.com/", [world.ours.webhook_secret])
    path = f"/v1/webhook_endpoints/{one['id']}"
    api.send("PATCH", path, json={"url": URL, "events": ["call.canceled"]})
    tenant = tenants.get(world.database, world.ours.id)
    assert tenant is not None
    assert tenant.webhook_url == URL
    assert api.get(path).get_json()["events"] == ["call.canceled"]
    assert api.send("DELETE", path).status_code == 200
    tenant = tenants.get(world.database, world.ours.id)
    assert tenant is not None
    assert tenant.webhook_url is None
    tenants.set_webhook_url(world.database, world.ours.id, URL)
    (again,) = api.get("/v1/webhook_endpoints").get_json()["data"]
    assert again["id"] != one["id"]
    tenants.set_webhook_url(world.database, world.ours.id, None)
    assert api.get("/v1/webhook_endpoints").get_json()["data"] == []


def test_an_event_goes_to_every_endpoint_that_asked_for_it(api: Api, world: World, order: Order) -> None:
    everything, ends = made(api), made(api, events=["call.canceled"])
    own = "https://own.example.com/"
    call = place(api, order)
    api.post(f"/v1/calls/{call}/actions/hangup")
    there = place(api, order, webhook_url=own)
    some = place(api, order, webhook={"url": own, "events": ["call.canceled"]})
    named_one = place(api, order, webhook={"endpoint_id": ends["id"]})
    told_more = place(api, order, webhook={"endpoint_id": ends["id"], "events": ["*"]})
    expand(world)
    seen = {(row["call_id"], row["type"], row["endpoint_id"] or row["url"]) for row in log(api, limit=200)}
    assert seen == {
        (call, "call.queued", everything["id"]),
        (call, "call.canceled", everything["id"]),
        (call, "call.canceled", ends["id"]),
        (there, "call.queued", own),
        (told_more, "call.queued", ends["id"]),
    }
    assert log(api, call_id=some) == log(api, call_id=named_one) == []
    both = [row for row in log(api, call_id=call) if row["type"] == "call.canceled"]
    assert len({row["webhook_id"] for row in both}) == 1
    assert {row["sequence"] for row in both} == {2}
    assert [row["endpoint_id"] for row in log(api, endpoint_id=ends["id"], call_id=call)] == [ends["id"]]


def test_a_call_says_where_in_one_way(api: Api, order: Order, world: World) -> None:
    theirs = made(Api(api.app, world.their_key))["id"]
    mine = made(api)["id"]
    for webhook, faults in [
        ({}, {"/webhook": "required"}),
        ({"url": URL, "endpoint_id": mine}, {"/webhook": "conflict"}),
        ({"events": ["*"]}, {"/webhook": "required"}),
        ({"endpoint_id": theirs}, {"/webhook/endpoint_id": "unknown_endpoint"}),
        ({"url": "http://x.example/"}, {"/webhook/url": "bad_scheme"}),
        ({"url": URL, "events": ["call.nothing"]}, {"/webhook/events/0": "bad_value"}),
    ]:
        answer = api.post("/v1/calls", order(webhook=webhook))
        assert (answer.status_code, named(answer)) == (422, faults), webhook
    both = api.post("/v1/calls", order(webhook_url=URL, webhook={"url": URL}))
    assert named(both) == {"/webhook": "conflict"}


def test_without_any_endpoint_nothing_is_written(api: Api, world: World, order: Order) -> None:
    one = made(api)["id"]
    first = place(api, order)
    api.send("DELETE", f"/v1/webhook_endpoints/{one}")
    second = place(api, order)
    assert [api.get(f"/v1/calls/{call}").get_json()["sequence"] for call in (first, second)] == [1, 0]


def test_while_a_secret_is_replaced_both_sign(api: Api, world: World, order: Order) -> None:
    one = made(api)
    path = f"/v1/webhook_endpoints/{one['id']}/rotate_secret"
    second = api.post(path, {}).get_json()
    until = datetime.fromisoformat(second["old_secret_until"]) - datetime.now(UTC)
    assert timedelta(hours=23) < until <= timedelta(hours=24)
    place(api, order)
    (delivery,) = expand(world)
    assert list(map(key_of, (second, one))) == delivery.secrets
    third = api.post(path, {"overlap_s": 0}).get_json()
    assert third["old_secret_until"] is None
    place(api, order)
    (delivery,) = expand(world)
    assert delivery.secrets == [key_of(third)]
    # The account's own: its secret signs for the addresses of calls too.
    tenants.set_webhook_url(world.database, world.ours.id, URL)
    account = next(row for row in api.get("/v1/webhook_endpoints").get_json()["data"] if row["account"])
    rotated = api.post(f"/v1/webhook_endpoints/{account['id']}/rotate_secret", {}).get_json()
    place(api, order, webhook_url="https://own.example.com/")
    (delivery,) = expand(world)
    assert delivery.secrets == [key_of(rotated), world.ours.webhook_secret]
    with world.database.connection() as conn:
        sql = "UPDATE tenants SET webhook_secret = %s, webhook_old_until = NULL WHERE id = %s"
        conn.execute(sql, (world.ours.webhook_secret, world.ours.id))


def key_of(endpoint: dict[str, Any]) -> bytes:
    import base64

    return base64.b64decode(endpoint["secret"].removeprefix("whsec_"))


def test_the_log_tells_every_try_and_replay_begins_anew(api: Api, world: World, order: Order) -> None:
    one = made(api)["id"]
    place(api, order)
    (delivery,) = expand(world)
    now = datetime.now(UTC)
    outbox.record(world.database, [Outcome(delivery.id, Tried(now, 500, "answered 500", 12, "<script>\x00\u20ac"), now)])
    (row,) = log(api)
    assert (row["status"], row["code"], row["tries"], row["replays"]) == ("pending", 500, 1, 0)
    assert row["next_try_at"] is not None
    (attempt,) = row["attempts"]
    assert (attempt["code"], attempt["latency_ms"], attempt["reply"]) == (500, 12, "<script>\ufffd\u20ac")
    path = f"/v1/webhook_deliveries/{row['id']}"
    assert api.post(path + "/replay").get_json()["code"] == "delivery_pending"
    outbox.record(world.database, [Outcome(delivery.id, Tried(now, None, "no answer", 9, None), None)])
    assert log(api, status="failed") == log(api)
    assert log(api, status="delivered") == []
    answer = api.post(path + "/replay")
    assert answer.status_code == 202
    assert answer.headers["Location"].endswith(path)
    again = answer.get_json()
    assert (again["status"], again["tries"], again["replays"], len(again["attempts"])) == ("pending", 0, 1, 2)
    (told,) = outbox.claim_due(world.database, datetime.now(UTC), 10, 30)
    assert (told.event_id, told.replays, told.body) == (delivery.event_id, 1, delivery.body)
    outbox.record(world.database, [Outcome(told.id, Tried(now, 204, None, 3, "", replay=True))])
    assert [attempt["replay"] for attempt in api.get(path).get_json()["attempts"]] == [False, False, True]
    theirs = Api(api.app, world.their_key)
    assert theirs.get(path).status_code == theirs.post(path + "/replay").status_code == 404
    api.send("PATCH", f"/v1/webhook_endpoints/{one}", json={"enabled": False})
    assert api.post(path + "/replay").get_json()["code"] == "endpoint_disabled"


def test_a_range_is_replayed_by_time_type_and_endpoint(api: Api, world: World, order: Order) -> None:
    one, other = made(api)["id"], made(api)["id"]
    begun = datetime.now(UTC)
    api.send("PATCH", f"/v1/webhook_endpoints/{one}", json={"enabled": False})
    missed = [place(api, order) for _ in range(3)]
    api.post(f"/v1/calls/{missed[0]}/actions/hangup")
    taken = expand(world)
    assert {delivery.endpoint_id for delivery in taken} == {UUID(other.removeprefix("endpoint_"))}
    for delivery in taken:
        outbox.record(world.database, [Outcome(delivery.id, Tried(datetime.now(UTC), 200, None, 1, ""))])
    assert {row["status"] for row in log(api, endpoint_id=one)} == {"skipped"}
    ask = {"endpoint_id": one, "since": begun.isoformat()}
    assert api.post("/v1/webhook_deliveries/replay", ask).get_json()["code"] == "endpoint_disabled"
    api.send("PATCH", f"/v1/webhook_endpoints/{one}", json={"enabled": True})
    ends = api.post("/v1/webhook_deliveries/replay", {**ask, "events": ["call.canceled"]})
    assert (ends.status_code, ends.get_json()) == (202, {"replayed": 1, "next_since": None})
    before = {**ask, "since": (begun - timedelta(days=1)).isoformat(), "until": begun.isoformat()}
    assert api.post("/v1/webhook_deliveries/replay", before).get_json()["replayed"] == 0
    assert api.post("/v1/webhook_deliveries/replay", ask).get_json()["replayed"] == 3
    assert api.post("/v1/webhook_deliveries/replay", ask).get_json()["replayed"] == 0  # under way
    nothing = {**ask, "endpoint_id": other}
    assert api.post("/v1/webhook_deliveries/replay", nothing).get_json()["replayed"] == 0
    assert api.post("/v1/webhook_deliveries/replay", {**nothing, "which": "all"}).get_json()["replayed"] == 4
    nobody = {**ask, "endpoint_id": f"endpoint_{'0' * 32}"}
    assert api.post("/v1/webhook_deliveries/replay", nobody).status_code == 404
    later = {**ask, "since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    assert named(api.post("/v1/webhook_deliveries/replay", later)) == {"/since": "in_the_future"}
    backward = {**ask, "until": begun.isoformat()}
    assert named(api.post("/v1/webhook_deliveries/replay", backward)) == {"/until": "before_since"}


def test_more_than_fit_are_replayed_in_portions(api: Api, world: World, order: Order) -> None:
    from store import webhook_log

    one = UUID(made(api)["id"].removeprefix("endpoint_"))
    begun = datetime.now(UTC)
    for _ in range(5):
        place(api, order)
    for delivery in expand(world):
        outbox.record(world.database, [Outcome(delivery.id, Tried(datetime.now(UTC), 500, "no", 1, ""), None)])
    replayed, since = 0, begun
    for portion in (2, 2, 1):
        count, more = webhook_log.replay_range(
            world.database, world.ours.id, one, since=since, until=datetime.now(UTC), types=None, which="undelivered",
            now=datetime.now(UTC), limit=2,
        )  # fmt: skip
        assert count == portion
        replayed += count
        since = more or since
    assert (replayed, more) == (5, None)


def test_a_test_goes_to_one_endpoint_whatever_it_asked_for(api: Api, world: World) -> None:
    made(api)
    one = made(api, events=["call.busy"])
    answer = api.post(f"/v1/webhook_endpoints/{one['id']}/test")
    assert answer.status_code == 202
    (row,) = log(api)
    assert (row["id"], row["type"], row["endpoint_id"]) == (answer.get_json()["id"], "webhook_endpoint.test", one["id"])
    (delivery,) = outbox.claim_due(world.database, datetime.now(UTC), 10, 30)
    assert delivery.body["type"] == "webhook_endpoint.test"
    assert (delivery.lane, delivery.call_id) == (0, None)


def test_who_only_fails_is_disabled_and_the_others_hear_of_it(api: Api, world: World, order: Order) -> None:
    bad, good = made(api), made(api, url="https://good.example.com/")
    deaf = made(api, url="https://deaf.example.com/", events=["call.busy"])
    place(api, order)
    start = datetime.now(UTC)
    mine = next(one for one in expand(world) if one.endpoint_id == UUID(bad["id"].removeprefix("endpoint_")))

    def fail(days: float, **more: Any) -> bool:
        at = start + timedelta(days=days)
        outcome = Outcome(mine.id, Tried(at, 500, "answered 500", 1, ""), at, **more)
        return bool(outbox.record(world.database, [outcome]))

    assert not fail(0)
    assert not fail(4.9)
    shown = api.get(f"/v1/webhook_endpoints/{bad['id']}").get_json()
    assert (shown["status"], shown["failing_since"] is not None) == ("enabled", True)
    assert fail(5.1)
    shown = api.get(f"/v1/webhook_endpoints/{bad['id']}").get_json()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "failing")
    (told,) = [row for row in log(api) if row["type"] == "webhook_endpoint.disabled"]
    assert told["endpoint_id"] == good["id"] != deaf["id"]
    (notice,) = [
        one
        for one in outbox.claim_due(world.database, start + timedelta(days=6), 100, 30)
        if one.type == "webhook_endpoint.disabled"
    ]
    assert notice.body["data"]["endpoint_id"] == bad["id"]
    assert notice.body["data"]["disabled_reason"] == "failing"
    # What waited for it is passed over, and its next failure is no news.
    assert {row["status"] for row in log(api, endpoint_id=bad["id"])} == {"skipped"}
    assert not fail(5.2)


def test_one_success_ends_a_time_of_failures(api: Api, world: World, order: Order) -> None:
    one = made(api)
    place(api, order)
    place(api, order)
    start = datetime.now(UTC)
    first, second = expand(world)
    outbox.record(world.database, [Outcome(first.id, Tried(start, 500, "no", 1, ""), start)])
    outbox.record(world.database, [Outcome(second.id, Tried(start, 200, None, 1, ""))])
    assert api.get(f"/v1/webhook_endpoints/{one['id']}").get_json()["failing_since"] is None
    late = start + timedelta(days=9)
    assert not outbox.record(world.database, [Outcome(first.id, Tried(late, 500, "no", 1, ""), late)])


def test_a_listener_hears_beside_the_endpoints(api: Api, world: World, order: Order) -> None:
    endpoint = made(api)
    listener = api.post("/v1/webhook_listeners", {"events": ["call.queued"]}).get_json()
    path = f"/v1/webhook_listeners/{listener['id']}"
    first, _ = place(api, order), place(api, order, webhook_url="https://own.example.com/")
    api.post(f"/v1/calls/{first}/actions/hangup")
    taken = expand(world)
    # The endpoint and the call's own address lose nothing by it.
    assert sorted(one.url for one in taken) == sorted([URL, URL, "https://own.example.com/"])
    assert endpoint["id"] in {row["endpoint_id"] for row in log(api)}
    fetched = api.post(path + "/poll", {}).get_json()["data"]
    assert len(fetched) == 2
    for one in fetched:
        body = Webhook(listener["secret"]).verify(one["body"], one["headers"])
        assert body["type"] == "call.queued"
    again = api.post(path + "/poll", {}).get_json()["data"]
    assert [one["delivery_id"] for one in again] == [one["delivery_id"] for one in fetched]
    heard = [
        {"delivery_id": fetched[0]["delivery_id"], "code": 200},
        {"delivery_id": fetched[1]["delivery_id"], "error": "nobody there"},
    ]
    assert api.post(path + "/poll", {"heard": heard}).get_json()["data"] == []
    states = {row["id"]: (row["status"], row["code"], row["error"]) for row in log(api)}
    assert states[fetched[0]["delivery_id"]] == ("delivered", 200, None)
    assert states[fetched[1]["delivery_id"]] == ("failed", None, "nobody there")
    assert Api(api.app, world.their_key).post(path + "/poll", {}).status_code == 404
    assert api.send("DELETE", path).status_code == 200
    assert api.post(path + "/poll", {}).status_code == 404


def test_a_listener_alone_makes_events_and_leaves_nothing(api: Api, world: World, order: Order) -> None:
    listener = api.post("/v1/webhook_listeners", {}).get_json()
    assert listener["events"] == ["*"]
    place(api, order)
    assert expand(world) == []
    assert len(api.post(f"/v1/webhook_listeners/{listener['id']}/poll", {"wait_s": 5}).get_json()["data"]) == 1
    assert api.get("/v1/webhook_endpoints").get_json()["data"] == []
    late = datetime.now(UTC) + timedelta(seconds=webhook_endpoints.LISTEN_S + 1)
    assert webhook_endpoints.close_listeners(world.database, late) == 1
    quiet = place(api, order)
    assert api.get(f"/v1/calls/{quiet}").get_json()["sequence"] == 0


def test_what_was_told_long_ago_is_forgotten(api: Api, world: World, order: Order) -> None:
    from jobs.webhook_retention import forget

    made(api)
    place(api, order)
    place(api, order)
    first, _second = expand(world)
    outbox.record(world.database, [Outcome(first.id, Tried(datetime.now(UTC), 200, None, 1, ""))])
    keep = timedelta(days=30)
    forget(world.database, datetime.now(UTC) + timedelta(days=29), keep)
    assert len(log(api)) == 2
    forget(world.database, datetime.now(UTC) + timedelta(days=31), keep)
    (left,) = log(api)
    assert left["status"] == "pending"
    with world.database.connection() as conn:
        assert conn.execute("SELECT id FROM outbox").fetchall() == [(UUID(left["webhook_id"]),)]


def test_an_event_stays_as_long_as_any_delivery_of_it(api: Api, world: World, order: Order) -> None:
    made(api)
    made(api)
    place(api, order)
    now = datetime.now(UTC)
    outbox.record(world.database, [Outcome(one.id, Tried(now, 200, None, 1, "")) for one in expand(world)])
    outbox.forget(world.database, now + timedelta(days=1), 1)
    (left,) = log(api)
    assert api.post(f"/v1/webhook_deliveries/{left['id']}/replay").status_code == 202
    (again,) = outbox.claim_due(world.database, datetime.now(UTC), 10, 30)
    assert again.body["data"]["sequence"] == 1
    # Without its event it is not told again: there is nothing to say.
    outbox.record(world.database, [Outcome(again.id, Tried(now, 200, None, 1, ""))])
    with world.database.connection() as conn:
        conn.execute("DELETE FROM outbox WHERE id = %s", (again.event_id,))
    refused = api.post(f"/v1/webhook_deliveries/{left['id']}/replay")
    assert (refused.status_code, "event" in refused.get_json()["detail"]) == (404, True)
    whole = {"endpoint_id": left["endpoint_id"], "since": "2020-01-01T00:00:00Z", "which": "all"}
    assert api.post("/v1/webhook_deliveries/replay", whole).get_json()["replayed"] == 0


def test_who_makes_an_endpoint_while_the_last_is_removed_is_told(api: Api, world: World) -> None:
    """The removal waits for the making, and then sees what was made."""
    first = made(api)
    sql = webhook_endpoints._SQL
    given = {
        "id": new_uuid7(), "tenant_id": world.ours.id, "url": URL, "events": ["*"], "description": None,
        "secret": b"x" * 32, "now": datetime.now(UTC), "listens_until": None, "most": 16,
    }  # fmt: skip
    removed: list[int] = []
    removing = threading.Thread(
        target=lambda: removed.append(api.send("DELETE", f"/v1/webhook_endpoints/{first['id']}").status_code)
    )
    with world.database.connection() as conn:
        conn.execute(sql["mark"], given)
        removing.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with world.database.connection() as other:
            wait_for(lambda: other.execute(waits).fetchone() != (0,))
        conn.execute(sql["create"], given)
    removing.join(20)
    assert removed == [200]
    with world.database.connection() as conn:
        row = conn.execute("SELECT webhook_also FROM tenants WHERE id = %s", (world.ours.id,)).fetchone()
    assert row == ("endpoints:",)


def test_what_waited_for_a_listener_that_is_gone_is_passed_over(api: Api, world: World, order: Order) -> None:
    made(api)
    for gone in ("left", "silent"):
        listener = api.post("/v1/webhook_listeners", {}).get_json()
        place(api, order)
        expand(world)
        assert "listening" in {row["status"] for row in log(api)}
        if gone == "left":
            api.send("DELETE", f"/v1/webhook_listeners/{listener['id']}")
        else:
            late = datetime.now(UTC) + timedelta(seconds=webhook_endpoints.LISTEN_S + 1)
            assert webhook_endpoints.close_listeners(world.database, late) == 1
        assert sorted({row["status"] for row in log(api)}) == ["pending", "skipped"]


def test_new_events_are_shared_out_by_turns(api: Api, world: World, order: Order) -> None:
    theirs = Api(api.app, world.their_key)
    made(api)
    made(theirs)
    for _ in range(8):
        place(api, order)
    place(theirs, lambda: order(agent_id=agent_ref(world.their_agent.id)))  # the latest
    assert {one.tenant_id for one in expand(world, room=4)} == {world.ours.id, world.theirs.id}


def test_the_largest_body_stays_below_20_kb(api: Api, world: World, order: Order, settings: Any) -> None:
    import json

    made(api)
    most = settings().max_metadata_bytes
    place(
        api,
        order,
        metadata={"a": "x" * (most - 8)},
        client_reference="r" * 255,
        retry={"busy_gaps_s": [60] * 10, "no_answer_gaps_s": [60] * 10, "carrier_gaps_s": [60] * 10},
        window={"time_zone": "America/Argentina/ComodRivadavia", "from": "00:00", "to": "24:00"},
    )
    (delivery,) = expand(world)
    assert len(json.dumps(delivery.body, ensure_ascii=False, separators=(",", ":")).encode()) < 20_000


def test_every_type_that_is_written_is_in_the_list() -> None:
    """Those that store/ writes, as its source says them."""
    import re
    from pathlib import Path

    source = "".join(path.read_text() for path in (Path(__file__).parents[2] / "store").glob("*.py"))
    written = set(re.findall(r'"((?:call|recording|suppression)\.[a-z_]+)"', source)) - {
        "call.hangup_requested",
        "call.cancel_requested",
        "suppression.lifted",  # of the ledger alone
    }
    assert written - set(EVENT_TYPES) == set()
