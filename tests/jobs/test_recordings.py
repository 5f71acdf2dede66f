"""Recordings on their way from the spool to where they are kept: none lost, none told twice, whatever dies or is away."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import urllib.request
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from calls.evidence import State
from calls.recording import object_key
from crashpoint import VARIABLE
from jobs.recording_retention import expire
from jobs.recording_spool import ASIDE, alone
from jobs.recordings import Shipper
from jobs.wav import NoWav, examine
from lab.audio import pcm
from objects.place import Places
from settings import Settings
from store import recordings
from store.recordings import Recording, Sound
from tests.objects.stores import Store, s3_store
from tests.store.conftest import World, at, settings_for
from trunkline.children import wait_until

#: Where the process is killed: see tests/chaos/test_crash_points.py.
POINTS = ("recordings.uploading", "recordings.uploaded", "recordings.available", "recordings.removed")
#: Later than everything that happens in the tests' world.
LATER = 500.0
NOTICE: dict[str, object] = {"start": "after_notice", "notice": None, "days": 7}


@dataclass
class Depot:
    """A spool with its shipper, in a world whose time is ``now`` seconds on."""

    world: World
    settings: Settings
    now: float = LATER

    def __post_init__(self) -> None:
        self.places = Places(self.settings)
        self.shipper = Shipper(
            self.world.db, self.settings, self.places, wall=lambda: at(self.now).timestamp(), clock=lambda: self.now
        )

    @property
    def spool(self) -> Path:
        return Path(self.settings.recording_spool)

    def call(self, recording: dict[str, object] | None = NOTICE) -> UUID:
        """An attempt that is talked on."""
        attempt = self.world.dialing(recording=recording).attempt_id
        self.world.apply(self.world.seen(attempt, State.IN_PROGRESS, 5))
        return attempt

    def hung_up(self, attempt: UUID) -> None:
        self.world.apply(self.world.answered_end(attempt, 20, 5))

    def record(self, attempt: UUID, *, seconds: float = 1.0) -> Path:
        """The switch has recorded the whole of it; whether somebody heard of that is another matter."""
        path = self.spool / f"{attempt}.wav"
        pcm.write_wav(str(path), pcm.tone(440, 0.5) * int(4 * seconds), channels=2)
        self.touch(path, 20)
        return path

    def touch(self, path: Path, seconds: float) -> None:
        os.utime(path, (at(seconds).timestamp(), at(seconds).timestamp()))

    def row(self, attempt: UUID) -> Recording:
        ((call,),) = self.world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)
        (found,) = recordings.list_recordings(self.world.db, self.world.tenant.id, call)
        return found

    def told(self, attempt: UUID) -> list[str]:
        ((call,),) = self.world.rows("SELECT call_id FROM attempts WHERE id = %s", attempt)
        kinds = self.world.told(call)
        assert [sequence for sequence, _ in kinds] == list(range(1, len(kinds) + 1)), "without a gap"
        return [kind.removeprefix("recording.") for _, kind in kinds if kind.startswith("recording.")]

    def kept(self, attempt: UUID) -> bytes:
        row = self.row(attempt)
        assert self.places.local is not None
        assert row.key is not None
        return self.places.local.path(row.key).read_bytes()


def depot_of(world: World, tmp_path: Path, **changes: object) -> Depot:
    (tmp_path / "spool").mkdir()
    places = {"recording_spool": str(tmp_path / "spool"), "recording_dir": str(tmp_path / "kept")}
    return Depot(world, settings_for(world.url, **{**places, **changes}))


@pytest.fixture
def depot(world: World, tmp_path: Path) -> Depot:
    return depot_of(world, tmp_path)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with s3_store() as running:
        yield running


def test_what_the_switch_has_closed_is_kept_told_and_gone_from_the_spool(depot: Depot) -> None:
    attempt = depot.call()
    recordings.started(depot.world.db, attempt, at(6))
    path = depot.record(attempt, seconds=2)
    data = path.read_bytes()
    depot.shipper.sweep()
    assert path.exists(), "the switch still writes"
    recordings.stopped(depot.world.db, attempt, at(20))
    depot.shipper.sweep()
    row = depot.row(attempt)
    assert (row.state, row.channels, row.sample_rate, row.duration_ms) == ("available", 2, 8000, 2000)
    assert (row.size_bytes, row.sha256) == (len(data), hashlib.sha256(data).digest())
    assert row.key == object_key(depot.world.tenant.id, attempt, at(LATER))
    assert depot.kept(attempt) == data
    assert not path.exists()
    depot.shipper.sweep()
    assert depot.told(attempt) == ["started", "completed"]


def test_one_of_whose_end_nobody_heard_is_shipped_once_its_call_is_long_over(depot: Depot) -> None:
    attempt = depot.call()
    path = depot.record(attempt)
    depot.hung_up(attempt)
    depot.now = 21.0
    depot.shipper.sweep()
    assert path.exists(), "the switch keeps some seconds in memory: it may not be whole"
    depot.now = 20 + depot.settings.recording_missing_s
    depot.shipper.sweep()
    assert depot.row(attempt).state == "available"
    assert depot.told(attempt) == ["completed"]


def test_a_file_that_was_written_to_just_now_is_not_whole(depot: Depot) -> None:
    attempt = depot.call()
    path = depot.record(attempt)
    recordings.expect(depot.world.db, attempt, at(5))
    recordings.stopped(depot.world.db, attempt, at(20))
    depot.touch(path, LATER - 0.5)
    depot.shipper.sweep()
    assert path.exists()


def test_files_that_nobody_asked_for_are_left_alone(depot: Depot) -> None:
    stranger, other = depot.call(None), depot.spool / "notes.wav"
    path = depot.record(stranger)
    other.write_bytes(b"x")
    (depot.spool / f"{UUID(int=5)}.wav").write_bytes(b"x")
    link = depot.spool / f"{depot.call()}.wav"
    link.symlink_to("/etc/hostname")
    depot.hung_up(stranger)
    depot.shipper.sweep()
    assert path.exists()
    assert len(list(depot.spool.iterdir())) == 4
    assert depot.told(stranger) == []


@pytest.mark.parametrize(
    ("recording", "began", "why"),
    [
        (NOTICE, False, "no_notice"),
        ({"start": "answer", "notice": None, "days": 7}, False, "not_started"),
        (NOTICE, True, "file_missing"),
    ],
)
def test_what_does_not_come_is_told(depot: Depot, recording: dict[str, object], began: bool, why: str) -> None:
    attempt = depot.call(recording)
    recordings.expect(depot.world.db, attempt, at(5))
    if began:
        recordings.started(depot.world.db, attempt, at(6))
    depot.shipper.sweep()
    assert depot.row(attempt).failure is None, "its call goes on"
    depot.hung_up(attempt)
    depot.now = 20 + depot.settings.recording_missing_s
    depot.shipper.sweep()
    assert depot.row(attempt).failure is None, "it may still come"
    depot.now += 1
    for _ in range(2):
        depot.shipper.sweep()
    assert (depot.row(attempt).state, depot.row(attempt).failure) == ("failed", why)
    assert depot.told(attempt)[-1:] == ["failed"]
    late = depot.record(attempt)
    depot.shipper.sweep()
    assert (depot.spool / ASIDE / late.name).exists(), "and nothing of it is thrown away"


def test_the_recording_of_a_switch_that_was_killed_is_mended(depot: Depot) -> None:
    attempt = depot.call()
    path = depot.record(attempt)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + struct.pack("<I", 36) + whole[8:40] + struct.pack("<I", 0) + whole[44:-1001])
    depot.touch(path, 20)
    depot.hung_up(attempt)
    depot.shipper.sweep()
    assert depot.row(attempt).state == "available"
    kept = depot.spool / "kept.wav"
    kept.write_bytes(depot.kept(attempt))
    with wave.open(str(kept)) as sound:
        assert sound.readframes(sound.getnframes()) == whole[44 : len(whole) - 1004]


@pytest.mark.parametrize(
    ("data", "why", "aside"),
    [(b"this is no sound", "unreadable", True), (b"", "unreadable", True), (None, "empty", False)],
    ids=["other", "nothing", "silence"],
)
def test_what_is_no_recording_is_told_and_only_what_may_be_of_use_is_kept(
    depot: Depot, data: bytes | None, why: str, aside: bool
) -> None:
    attempt = depot.call()
    path = depot.record(attempt, seconds=0)
    if data is not None:
        path.write_bytes(data)
        depot.touch(path, 20)
    depot.hung_up(attempt)
    depot.shipper.sweep()
    assert (depot.row(attempt).failure, path.exists()) == (why, False)
    assert (depot.spool / ASIDE / path.name).exists() == aside


def test_what_is_asked_to_be_removed_is_removed_before_and_after_it_is_kept(depot: Depot) -> None:
    early, late = depot.call(), depot.call()
    for attempt in (early, late):
        recordings.started(depot.world.db, attempt, at(6))
        depot.record(attempt)
        depot.hung_up(attempt)
    recordings.request_deletion(depot.world.db, depot.world.tenant.id, depot.row(early).id, at(30))
    depot.shipper.sweep()
    assert (depot.row(early).state, depot.row(late).state) == ("deleted", "available")
    assert list(depot.spool.iterdir()) == []
    assert depot.told(early) == ["started", "deleted"]
    recordings.request_deletion(depot.world.db, depot.world.tenant.id, depot.row(late).id, at(31))
    assert expire(depot.world.db, depot.places, "fs1", at(32)) is None
    assert depot.row(late).state == "deleted"
    with pytest.raises(FileNotFoundError):
        depot.kept(late)
    assert depot.told(late) == ["started", "completed", "deleted"]


def test_one_whose_place_is_no_longer_set_holds_up_no_other(depot: Depot) -> None:
    stuck, other = depot.call(), depot.call()
    for attempt in (stuck, other):
        depot.record(attempt)
        depot.hung_up(attempt)
    sound = Sound(1, bytes(32), 1, 1, 8000)
    row = recordings.uploading(depot.world.db, stuck, sound, "s3", "t/1.wav", at(21))
    assert row is not None
    recordings.request_deletion(depot.world.db, depot.world.tenant.id, row.id, at(22))
    depot.shipper.sweep()
    assert (depot.row(stuck).state, depot.row(other).state) == ("uploading", "available")
    assert "recordings in s3 cannot be reached" in (depot.shipper.away or "")
    assert (depot.spool / f"{stuck}.wav").exists(), "it is not said to be gone before it is"


def test_what_was_kept_long_enough_goes_and_the_rest_stays(depot: Depot) -> None:
    attempt = depot.call()
    depot.record(attempt)
    depot.hung_up(attempt)
    depot.shipper.sweep()
    week = timedelta(days=7)
    for moment, state in ((at(19) + week, "available"), (at(20) + week, "deleted")):
        expire(depot.world.db, depot.places, "fs1", moment)
        assert depot.row(attempt).state == state


def test_a_store_that_is_away_is_waited_for(world: World, tmp_path: Path, store: Store) -> None:
    depot = depot_of(world, tmp_path, **store.settings(recording_dir=""))
    attempt = depot.call()
    path = depot.record(attempt, seconds=200)  # 6.4 MB: in parts
    data = path.read_bytes()
    depot.hung_up(attempt)
    store.down()
    try:
        depot.shipper.sweep()
        assert depot.shipper.away is not None
        assert (path.exists(), depot.row(attempt).state, depot.told(attempt)) == (True, "uploading", [])
    finally:
        store.up()
    depot.shipper.sweep()
    assert path.exists(), "not at once again"
    depot.now += 2 * depot.settings.recording_interval_s
    depot.shipper.sweep()
    row = depot.row(attempt)
    assert row.key is not None
    assert (row.state, row.place, path.exists()) == ("available", "s3", False)
    assert store.read(row.key) == data
    assert depot.told(attempt) == ["completed"]
    assert depot.places.s3 is not None
    with urllib.request.urlopen(depot.places.s3.signed_url(row.key, 60, "r.wav"), timeout=10) as answer:
        assert hashlib.sha256(answer.read()).digest() == row.sha256
    recordings.request_deletion(world.db, world.tenant.id, row.id, at(900))
    store.down()
    try:
        assert expire(world.db, depot.places, "fs1", at(901)) is not None
        assert depot.row(attempt).state == "available", "it is not said to be gone before it is"
    finally:
        store.up()
    assert expire(world.db, depot.places, "fs1", at(901)) is None
    assert (depot.row(attempt).state, store.names()) == ("deleted", [])


def process(depot: Depot, **environ: str) -> subprocess.Popen[bytes]:
    """``python -m jobs recordings`` beside that spool, as it really runs."""
    given = {
        "DATABASE_URL": depot.world.url,
        "TRUNKLINE_RECORDING_SPOOL": depot.settings.recording_spool,
        "TRUNKLINE_RECORDING_DIR": depot.settings.recording_dir,
        "TRUNKLINE_RECORDING_INTERVAL_S": "0.05",
        "TRUNKLINE_RECORDING_SETTLE_S": "0",
        **environ,
    }
    command = [sys.executable, "-m", "jobs", "recordings"]
    return subprocess.Popen(command, env={**os.environ, **given}, stderr=subprocess.DEVNULL)


def test_killed_at_any_point_it_repeats_a_step_and_loses_nothing(depot: Depot) -> None:
    now, data = datetime.now(UTC), {}
    for point in POINTS:
        attempt = depot.call()
        recordings.started(depot.world.db, attempt, now)
        recordings.stopped(depot.world.db, attempt, now)
        data[attempt] = depot.record(attempt).read_bytes()
        if point == POINTS[-1]:
            depot.shipper.sweep()
            recordings.request_deletion(depot.world.db, depot.world.tenant.id, depot.row(attempt).id, at(0))
        dying = process(depot, **{VARIABLE: point})
        assert dying.wait(60) == -signal.SIGKILL, point
    wanted = dict.fromkeys(data, "available") | {attempt: "deleted"}
    last = process(depot)

    def done() -> bool:
        return {one: depot.row(one).state for one in data} == wanted and not list(depot.spool.glob("*.wav"))

    wait_until("everything is where it belongs", done, timeout_s=60)
    last.terminate()
    assert last.wait(30) == 0
    for one, recorded in data.items():
        if wanted[one] == "deleted":
            assert depot.told(one) == ["started", "completed", "deleted"]
            with pytest.raises(FileNotFoundError):
                depot.kept(one)
        else:
            assert depot.told(one) == ["started", "completed"]
            assert depot.kept(one) == recorded


def test_a_spool_is_shipped_by_one_process(tmp_path: Path) -> None:
    with alone(tmp_path) as first:
        with alone(tmp_path) as second:
            assert (first, second) == (True, False)
    with alone(tmp_path) as third:
        assert third


def test_what_a_wav_file_may_look_like(tmp_path: Path) -> None:
    path = tmp_path / "one.wav"
    pcm.write_wav(str(path), pcm.tone(440, 1.0), channels=2)
    data = path.read_bytes()
    assert (examine(path).frames, examine(path).duration_ms, examine(path).mended) == (4000, 500, False)
    path.write_bytes(data + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert not examine(path).mended, "a chunk behind the data belongs there"
    assert path.stat().st_size == len(data) + 12
    path.write_bytes(data + b"\x01\x02\x03")
    assert (examine(path).mended, path.stat().st_size) == (True, len(data))
    for broken in (data[:30], b"RIFX" + data[4:], data[:36] + b"junk" + data[40:], data[:12] + data[36:]):
        path.write_bytes(broken)
        with pytest.raises(NoWav):
            examine(path)
