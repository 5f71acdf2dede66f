"""Recordings by HTTP: what a call may ask for, pause and resume, where a file is to be had and for how long, and removal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from flask import Flask
from redis import Redis

from calls.ids import agent_ref, parse_ref, recording_ref
from objects.local import LocalPlace
from settings import Settings
from store import agents, commands, recordings, tenants
from store.recordings import Sound
from tests.web.conftest import Api, Clock, World, named
from web.app import create_app

Order = Callable[..., dict[str, Any]]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECRET = "s" * 32
DATA = bytes(range(256)) * 40


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def app(settings: Callable[..., Settings], world: World, redis: Redis, clock: Clock, kept: Path) -> Flask:
    ours = settings(
        requests_per_s=10_000,
        recording_spool="/var/spool/recordings",
        recording_dir=str(kept),
        recording_url_secret=SECRET,
        recording_url_ttl_s=60,
        recording_days=30,
    )
    return create_app(ours, database=world.database, redis=redis, now=clock)


@pytest.fixture
def policy(world: World) -> Iterator[Callable[..., None]]:
    """Changes our tenant's; afterwards it is as it was."""

    def change(**changes: object) -> None:
        assert tenants.update(world.database, world.ours.name, **changes) is not None

    yield change
    tenants.update(
        world.database, world.ours.name, recording="off", recording_allowed="any", recording_notice=None, recording_days=None
    )


@pytest.fixture
def socket(world: World) -> str:
    """An agent that could give a notice itself."""
    found = [one for one in agents.list_agents(world.database, world.ours.id) if one.name == "socket"]
    made = found or [
        agents.create(world.database, tenant_id=world.ours.id, name="socket", kind="websocket", url="wss://a.example/")
    ]
    return agent_ref(made[0].id)


def asked(world: World, answer: dict[str, Any]) -> dict[str, Any] | None:
    with world.database.connection() as conn:
        row = conn.execute("SELECT recording FROM calls WHERE id = %s", (parse_ref("call", answer["id"]),)).fetchone()
    assert row is not None
    found: dict[str, Any] | None = row[0]
    return found


def test_a_call_is_recorded_only_where_that_is_asked_for(api: Api, world: World, order: Order, socket: str) -> None:
    for body, wanted in (
        (order(), None),
        (order(recording={}), {"start": "answer", "notice": None, "days": 30}),
        (order(recording={"enabled": False}), None),
        (order(recording={"enabled": True, "start": "answer"}), {"start": "answer", "notice": None, "days": 30}),
        (order(recording={"notice": "n.wav"}), {"start": "after_notice", "notice": "n.wav", "days": 30}),
        (order(agent_id=socket, recording={"start": "after_notice"}), {"start": "after_notice", "notice": None, "days": 30}),
    ):
        response = api.post("/v1/calls", body)
        assert response.status_code == 202, response.get_json()
        assert asked(world, response.get_json()) == wanted
        shown = None if wanted is None else {"start": wanted["start"], "notice": wanted["notice"]}
        assert response.get_json()["recording"] == shown


@pytest.mark.parametrize(
    ("recording", "fault"),
    [
        ({"start": "ring"}, {"/recording/start": "bad_value"}),
        ({"enabled": "yes"}, {"/recording/enabled": "wrong_type"}),
        ({"channels": 1}, {"/recording/channels": "not_supported_yet"}),
        ({"enabled": False, "start": "answer"}, {"/recording/start": "not_allowed"}),
        ({"start": "answer", "notice": "n.wav"}, {"/recording/notice": "not_allowed"}),
        ({"start": "after_notice", "notice": "../../n.wav"}, {"/recording/notice": "bad_format"}),
        ({"start": "after_notice"}, {"/recording/notice": "required"}),
        (True, {"/recording": "wrong_type"}),
        (None, {"/recording": "wrong_type"}),
    ],
)
def test_what_cannot_be_is_refused_by_name(api: Api, order: Order, recording: object, fault: dict[str, str]) -> None:
    response = api.post("/v1/calls", order(recording=recording))
    assert response.status_code == 422
    assert named(response) == fault


def test_the_accounts_policy_goes_before_what_a_call_asks(
    api: Api, world: World, order: Order, policy: Callable[..., None]
) -> None:
    policy(recording="after_notice", recording_notice="law.wav", recording_days=5)
    usual = api.post("/v1/calls", order()).get_json()
    assert asked(world, usual) == {"start": "after_notice", "notice": "law.wav", "days": 5}
    assert asked(world, api.post("/v1/calls", order(recording={"enabled": False})).get_json()) is None
    policy(recording="answer", recording_allowed="after_notice")
    assert asked(world, api.post("/v1/calls", order()).get_json()) == asked(world, usual), "the stricter of the two"
    assert named(api.post("/v1/calls", order(recording={"start": "answer"}))) == {"/recording/start": "not_allowed"}
    policy(recording_allowed="none")
    assert asked(world, api.post("/v1/calls", order()).get_json()) is None
    assert named(api.post("/v1/calls", order(recording={}))) == {"/recording": "not_allowed"}


def test_where_nothing_can_be_recorded_nothing_is_accepted_that_should_be(
    settings: Callable[..., Settings], world: World, redis: Redis, order: Order, policy: Callable[..., None]
) -> None:
    api = Api(create_app(settings(), database=world.database, redis=redis), world.our_key)
    assert named(api.post("/v1/calls", order(recording={}))) == {"/recording": "not_set_up"}
    policy(recording="answer")
    assert named(api.post("/v1/calls", order())) == {"/recording": "not_set_up"}
    assert api.post("/v1/calls", order(recording={"enabled": False})).status_code == 202


def live(api: Api, world: World, order: Order, **recording: Any) -> tuple[str, UUID]:
    """A recorded call that is talked on: (its address, its attempt)."""
    answer = api.post("/v1/calls", order(recording=recording)).get_json()
    with world.database.connection() as conn:
        row = conn.execute(
            "UPDATE attempts SET state = 'in_progress', switch = 'fs1', claimed_at = now(), answered_at = now()"
            " WHERE call_id = %s RETURNING id",
            (parse_ref("call", answer["id"]),),
        ).fetchone()
    assert row is not None
    return f"/v1/calls/{answer['id']}", row[0]


def available(world: World, kept: Path, attempt: UUID, now: datetime) -> str:
    """The recording of that attempt is kept; returns its address."""
    key, digest = f"t/{attempt}.wav", hashlib.sha256(DATA).digest()
    (kept.parent / "spooled").write_bytes(DATA)
    LocalPlace(kept).put(key, kept.parent / "spooled", digest)
    row = recordings.uploading(world.database, attempt, Sound(len(DATA), digest, 640, 2, 8000), "local", key, now)
    assert row is not None
    assert recordings.available(world.database, row, now)
    return f"/v1/recordings/{recording_ref(row.id)}"


def test_pause_and_resume_are_actions_in_their_order(api: Api, world: World, order: Order) -> None:
    call, attempt = live(api, world, order)
    for verb in ("pause_recording", "resume_recording", "pause_recording"):
        response = api.post(f"{call}/actions/{verb}")
        assert response.status_code == 202
        shown = api.get(response.headers["Location"]).get_json()
        assert (shown["type"], shown["status"], shown["result"]) == (verb, "requested", None)
    first, second = (api.post(f"{call}/actions/pause_recording", headers={"Idempotency-Key": "card"}) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    again = api.post(f"{call}/actions/hangup", headers={"Idempotency-Key": "card"})
    assert (again.status_code, named(again)) == (409, {"Idempotency-Key": "idempotency_mismatch"})
    open_ = commands.open_for_attempt(world.database, attempt)
    assert [row.verb for row in open_] == ["pause_recording", "resume_recording", "pause_recording", "pause_recording"]
    assert {row.switch for row in open_} == {"fs1"}


def test_a_pause_of_what_is_not_recorded_is_refused(api: Api, world: World, order: Order) -> None:
    plain = f"/v1/calls/{api.post('/v1/calls', order()).get_json()['id']}"
    waiting = f"/v1/calls/{api.post('/v1/calls', order(recording={})).get_json()['id']}"
    for call, code in ((plain, "not_recorded"), (waiting, "not_dialed")):
        response = api.post(f"{call}/actions/pause_recording")
        assert (response.status_code, response.get_json()["code"]) == (409, code)
    api.post(f"{waiting}/actions/hangup")
    over = api.post(f"{waiting}/actions/pause_recording")
    assert over.status_code == 202
    assert api.get(over.headers["Location"]).get_json()["result"] == "already_ended"
    call, _ = live(api, world, order)
    assert api.post(f"{call}/actions/pause_recording", key=world.their_key).status_code == 404


def test_an_address_is_good_for_its_time_and_its_recording_only(
    api: Api, world: World, order: Order, clock: Clock, kept: Path
) -> None:
    clock.fixed = NOW
    call, attempt = live(api, world, order)
    recordings.expect(world.database, attempt, NOW)
    (waiting,) = api.get(f"{call}/recordings").get_json()["data"]
    assert (waiting["state"], waiting["url"], waiting["url_expires_at"]) == ("waiting", None, None)
    there = available(world, kept, attempt, NOW)
    shown = api.get(there).get_json()
    assert shown == api.get(f"{call}/recordings").get_json()["data"][0]
    assert (shown["state"], shown["bytes"], shown["sha256"]) == ("available", len(DATA), hashlib.sha256(DATA).hexdigest())
    assert shown["url_expires_at"] == "2026-11-23T12:01:00.000000Z"
    address = urlsplit(shown["url"])
    path = f"{address.path}?{address.query}"
    whole = api.get(path, key="")
    assert (whole.status_code, whole.mimetype, whole.get_data()) == (200, "audio/wav", DATA)
    assert whole.headers["Cache-Control"] == "private, no-store"
    part = api.get(path, key="", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.get_data()) == (206, DATA[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(DATA)}"
    assert api.get(path, key="", headers={"Range": "bytes=99999-"}).status_code == 416
    given = {name: values[0] for name, values in parse_qs(address.query).items()}
    other = recording_ref(UUID(int=7))
    for wrong in (
        f"{address.path}?expires={int(given['expires']) + 1}&signature={given['signature']}",
        f"{address.path}?expires={given['expires']}&signature={'0' * 64}",
        f"{address.path}?expires={given['expires']}&signature=%C3%A4",
        f"{address.path}?expires=x&signature={given['signature']}",
        f"{path}&expires={given['expires']}",
        address.path,
        f"/recordings/{other}.wav?{address.query}",
    ):
        assert api.get(wrong, key="").status_code == 403, wrong
    clock.fixed = NOW + timedelta(seconds=59)
    assert api.get(path, key="").status_code == 200
    clock.fixed = NOW + timedelta(seconds=60)
    assert api.get(path, key="").status_code == 403


def test_another_tenants_recordings_are_not_to_be_seen(api: Api, world: World, order: Order, kept: Path) -> None:
    call, attempt = live(api, world, order)
    there = available(world, kept, attempt, NOW)
    assert api.get(there).status_code == 200
    for method, path in (("GET", there), ("DELETE", there), ("GET", f"{call}/recordings")):
        assert api.send(method, path, key=world.their_key).status_code == 404
    assert api.get("/v1/recordings/recording_1").status_code == 404
    assert not api.get(there).get_json()["delete_requested"]


def test_once_removal_is_asked_for_no_address_is_good_any_more(
    api: Api, world: World, order: Order, clock: Clock, kept: Path
) -> None:
    clock.fixed = NOW
    _, attempt = live(api, world, order)
    there = available(world, kept, attempt, NOW)
    address = urlsplit(api.get(there).get_json()["url"])
    for _ in range(2):
        response = api.send("DELETE", there)
        assert (response.status_code, response.get_json()["url"]) == (202, None)
    assert api.get(f"{address.path}?{address.query}", key="").status_code == 404
    due = recordings.due(world.database, ["local"], "fs1", NOW, 1000)
    assert attempt in [row.attempt_id for row in due]


def test_without_a_secret_no_address_is_given(
    settings: Callable[..., Settings], world: World, redis: Redis, api: Api, order: Order, kept: Path, clock: Clock
) -> None:
    clock.fixed = NOW
    _, attempt = live(api, world, order)
    there = available(world, kept, attempt, NOW)
    good = urlsplit(api.get(there).get_json()["url"])
    bare = settings(recording_spool="/var/spool/recordings", recording_dir=str(kept))
    silent = Api(create_app(bare, database=world.database, redis=redis, now=clock), world.our_key)
    assert silent.get(there).get_json()["url"] is None
    assert silent.get(f"{good.path}?{good.query}", key="").status_code == 403
