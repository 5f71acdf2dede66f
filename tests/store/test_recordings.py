"""Recordings in Postgres: each change once, told in order with the call's other events, whatever comes late or twice."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from calls.evidence import State
from store import recordings, tenants
from store.recordings import Recording, Sound
from tests.store.conftest import World, at, enterprise

SOUND = Sound(size_bytes=64_044, sha256=bytes(32), duration_ms=2000, channels=2, sample_rate=8000)
AFTER_NOTICE = {"start": "after_notice", "notice": None, "days": 7}


def answered(world: World, recording: dict[str, Any] | None = AFTER_NOTICE) -> UUID:
    """An attempt that is talked on since 5 s."""
    attempt = world.dialing(recording=recording).attempt_id
    world.apply(world.seen(attempt, State.IN_PROGRESS, 5))
    return attempt


def only(world: World, attempt: UUID) -> Recording:
    (call,) = [row[0] for row in world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)]
    (found,) = recordings.list_recordings(world.db, world.tenant.id, call)
    return found


def told(world: World, attempt: UUID) -> list[str]:
    (call,) = [row[0] for row in world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)]
    kinds = world.told(call)
    assert [sequence for sequence, _ in kinds] == list(range(1, len(kinds) + 1)), "without a gap"
    return [kind for _, kind in kinds if kind.startswith("recording.")]


def shipped(world: World, attempt: UUID) -> Recording:
    row = recordings.uploading(world.db, attempt, SOUND, "local", "t/1.wav", at(30))
    assert row is not None
    assert recordings.available(world.db, row, at(31))
    return only(world, attempt)


def test_a_recording_from_the_answer_to_its_removal_is_told_once_each(world: World) -> None:
    attempt = answered(world)
    for _ in range(2):
        recordings.expect(world.db, attempt, at(5))
    assert only(world, attempt).state == "waiting"
    assert recordings.started(world.db, attempt, at(9))
    assert not recordings.started(world.db, attempt, at(9))
    for _ in range(2):
        recordings.paused(world.db, attempt, at(10))
    for _ in range(2):
        recordings.resumed(world.db, attempt, at(12))
    recordings.paused(world.db, attempt, at(14))
    recordings.stopped(world.db, attempt, at(20))
    world.apply(world.answered_end(attempt, 20, 5))
    found = shipped(world, attempt)
    assert (found.state, found.retention_until, found.duration_ms) == ("available", at(20 + 7 * 86_400), 2000)
    pauses = recordings.snapshot(found)["pauses"]
    assert [(one["from"][17:22], one["to"][17:22]) for one in pauses] == [("10.12", "12.12"), ("14.12", "20.12")]
    assert recordings.due(world.db, ["local"], "fs1", at(20 + 7 * 86_400 - 1), 10) == []
    assert [row.id for row in recordings.due(world.db, ["local", "s3"], "fs1", at(20 + 7 * 86_400), 10)] == [found.id]
    assert recordings.due(world.db, ["s3"], "fs1", at(9e6), 10) == [], "what lies elsewhere is not ours to remove"
    assert recordings.due(world.db, ["local"], "fs2", at(9e6), 10) == [], "nor what lies beside another switch"
    assert recordings.deleted(world.db, found.id, attempt, at(40))
    assert not recordings.deleted(world.db, found.id, attempt, at(41))
    assert told(world, attempt) == ["recording.started", "recording.completed", "recording.deleted"]
    ((body,),) = world.rows("SELECT body FROM outbox WHERE type = 'recording.completed' AND tenant_id = %s", world.tenant.id)
    assert body["data"]["recording"]["sha256"] == "00" * 32
    assert body["data"]["attempt"]["id"] == body["data"]["recording"]["attempt_id"] == str(attempt)


def test_what_comes_late_does_not_take_back_what_is_known(world: World) -> None:
    """The relay was away: the file is the first that is heard of the recording."""
    attempt = answered(world)
    world.apply(world.answered_end(attempt, 20, 5))
    found = shipped(world, attempt)
    assert (found.started_at, found.stopped_at) == (at(5), at(20)), "of the call, for want of better"
    assert not recordings.started(world.db, attempt, at(9))
    row = recordings.uploading(world.db, attempt, SOUND, "local", "t/2.wav", at(50))
    assert row is None
    assert not recordings.failed(world.db, found, recordings.FILE_MISSING, at(60))
    assert told(world, attempt) == ["recording.completed"]


def test_a_call_that_is_not_to_be_recorded_gets_no_row(world: World) -> None:
    attempt = answered(world, None)
    recordings.expect(world.db, attempt, at(5))
    assert not recordings.started(world.db, attempt, at(6))
    assert recordings.uploading(world.db, attempt, SOUND, "local", "t/1.wav", at(30)) is None
    assert not recordings.of_attempts(world.db, [attempt])[attempt].wanted
    assert world.rows("SELECT count(*) FROM recordings WHERE attempt_id = %s", attempt) == [(0,)]


def test_one_that_never_began_is_found_when_its_call_is_over(world: World) -> None:
    attempt = answered(world)
    recordings.expect(world.db, attempt, at(5))
    assert recordings.over(world.db, "fs1", at(9e6), 10_000)[-1:] != [only(world, attempt)], "its call goes on"
    world.apply(world.answered_end(attempt, 20, 5))
    ours = [row for row in recordings.over(world.db, "fs1", at(21), 10_000) if row.attempt_id == attempt]
    assert [row.state for row in ours] == ["waiting"]
    assert recordings.failed(world.db, ours[0], recordings.NO_NOTICE, at(80))
    assert told(world, attempt) == ["recording.failed"]
    assert only(world, attempt).failure == "no_notice"


def test_a_removal_that_is_asked_for_before_the_upload_comes_first(world: World) -> None:
    attempt = answered(world)
    recordings.started(world.db, attempt, at(6))
    found = only(world, attempt)
    asked = recordings.request_deletion(world.db, world.tenant.id, found.id, at(10))
    assert asked is not None
    assert asked.delete_requested
    assert recordings.uploading(world.db, attempt, SOUND, "local", "t/1.wav", at(30)) is None
    assert recordings.deleted(world.db, found.id, attempt, at(31))
    assert told(world, attempt) == ["recording.started", "recording.deleted"]


def test_a_removal_that_is_asked_for_during_the_upload_is_due_after_it(world: World) -> None:
    attempt = answered(world)
    world.apply(world.answered_end(attempt, 20, 5))
    row = recordings.uploading(world.db, attempt, SOUND, "local", "t/1.wav", at(30))
    assert row is not None
    assert recordings.request_deletion(world.db, world.tenant.id, row.id, at(31))
    assert recordings.available(world.db, row, at(32))
    assert [due.id for due in recordings.due(world.db, ["local"], "fs1", at(33), 10)] == [row.id]


def test_another_tenants_recording_is_none(world: World) -> None:
    attempt = answered(world)
    recordings.expect(world.db, attempt, at(5))
    found, stranger = only(world, attempt), enterprise(world.db, world.url).tenant.id
    assert recordings.get(world.db, world.tenant.id, found.id) == found
    assert recordings.get(world.db, stranger, found.id) is None
    assert recordings.list_recordings(world.db, stranger, found.call_id) == []
    assert recordings.request_deletion(world.db, stranger, found.id, at(6)) is None
    assert not only(world, attempt).delete_requested


@pytest.mark.parametrize(("named", "value"), [("recording", "on"), ("recording_notice", "../x.wav"), ("recording_days", 0)])
def test_a_tenants_policy_is_held_to_its_ranges(world: World, named: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{named} must be"):
        tenants.update(world.db, world.tenant.name, **{named: value})
    done = tenants.update(world.db, world.tenant.name, recording="answer", recording_days=3)
    assert done is not None
    assert (done.recording, done.recording_days, done.recording_allowed) == ("answer", 3, "any")
