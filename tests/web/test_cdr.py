"""POST /internal/cdr: the switch's second word on each end, in every encoding its module has."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from flask import Flask
from redis import Redis
from werkzeug.test import TestResponse

from budget.connect import connect
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, set_carriers
from budget.scripts import PREFIX
from calls.ids import call_ref
from settings import Settings
from store import keys, witnesses
from store.pool import Database, open_database
from tests.contract.cdrs import recorded
from tests.store.conftest import World, enterprise
from tests.web.conftest import Api, check_shape, named
from trunkline.why import look
from web.app import create_app

USER, PASSWORD = "freeswitch", "correct horse"
FORM, BASE64 = "application/x-www-form-urlencoded", "application/x-www-form-base64-encoded"
MOST = 1 << 17


@pytest.fixture
def house(database: Database, postgres_url: str) -> World:
    return enterprise(database, postgres_url)


@pytest.fixture
def internal(settings: Callable[..., Settings], database: Database, redis: Redis) -> Flask:
    options = settings(cdr_user=USER, cdr_password=PASSWORD, cdr_max_bytes=MOST, max_body_bytes=1024)
    return create_app(options, database=database, redis=redis)


class Door:
    """Posts as mod_json_cdr does."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def post(self, body: Any, *, user: str | None = USER, password: str = PASSWORD, **more: Any) -> TestResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": more.pop("kind", "application/json"), **more.pop("headers", {})}
        if user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        with self.app.test_client() as client:
            response = client.post("/internal/cdr?uuid=x", data=data, headers=headers, **more)
            check_shape(response, response.get_data())
        return response


@pytest.fixture
def door(internal: Flask) -> Door:
    return Door(internal)


def record_of(attempt: UUID, name: str = "busy", **variables: str) -> dict[str, Any]:
    """What a real FreeSWITCH posted, as if it had been this attempt's channel."""
    body = copy.deepcopy(recorded(name))
    body["variables"] |= {"uuid": str(attempt), **variables}
    body["callflow"][0]["caller_profile"]["uuid"] = str(attempt)
    return body


def sources(house: World, call: UUID) -> list[str]:
    """Who told of an end, in the order in which it became known."""
    sql = "SELECT source FROM call_events WHERE call_id = %s AND type = 'attempt.ended' ORDER BY id"
    return [row[0] for row in house.rows(sql, call)]


def strangers(house: World) -> int:
    return witnesses.totals(house.db).strangers


@pytest.mark.parametrize(
    ("name", "status", "reason", "code", "by"),
    [("busy", "busy", "busy", 486, "callee"), ("answered", "completed", "hangup", 200, "agent")],
)
def test_a_record_alone_ends_the_call(
    door: Door, house: World, name: str, status: str, reason: str, code: int, by: str
) -> None:
    made = house.dialing(max_attempts=1)
    answer = door.post(record_of(made.attempt_id, name))
    assert (answer.status_code, answer.get_json()) == (
        200, {"taken": True, "attempt_id": str(made.attempt_id), "state": "ended"}
    )  # fmt: skip
    call = house.call(made.call.id)
    assert (call.status, call.end_reason, call.sip_code, call.hangup_by) == (status, reason, code, by)
    (attempt,) = house.attempt_list(made.call.id)
    assert (attempt.evidence, attempt.state) == ("cdr", "ended")
    assert attempt.ringing_at is not None
    assert attempt.ended_at is not None
    assert sources(house, made.call.id) == ["cdr"]


def test_the_api_tells_whose_word_the_end_rests_on(internal: Flask, house: World) -> None:
    api, door = Api(internal, keys.create(house.db, tenant_id=house.tenant.id)[1]), Door(internal)
    made = house.dialing(max_attempts=1)
    path = f"/v1/calls/{call_ref(made.call.id)}"

    def told() -> tuple[str | None, list[str]]:
        (attempt,) = api.get(f"{path}/attempts").get_json()["data"]
        events = api.get(f"{path}/events").get_json()["data"]
        return attempt["evidence"], [event["source"] for event in events if event["type"] == "attempt.ended"]

    assert told() == (None, [])
    door.post(record_of(made.attempt_id))
    assert told() == ("cdr", ["cdr"])
    house.apply(house.busy(made.attempt_id, 5))
    assert told() == ("event", ["cdr", "event"])


def test_the_same_record_again_changes_nothing(door: Door, house: World) -> None:
    made = house.dialing(max_attempts=1)
    first = door.post(record_of(made.attempt_id))
    before = house.call(made.call.id), house.attempt_list(made.call.id), house.told(made.call.id)
    again = door.post(record_of(made.attempt_id))
    assert (again.status_code, again.get_json()) == (first.status_code, first.get_json())
    assert (house.call(made.call.id), house.attempt_list(made.call.id), house.told(made.call.id)) == before
    assert sources(house, made.call.id) == ["cdr"]


def as_form(body: dict[str, Any]) -> bytes:
    """encode=true: switch_url_encode over the text. (Here as with encode-values=false, which does not decode too much.)"""
    return b"cdr=" + quote(json.dumps(body), safe="/,()~*!$'-_.").encode()


def as_base64(body: dict[str, Any]) -> bytes:
    """encode=base64: switch_b64_encode breaks its lines."""
    return b"cdr=" + base64.encodebytes(json.dumps(body).encode())


def plain_values(body: dict[str, Any]) -> dict[str, Any]:
    body["variables"]["sip_full_from"] = '"Acme" <sip:1@127.0.0.1>'
    body["variables"]["sip_invite_failure_phrase"] = "Busy + 100% Here"
    return body


@pytest.mark.parametrize(
    ("encoded", "kind"),
    [
        (lambda body: json.dumps(body).encode(), "application/json; charset=utf-8"),
        (lambda body: json.dumps(body).encode(), FORM),  # disable-100-continue=true sends the body without its type
        (as_form, FORM),
        (as_base64, BASE64),
    ],
)
def test_every_encoding_of_the_module(
    door: Door, house: World, encoded: Callable[[dict[str, Any]], bytes], kind: str
) -> None:
    made = house.dialing(max_attempts=1)
    answer = door.post(encoded(plain_values(record_of(made.attempt_id))), kind=kind)
    assert answer.get_json()["taken"] is True
    (attempt,) = house.attempt_list(made.call.id)
    assert (attempt.sip_phrase, attempt.sip_code) == ("Busy + 100% Here", 486)


def test_bytes_that_are_no_utf8_are_no_reason_to_refuse(door: Door, house: World) -> None:
    made = house.dialing(max_attempts=1)
    body = json.dumps(record_of(made.attempt_id)).encode().replace(b'"Acme"', b'"Acm\xe9"')
    assert door.post(body).get_json()["taken"] is True


def test_another_name_for_a_forged_second_cause(door: Door, house: World) -> None:
    """With encode=true and encoded values a stranger's quotation mark ends the text it stands in."""
    made = house.dialing(max_attempts=1)
    text = json.dumps(record_of(made.attempt_id)).replace("Busy%20Here", 'x","hangup_cause":"NORMAL_CLEARING')
    assert 'x","hangup_cause"' in text
    refused = door.post(b"cdr=" + quote(text).encode(), kind=FORM)
    assert (refused.status_code, refused.get_json()["code"]) == (400, "malformed_cdr")
    assert "encode=false" in refused.get_json()["detail"]
    assert house.call(made.call.id).status == "dialing"


def test_a_channel_that_is_no_attempt_is_counted_and_not_wanted_again(door: Door, house: World) -> None:
    before = strangers(house)
    inbound = record_of(uuid4())
    inbound["channel_data"]["direction"] = "inbound"
    nobodys = record_of(uuid4())
    nobodys["variables"]["uuid"] = nobodys["callflow"][0]["caller_profile"]["uuid"] = "not-a-uuid"
    for body in (record_of(uuid4()), inbound, nobodys):
        answer = door.post({**body, "switchname": "fs\x00" + "x" * 99})
        assert (answer.status_code, answer.get_json()) == (200, {"taken": False})
    assert strangers(house) == before + 3


@pytest.mark.parametrize("changes", [{"user": None}, {"user": "other"}, {"password": "wrong"}, {"password": ""}])
def test_a_wrong_password_is_401_and_changes_nothing(door: Door, house: World, changes: dict[str, Any]) -> None:
    made = house.dialing(max_attempts=1)
    refused = door.post(record_of(made.attempt_id), **changes)
    assert (refused.status_code, refused.get_json()["code"]) == (401, "bad_credentials")
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert PASSWORD not in refused.get_data(as_text=True)
    assert house.call(made.call.id).status == "dialing"


def test_another_scheme_is_401(door: Door) -> None:
    for scheme in ("Bearer x", "Basic !", "Basic", "Digest username=freeswitch"):
        assert door.post({}, user=None, headers={"Authorization": scheme}).status_code == 401


def test_without_a_password_nothing_is_taken(settings: Callable[..., Settings], database: Database, redis: Redis) -> None:
    closed = Door(create_app(settings(cdr_user=USER), database=database, redis=redis))
    for password in ("", PASSWORD):
        refused = closed.post({}, password=password)
        assert (refused.status_code, refused.get_json()["code"]) == (503, "cdr_off")
        assert "TRUNKLINE_CDR_PASSWORD" in refused.get_json()["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "where"),
    [
        (b"", "application/json", 400, {"": "malformed_json"}),
        (b"{", "application/json", 400, {"": "malformed_json"}),
        (b"\x00\xff", "application/json", 400, {"": "malformed_json"}),
        (b"[" * 30_000, "application/json", 400, {"": "malformed_json"}),
        (b"[]", "application/json", 422, {"": "not_a_cdr"}),
        (b"{}", "application/json", 422, {"/variables": "not_a_cdr"}),
        (b'{"variables":{},"channel_data":{},"callflow":[]}', "application/json", 422, {"/callflow": "not_a_cdr"}),
        (b"other=1", FORM, 400, {"/cdr": "missing"}),
        (b"cdr=%7B", FORM, 400, {"/cdr": "malformed_json"}),
        (b"cdr=e", BASE64, 400, {"/cdr": "not_base64"}),
        (b"{}", "text/plain", 415, {}),
        (b"{}", "", 415, {}),
    ],
)  # fmt: skip
def test_what_is_no_record_is_named(door: Door, body: bytes, kind: str, status: int, where: dict[str, str]) -> None:
    refused = door.post(body, kind=kind)
    assert refused.status_code == status, refused.get_data()
    assert named(refused) == where


def test_a_compressed_body_is_415(door: Door) -> None:
    assert door.post({}, headers={"Content-Encoding": "gzip"}).status_code == 415


def test_when_it_ended_must_be_told(door: Door, house: World) -> None:
    body = record_of(house.dialing().attempt_id)
    body["callflow"][0]["times"]["hangup_time"] = "0"
    assert named(door.post(body)) == {"/callflow/0/times/hangup_time": "not_a_cdr"}


def test_the_size_is_bounded_and_not_that_of_the_public_api(door: Door, house: World) -> None:
    made = house.dialing(max_attempts=1)
    body = record_of(made.attempt_id)
    text = json.dumps(body).encode()
    assert len(text) > 1024  # the public API's bound here
    assert door.post(text + b" " * (MOST - len(text))).status_code == 200
    assert door.post(text + b" " * (MOST - len(text) + 1)).status_code == 413
    chunked = text + b" " * (MOST - len(text) + 1)
    assert door.post(chunked, environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True}).status_code == 413


def test_it_is_no_part_of_the_public_api(internal: Flask) -> None:
    with internal.test_client() as client:
        spec = client.get("/v1/openapi.json").get_data(as_text=True)
        assert "/internal" not in spec
        assert client.get("/internal/cdr").status_code == 405
        assert client.get("/internal/other").status_code == 404


@pytest.fixture
def away(settings: Callable[..., Settings], redis: Redis) -> Iterator[Flask]:
    options = settings(
        database_url="postgresql://127.0.0.1:1/none", db_pool_timeout_s=0.2, cdr_user=USER, cdr_password=PASSWORD
    )
    database = open_database(options, "test", cooperative=False)
    yield create_app(options, database=database, redis=redis)
    database.close()


def test_while_postgres_is_away_the_switch_keeps_it(away: Flask) -> None:
    for body in (record_of(uuid4()), {**record_of(uuid4()), "channel_data": {"direction": "inbound"}}):
        refused = Door(away).post(body)
        assert (refused.status_code, refused.get_json()["code"]) == (503, "database_unavailable")


def test_a_full_trunk_slows_its_carrier_whoever_tells_of_it_first(
    settings: Callable[..., Settings], database: Database, house: World, redis_url: str
) -> None:
    options = settings(cdr_user=USER, cdr_password=PASSWORD)
    redis = connect(options)
    scope = carrier_scope(house.carrier_id)
    set_carriers(redis, [CarrierSpec(ScopeLimits(scope, 20, 100_000, rest_us=1_000_000))])
    door = Door(create_app(options, database=database, redis=redis))
    full = {
        "hangup_cause": "NORMAL_TEMPORARY_FAILURE", "sip_term_status": "503", "sip_invite_failure_status": "503",
        "sip_invite_failure_phrase": "CPS%20limit%20exceeded",
    }  # fmt: skip
    told_before = house.dialing()
    event = house.ended(told_before.attempt_id, "NORMAL_TEMPORARY_FAILURE", 2, sip_code=503, disposition="recv_refuse")
    house.apply(event)

    def post(attempt: UUID) -> None:
        body = record_of(attempt, **full)
        body["callflow"][0]["times"]["progress_time"] = "0"
        assert door.post(body).status_code == 200

    post(told_before.attempt_id)
    assert redis.hget(f"{PREFIX}s:{scope}", "factor") is None  # the event's own business
    post(house.dialing().attempt_id)
    assert redis.hget(f"{PREFIX}s:{scope}", "factor") is not None
    redis.close()


def test_both_witnesses_are_kept_and_their_disagreement_counted(
    door: Door, house: World, settings: Callable[..., Settings], redis: Redis
) -> None:
    before = witnesses.totals(house.db).contradictions
    made = house.dialing(max_attempts=1)
    assert door.post(record_of(made.attempt_id, "answered")).status_code == 200
    house.apply(house.busy(made.attempt_id, 5))
    assert sources(house, made.call.id) == ["cdr", "event"]
    ((data,),) = house.rows("SELECT data FROM call_events WHERE attempt_id = %s AND type = 'attempt.contradiction'",
                            made.attempt_id)  # fmt: skip
    assert data == {
        "differ": ["cause", "sip_code", "answered"],
        "event": {"cause": "USER_BUSY", "sip_code": 486, "answered": False},
        "cdr": {"cause": "NORMAL_CLEARING", "sip_code": 200, "answered": True},
    }
    (attempt,) = house.attempt_list(made.call.id)
    assert attempt.evidence == "event"
    found = witnesses.totals(house.db)
    assert (found.contradictions, found.latest_call) == (before + 1, made.call.id)
    notes = "\n".join(look(settings(), house.db, redis).notes)
    assert f"Event and CDR do not tell the same of {before + 1} end" in notes
    assert f"trunkline trace {call_ref(made.call.id)}" in notes
