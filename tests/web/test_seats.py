"""POST /internal/seats: a keeper's word on its seats, read strictly."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from redis import Redis
from werkzeug.test import TestResponse

from agents.fleet.gate import OVERLAP_S, Gate
from budget.seats import pools
from calls.agent_token import TokenRefused, sign
from settings import Settings
from store import agent_pools
from store.pool import Database, open_database
from tests.web.conftest import check_shape
from web.app import create_app
from web.internal.pool_keys import KNOWN_S, PoolKeys

USER, PASSWORD = "freeswitch", "correct horse"
Post = Callable[..., TestResponse]


@pytest.fixture
def post(settings: Callable[..., Settings], database: Database, redis: Redis) -> Post:
    app: Flask = create_app(settings(cdr_user=USER, cdr_password=PASSWORD), database=database, redis=redis)

    def send(body: Any, password: str = PASSWORD) -> TestResponse:
        basic = base64.b64encode(f"{USER}:{password}".encode()).decode()
        with app.test_client() as client:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
            response = client.post("/internal/seats", data=data, headers=headers)
            check_shape(response, response.get_data())
        return response

    return send


def seat(**changes: Any) -> dict[str, Any]:
    return {"pool": "desk", "name": "h1-0", "worker": "w1", "url": "ws://10.0.0.5:9001/", "attempt": None} | changes


def body(*seats: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"keeper": "k1", "seats": list(seats)} | changes


def test_a_seat_is_registered_kept_taken_drained_and_gone(post: Post, redis: Redis) -> None:
    call = str(uuid4())
    states = []
    for said in (seat(), seat(), seat(attempt=call), seat(), seat(state="leaving"), seat(), seat(state="gone")):
        answer = post(body(said)).get_json()
        (told,) = answer["seats"]
        assert (answer["hold_s"], told["name"]) == (3.0, "h1-0")
        states.append((told["state"], told["attempt"]))
    assert states == [(s, None) for s in ("free", "free")] + [("busy", call)] + [
        (s, None) for s in ("free", "away", "free", "gone")
    ]
    assert pools(redis)[0][1:] == (0, 0, 0, 0, 0)


def test_another_keepers_seat_is_taken(post: Post) -> None:
    post(body(seat()))
    assert post(body(seat(), keeper="k2")).get_json()["seats"][0]["state"] == "taken"


def test_what_arrives_after_a_later_word_changes_nothing(post: Post) -> None:
    call = str(uuid4())
    for seq, attempt, told in ((1, None, "free"), (3, call, "busy"), (2, None, "busy"), (4, None, "free")):
        assert post(body(seat(attempt=attempt), seq=seq)).get_json()["seats"][0]["state"] == told


@pytest.mark.parametrize(
    ("wrong", "where", "code"),
    [
        ([], "", "wrong_type"),
        ({"seats": []}, "/keeper", "required"),
        (body(keeper="a b"), "/keeper", "bad_format"),
        (body(more=1), "/more", "unknown_field"),
        (body(seq="1"), "/seq", "wrong_type"),
        (body(seq=True), "/seq", "wrong_type"),
        (body(seq=-1), "/seq", "out_of_range"),
        (body(seq=1 << 53), "/seq", "out_of_range"),
        ({"keeper": "k1"}, "/seats", "required"),
        (body(seats={}), "/seats", "wrong_type"),
        (body(seat(), seat()), "/seats", "conflict"),
        (body(*[seat()] * 501), "/seats", "bad_length"),
        (body(seats=[7]), "/seats/0", "wrong_type"),
        (body(seat(pool="Desk")), "/seats/0/pool", "bad_format"),
        (body(seat(pool=1)), "/seats/0/pool", "wrong_type"),
        (body(seat(name="a/b")), "/seats/0/name", "bad_format"),
        (body(seat(worker="")), "/seats/0/worker", "bad_format"),
        (body(seat(url="http://h:1/")), "/seats/0/url", "bad_format"),
        (body(seat(url="ws://h/")), "/seats/0/url", "bad_format"),
        (body(seat(url="ws://u:p@h:1/")), "/seats/0/url", "bad_format"),
        (body(seat(url="ws://h:99999/")), "/seats/0/url", "bad_format"),
        (body(seat(attempt="x")), "/seats/0/attempt", "bad_format"),
        (body(seat(attempt=5)), "/seats/0/attempt", "bad_format"),
        (body(seat(token="a b")), "/seats/0/token", "bad_format"),
        (body(seat(token=5)), "/seats/0/token", "wrong_type"),
        (body(seat(state="asleep")), "/seats/0/state", "bad_value"),
        (body(seat(colour="red")), "/seats/0/colour", "unknown_field"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_done(post: Post, redis: Redis, wrong: Any, where: str, code: str) -> None:
    answer = post(wrong)
    assert answer.status_code == 422
    assert (where, code) in {(error["pointer"], error["code"]) for error in answer.get_json()["errors"]}
    assert pools(redis) == []


def test_the_keys_of_pools_are_told_to_their_keepers(post: Post, database: Database) -> None:
    agent_pools.update(database, "known")
    told = post(body(seat(pool="known"), seat(pool="dsek", name="h1-1"))).get_json()["pools"]
    assert told == {"known": {"token_key": agent_pools.keys(database, ["known"])["known"]}, "dsek": None}


def test_keys_are_kept_while_postgres_is_away(settings: Callable[..., Settings], database: Database) -> None:
    agent_pools.update(database, "known")
    now = [0.0]
    keys = PoolKeys(database, lambda: now[0])
    known = keys.of(["known", "late"])
    assert known == {"known": agent_pools.keys(database, ["known"])["known"], "late": None}
    agent_pools.update(database, "late")
    now[0] += KNOWN_S
    assert keys.of(["late"])["late"] is not None, "an operator has made it"
    nowhere = settings(database_url="postgresql://nobody@127.0.0.1:1/none", db_pool_timeout_s=0.1)
    with open_database(nowhere, "test", cooperative=False, wait_s=0) as away:
        keys._database = away
        now[0] += KNOWN_S
        assert keys.of(["known", "other"]) == {"known": known["known"]}, "what it said last, and nothing of others"


def test_a_key_that_was_renewed_is_told_within_a_second_and_the_old_one_holds_for_what_has_begun(database: Database) -> None:
    """The web that tells it, and the keeper that is told, each with a clock of ours."""
    agent_pools.update(database, "leaked")
    now, attempt = [0.0], str(uuid4())
    told, gate = PoolKeys(database, lambda: now[0]), Gate("leaked", ask_s=30.0, clock=lambda: now[0])

    def enter(key: str) -> bool:
        about = {"agent": "agent_1", "call": "call_1", "attempt": attempt}
        token = sign(key, now=time.time(), token_id=uuid4().hex, **about)
        try:
            return asyncio.run(gate.enter(f"Bearer {token}", attempt)) is not None
        except TokenRefused:
            return False

    def hear() -> str:
        keys = told.of(["leaked"])
        gate.learn(keys)
        assert keys["leaked"] is not None
        return keys["leaked"]

    old = hear()
    assert agent_pools.renew_key(database, "leaked")
    now[0] += 1.0
    new = hear()
    assert new != old
    assert re.fullmatch("fleet_[0-9a-f]{64}", new)
    assert (enter(new), enter(old)) == (True, True)
    gate.learn({"leaked": old})  # by a web that has not heard of it yet
    now[0] += OVERLAP_S - 1
    hear()
    assert (enter(new), enter(old)) == (True, True)
    now[0] += 1
    hear()
    assert (enter(new), enter(old)) == (True, False)
    assert not agent_pools.renew_key(database, "nobodys")


def test_only_with_the_password(post: Post, redis: Redis) -> None:
    assert post(body(seat()), password="wrong").status_code == 401
    assert pools(redis) == []


def test_without_redis_it_is_to_be_said_again(settings: Callable[..., Settings], database: Database) -> None:
    nobody = settings(cdr_password=PASSWORD, redis_url="redis://127.0.0.1:1/0")
    app = create_app(nobody, database=database, redis=Redis.from_url(nobody.redis_url))
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with app.test_client() as client:
        answer = client.post("/internal/seats", json=body(seat()), headers={"Authorization": f"Basic {basic}"})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "redis_unavailable")
    assert answer.headers["Retry-After"]
