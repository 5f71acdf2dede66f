"""/v1/keys: made, listed, rotated, revoked by a key that may; never more than that key may itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from calls.access import SCOPES, network
from calls.ids import key_ref
from settings import Settings
from store import keys
from tests.web.conftest import Api, Clock, World, named
from tests.web.key_houses import account, other, tenant_id
from web.app import create_app

__all__ = ["account"]  # a fixture
MANAGE = ("keys:manage",)


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "ci", "scopes": ["calls:read"], **changes}


def test_a_key_is_made_shown_once_and_opens_what_it_may(account: Api) -> None:
    response = account.post("/v1/keys", body(scopes=["limits:read", "calls:read"]))
    assert response.status_code == 201
    made = response.get_json()
    plaintext = made.pop("key")
    assert plaintext.startswith(f"{made['prefix']}_")
    assert (made["scopes"], made["mode"], made["status"]) == (["calls:read", "limits:read"], "live", "active")
    assert (made["allowed_ips"], made["expires_at"], made["last_used_at"]) == (None, None, None)
    mine = Api(account.app, plaintext)
    assert mine.get("/v1/calls").status_code == 200
    assert mine.get("/v1/limits").status_code == 200
    refused = mine.get("/v1/agents")
    assert (refused.status_code, refused.get_json()["code"], refused.get_json()["scope"]) == (
        403, "missing_scope", "agents:read",
    )  # fmt: skip
    assert "agents:read" in refused.get_json()["detail"]
    assert 'error="insufficient_scope", scope="agents:read"' in refused.headers["WWW-Authenticate"]
    assert refused.headers["RateLimit-Limit"]
    read = account.get(response.headers["Location"]).get_json()
    assert read.pop("last_used_at") is not None
    assert read == {name: value for name, value in made.items() if name != "last_used_at"}
    secret = plaintext.rsplit("_", 1)[1]
    for path in ("/v1/keys", response.headers["Location"]):
        assert secret not in account.get(path).get_data(as_text=True)


def test_every_scope_opens_its_routes_and_no_other(app: Flask, account: Api, world: World) -> None:
    """By the table of the routes: with all scopes but the one it needs, each is refused; with that one alone, none is."""
    from web.access import is_guarded, needed

    by_scope = {scope: other(world, account, scopes=[scope])[1] for scope in SCOPES}
    without = {scope: other(world, account, scopes=[one for one in SCOPES if one != scope])[1] for scope in SCOPES}
    seen = 0
    for rule in app.url_map.iter_rules():
        scope = needed(app, rule.endpoint) if is_guarded(rule.rule) else None
        if scope is None or scope == "operator":
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            path = rule.rule.replace("<", "").replace(">", "")
            refused = without[scope].send(method, path)
            assert (refused.status_code, refused.get_json()["code"]) == (403, "missing_scope"), path
            assert refused.get_json()["scope"] == scope
            assert by_scope[scope].send(method, path).status_code != 403, path
            seen += 1
    assert seen > 20


def test_a_route_without_a_scope_is_no_application(app: Flask) -> None:
    from web.access import declare, require_declared

    def view() -> str:
        return ""

    require_declared(app)
    app.view_functions["planted"] = view
    app.url_map.add(app.url_rule_class("/v1/planted", endpoint="planted"))
    with pytest.raises(RuntimeError, match="/v1/planted"):
        require_declared(app)
    declare(view, "operator")
    with pytest.raises(RuntimeError, match="/v1/planted"):
        require_declared(app)
    declare(view, "calls:read")
    require_declared(app)


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"scopes": []}, "/scopes", "bad_length"),
        ({"scopes": ["calls:all"]}, "/scopes/0", "bad_value"),
        ({"scopes": ["operator"]}, "/scopes/0", "bad_value"),
        ({"scopes": "calls:read"}, "/scopes", "wrong_type"),
        ({"scopes": ["calls:read", "calls:read"]}, "/scopes", "given_twice"),
        ({"scopes": None}, "/scopes", "wrong_type"),
        ({"name": ""}, "/name", "bad_length"),
        ({"name": "x" * 64}, "/name", "bad_length"),
        ({"name": "a\nb"}, "/name", "bad_character"),
        ({"allowed_ips": []}, "/allowed_ips", "bad_length"),
        ({"allowed_ips": ["10.0.0.1/24"]}, "/allowed_ips/0", "bad_format"),
        ({"allowed_ips": ["0.0.0.0/0"]}, "/allowed_ips/0", "bad_format"),
        ({"allowed_ips": ["10.0.0.0/24", 1]}, "/allowed_ips/1", "wrong_type"),
        ({"allowed_ips": [f"10.0.0.{n}" for n in range(51)]}, "/allowed_ips", "bad_length"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "in_the_past"),
        ({"expires_at": "tomorrow"}, "/expires_at", "bad_format"),
        ({"mode": "test", "scopes": ["calls:read", "keys:manage"]}, "/scopes", "not_for_test_keys"),
        ({"mode": "lab"}, "/mode", "bad_value"),
        ({"secret": "x"}, "/secret", "unknown_field"),
        ({"id": "x"}, "/id", "unknown_field"),
    ],
)
def test_bad_keys_are_refused_by_name(account: Api, changes: dict[str, Any], place: str, code: str) -> None:
    before = account.get("/v1/keys").get_json()["data"]
    response = account.post("/v1/keys", body(**changes))
    assert response.status_code == 422
    assert named(response) == {place: code}
    assert len(account.get("/v1/keys").get_json()["data"]) == len(before)


def test_without_name_or_scopes_nothing_is_made(account: Api) -> None:
    response = account.post("/v1/keys", {})
    assert named(response) == {"/name": "required", "/scopes": "required"}


def test_a_key_never_gives_what_it_may_not(account: Api, world: World) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, small = other(
        world,
        account,
        name="small",
        scopes=["keys:manage", "calls:read"],
        allowed_ips=[network("127.0.0.0/8")],
        expires_at=soon,
    )
    refused = small.post("/v1/keys", body(scopes=["calls:read", "calls:write"]))
    assert (refused.status_code, refused.get_json()["code"], refused.get_json()["scope"]) == (
        403, "missing_scope", "calls:write",
    )  # fmt: skip
    later = (soon + timedelta(seconds=1)).isoformat()
    assert named(small.post("/v1/keys", body(allowed_ips=["10.0.0.0/8"], expires_at=later))) == {
        "/allowed_ips": "beyond_own_key",
        "/expires_at": "beyond_own_key",
    }
    narrower = small.post("/v1/keys", body(allowed_ips=["127.0.0.1"]))
    assert narrower.status_code == 201
    assert narrower.get_json()["allowed_ips"] == ["127.0.0.1/32"]
    inherited = small.post("/v1/keys", body(name="like-its-maker")).get_json()
    assert inherited["allowed_ips"] == ["127.0.0.0/8"]
    assert datetime.fromisoformat(inherited["expires_at"]) == soon
    # Nor by having a greater one followed by another, whose text it would see.
    greater, _ = other(world, account, name="greater")
    for made, code in (
        (greater, "missing_scope"),
        (other(world, account, name="endless", scopes=["calls:read"])[0], "beyond_own_key"),
        (other(world, account, name="anywhere", scopes=["calls:read"], expires_at=soon)[0], "beyond_own_key"),
    ):
        refused = small.post(f"/v1/keys/{key_ref(made.id)}/rotate", {})
        assert (refused.status_code, refused.get_json()["code"]) == (403, code)
    assert len(account.get("/v1/keys").get_json()["data"]) == 7


def test_a_name_has_one_key_and_the_one_that_follows(account: Api) -> None:
    first = account.post("/v1/keys", body())
    again = account.post("/v1/keys", body())
    assert (again.status_code, again.get_json()["code"]) == (409, "name_taken")
    assert named(again) == {"/name": "name_taken"}
    where = first.headers["Location"]
    second = account.post(f"{where}/rotate", {})
    assert second.status_code == 201
    made = second.get_json()
    assert made["replaces"]["id"] == first.get_json()["id"]
    assert (made["name"], made["scopes"], made["replaces"]["status"]) == ("ci", ["calls:read"], "active")
    for plaintext in (first.get_json()["key"], made["key"]):
        assert account.get("/v1/calls", key=plaintext).status_code == 200
    for path in (where, second.headers["Location"]):
        third = account.post(f"{path}/rotate", {})
        assert (third.status_code, third.get_json()["code"]) == (409, "two_in_force")
    assert account.send("DELETE", where).get_json()["status"] == "revoked"
    assert account.get("/v1/calls", key=first.get_json()["key"]).status_code == 401
    gone = account.post(f"{where}/rotate", {})
    assert (gone.status_code, gone.get_json()["code"]) == (409, "not_in_force")
    # One of the name is in force, so it is still taken; and it can be followed again.
    assert account.post("/v1/keys", body()).status_code == 409
    assert account.post(f"{second.headers['Location']}/rotate", {"old_expires_in_s": 0}).status_code == 201
    assert account.get("/v1/calls", key=made["key"]).status_code == 401


def test_rotation_ends_the_old_key_when_it_was_asked_to(account: Api, clock: Clock) -> None:
    clock.fixed = now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(days=30)
    first = account.post("/v1/keys", body(expires_at=end.isoformat()))
    clock.fixed = now + timedelta(days=10)
    second = account.post(f"{first.headers['Location']}/rotate", {"old_expires_in_s": 3600}).get_json()
    # As long as the first one was made for.
    assert datetime.fromisoformat(second["expires_at"]) == now + timedelta(days=40)
    assert datetime.fromisoformat(second["replaces"]["expires_at"]) == now + timedelta(days=10, hours=1)
    clock.fixed = now + timedelta(days=10, seconds=3599)
    assert account.get("/v1/calls", key=first.get_json()["key"]).status_code == 200
    clock.fixed = now + timedelta(days=10, seconds=3600)
    assert account.get("/v1/calls", key=first.get_json()["key"]).status_code == 401
    assert account.get("/v1/calls", key=second["key"]).status_code == 200
    assert account.get(first.headers["Location"]).get_json()["status"] == "expired"
    # An end that is nearer already is not put off.
    third = account.post(f"/v1/keys/{second['id']}/rotate", {"old_expires_in_s": 30 * 86_400}).get_json()
    assert datetime.fromisoformat(third["replaces"]["expires_at"]) == now + timedelta(days=40)
    for bad in (-1, 30 * 86_400 + 1, "1", 1.5):
        response = account.post(f"/v1/keys/{third['id']}/rotate", {"old_expires_in_s": bad})
        assert set(named(response)) == {"/old_expires_in_s"}


def test_a_key_that_ends_renews_neither_itself_nor_another_beyond_its_end(account: Api, world: World, clock: Clock) -> None:
    clock.fixed = now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(hours=1)
    short, by_short = other(world, account, name="short", expires_at=end)
    longer, _ = other(world, account, name="longer", expires_at=now + timedelta(days=365))
    soon, _ = other(world, account, name="soon", expires_at=now + timedelta(minutes=5), now=now)
    clock.fixed = now + timedelta(minutes=1)
    ends = {}
    for made in (short, longer, soon):
        answer = by_short.post(f"/v1/keys/{key_ref(made.id)}/rotate", {})
        assert answer.status_code == 201
        ends[made.name] = datetime.fromisoformat(answer.get_json()["expires_at"])
    assert ends == {"short": end, "longer": end, "soon": now + timedelta(minutes=6)}


def test_of_rotations_at_the_same_time_one_succeeds(account: Api) -> None:
    first = account.post("/v1/keys", body())
    path = f"{first.headers['Location']}/rotate"
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(lambda _: account.post(path, {}).status_code, range(4)))
        assert statuses == [201, 409, 409, 409]
        made = sorted(pool.map(lambda _: account.post("/v1/keys", body(name="one")).status_code, range(4)))
    assert made == [201, 409, 409, 409]


def test_keys_are_bounded(settings: Callable[..., Settings], world: World, account: Api, redis: Redis) -> None:
    app = create_app(settings(tenant_max_keys=3, requests_per_s=10_000), database=world.database, redis=redis)
    few = Api(app, account.key)
    assert [few.post("/v1/keys", body(name=f"k{n}")).status_code for n in range(3)] == [201, 201, 409]
    assert few.post("/v1/keys", body(name="k9")).get_json()["code"] == "too_many_keys"


def test_the_list_is_paged_newest_first(account: Api) -> None:
    made = [account.post("/v1/keys", body(name=f"k{n}")).get_json()["id"] for n in range(3)]
    first = account.get("/v1/keys?limit=2").get_json()
    assert [one["id"] for one in first["data"]] == [made[2], made[1]]
    rest = account.get(f"/v1/keys?limit=2&starting_after={first['next_cursor']}").get_json()
    assert (rest["data"][0]["id"], rest["data"][1]["name"], rest["has_more"]) == (made[0], "first", False)


def test_another_tenants_keys_are_not_there(account: Api, api: Api, world: World) -> None:
    made = account.post("/v1/keys", body())
    where = made.headers["Location"]
    assert api.get(where).status_code == 404
    assert api.post(f"{where}/rotate", {}).status_code == 404
    assert api.send("DELETE", where).status_code == 404
    assert account.get("/v1/calls", key=made.get_json()["key"]).status_code == 200
    assert made.get_json()["id"] not in api.get("/v1/keys?limit=200").get_data(as_text=True)


def test_a_key_may_end_itself(account: Api, world: World) -> None:
    made, mine = other(world, account, scopes=MANAGE)
    path = f"/v1/keys/{key_ref(made.id)}"
    assert mine.send("DELETE", path).status_code == 200
    assert mine.send("DELETE", path).status_code == 401
    first = account.get(path).get_json()["revoked_at"]
    assert account.send("DELETE", path).get_json()["revoked_at"] == first


def test_a_test_key_is_read_as_one_and_has_its_mode(account: Api, world: World) -> None:
    made, mine = other(world, account, mode="test")
    assert mine.key.startswith(f"tl_test_{made.prefix}_")
    assert mine.get("/v1/calls").status_code == 200
    # The same secret does not open as another kind.
    assert account.get("/v1/calls", key=mine.key.replace("tl_test_", "tl_")).status_code == 401
    shown = account.get(f"/v1/keys/{key_ref(made.id)}").get_json()
    assert (shown["mode"], shown["prefix"]) == ("test", f"tl_test_{made.prefix}")


def test_a_request_knows_its_key(app: Flask, account: Api) -> None:
    from flask import g, request_finished

    seen: list[Any] = []

    def note(*_: Any, **__: Any) -> None:
        seen.append((g.tenant, g.key))

    with request_finished.connected_to(note, app):
        account.get("/v1/calls")
    ((tenant, key),) = seen
    assert key.scopes == frozenset(SCOPES)
    assert (key.mode, key.name) == ("live", "first")
    assert account.key.startswith(f"tl_{key.prefix}_")
    assert "secret" not in repr(key)
    assert tenant.name.startswith("keys-")


def test_no_secret_is_told_but_in_the_answer_that_makes_it(account: Api, world: World, caplog: Any) -> None:
    from logs import JsonFormatter

    with caplog.at_level("DEBUG"):
        made = account.post("/v1/keys", body())
        rotated = account.post(f"{made.headers['Location']}/rotate", {})
        listed = account.get("/v1/keys").get_data(as_text=True)
        account.send("DELETE", made.headers["Location"])
    texts = [made.get_json()["key"], rotated.get_json()["key"], account.key]
    secrets = [text.rsplit("_", 1)[1] for text in texts]
    logged = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    rows = [repr(one) for one in keys.list_keys(world.database, tenant_id(world, account))]
    given = [repr(keys.parse_key(text)) for text in texts]
    assert not [secret for secret in secrets if secret in "".join([logged, listed, *rows, *given])]
    for number, secret in enumerate(secrets[:2]):
        told = json.dumps((made, rotated)[number].get_json())
        assert told.count(secret) == 1
    assert {"key.created", "key.rotated", "key.revoked"} <= recorded(world)


def recorded(world: World) -> set[str]:
    """What the ledger has."""
    with world.database.connection() as conn:
        return {row[0] for row in conn.execute("SELECT action FROM audit_entries").fetchall()}
