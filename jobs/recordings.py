"""``python -m jobs recordings``: beside each switch; takes finished recordings from its spool to where they are kept.

The row says first where the object will be, then the object is sent and verified, then the row says that it is there and the
enterprise is told, then the file goes: a kill at any moment repeats a step and loses nothing. What cannot be sent is tried
again for ever. It also gives up recordings of which no file came, and removes what has been kept long enough.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
from gevent.event import Event
from gevent.pool import Pool

from calls.recording import object_key
from crashpoint import crash_point
from jobs import recording_spool
from jobs.recording_retention import expire
from jobs.recording_spool import File, alone, is_whole, put_aside
from jobs.stop import stop_on_signals
from jobs.wav import NoWav, examine
from objects.local import hash_of
from objects.place import PlaceAway, Places
from settings import Settings
from store import recordings
from store.pool import Database, open_database
from store.recordings import Recording, Sound, Spooled

log = logging.getLogger(__name__)

#: Files looked at in one sweep.
BATCH = 200


@dataclass
class Shipper:
    """One spool. ``wall``: s since 1970, as the files' own times; ``clock``: s of a clock that only rises."""

    db: Database
    settings: Settings
    places: Places
    wall: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    shipped: int = 0
    away: str | None = None  # why the last sweep could not send something
    _later: dict[UUID, tuple[float, float]] = field(default_factory=dict)  # what failed -> when it is tried again, its wait
    _strange: set[UUID] = field(default_factory=set)  # told once

    @property
    def spool(self) -> Path:
        return Path(self.settings.recording_spool)

    def sweep(self) -> None:
        """One look. Raises ``psycopg.Error`` and ``OSError``; nothing is lost by it."""
        self.away = None
        files = recording_spool.files(self.spool)
        here = {file.attempt_id for file in files}
        self._later = {attempt: later for attempt, later in self._later.items() if attempt in here}
        due = [file for file in files if self._later.get(file.attempt_id, (0.0, 0.0))[0] <= self.clock()][:BATCH]
        known = recordings.of_attempts(self.db, [file.attempt_id for file in due])
        pool: Pool = Pool(self.settings.recording_uploads)
        for file in due:
            pool.spawn(self._see_to, file, known.get(file.attempt_id))
        pool.join(raise_error=True)
        self._give_up(here)

    def _see_to(self, file: File, known: Spooled | None) -> None:
        settings = self.settings
        if known is None or not known.wanted:
            if file.attempt_id not in self._strange:
                self._strange.add(file.attempt_id)
                log.error("a recording that nobody asked for is left alone", extra={"file": str(file.path)})
            return
        if not is_whole(
            file, known, wall=self.wall(), settle_s=settings.recording_settle_s, missing_s=settings.recording_missing_s
        ):
            return
        try:
            self._take(file, known)
        except PlaceAway as error:
            self.away = str(error)
            _, before = self._later.get(file.attempt_id, (0.0, settings.recording_interval_s))
            wait = min(before * 2, settings.recording_backoff_s)
            self._later[file.attempt_id] = self.clock() + wait * random.uniform(0.8, 1.0), wait
        except NoWav as error:
            put_aside(file, str(error))
            self._fail(file.attempt_id, recordings.UNREADABLE)

    def _take(self, file: File, known: Spooled) -> None:
        match known.state:
            case "available" | "failed" if known.sha256 is None or hash_of(file.path) != known.sha256:
                put_aside(file, f"its recording is {known.state} already")
            case "available" | "deleted":
                file.path.unlink(missing_ok=True)  # we were killed just before
            case "failed":
                put_aside(file, "its recording was given up")
            case _ if known.delete_requested:
                self._drop(file, known)
            case _:
                self._ship(file, known)

    def _ship(self, file: File, known: Spooled) -> None:
        now = self._now()
        wav = examine(file.path)
        if wav.mended:
            log.warning("the header of a recording was mended", extra={"file": str(file.path)})
        if not wav.frames:
            self._fail(file.attempt_id, recordings.EMPTY)
            file.path.unlink(missing_ok=True)
            return
        sha256 = hash_of(file.path)
        sound = Sound(file.path.stat().st_size, sha256, wav.duration_ms, wav.channels, wav.sample_rate)
        place = self.places.for_new
        key = known.key if known.key and known.place == place.name else object_key(known.tenant_id, file.attempt_id, now)
        row = recordings.uploading(self.db, file.attempt_id, sound, place.name, key, now)
        if row is None:
            return  # its removal was asked for just now: the next sweep sees it
        crash_point("recordings.uploading")
        place.put(key, file.path, sha256)
        crash_point("recordings.uploaded")
        recordings.available(self.db, row, self._now())
        crash_point("recordings.available")
        file.path.unlink(missing_ok=True)
        self.shipped += 1

    def _drop(self, file: File, known: Spooled) -> None:
        """Its removal was asked for before it was kept; an earlier try may have sent it."""
        assert known.id is not None
        if known.place is not None and known.key is not None:
            try:
                place = self.places[known.place]
            except LookupError as error:
                raise PlaceAway(str(error)) from error  # its settings were taken away meanwhile; the others go on
            place.remove(known.key)
        file.path.unlink(missing_ok=True)
        recordings.deleted(self.db, known.id, file.attempt_id, self._now())

    def _give_up(self, here: set[UUID]) -> None:
        """What is over for long, and of which there is no file, will not come."""
        before = self._now() - timedelta(seconds=self.settings.recording_missing_s)
        for row in recordings.over(self.db, self.settings.switch, before, BATCH):
            if row.attempt_id in here:
                continue
            if row.delete_requested:
                recordings.deleted(self.db, row.id, row.attempt_id, self._now())
            else:
                recordings.failed(self.db, row, _why(row), self._now())
                log.warning("a recording did not come about", extra={"attempt": str(row.attempt_id), "why": _why(row)})

    def _fail(self, attempt_id: UUID, why: str) -> None:
        recordings.expect(self.db, attempt_id, self._now())
        for row in recordings.open_of(self.db, attempt_id):
            recordings.failed(self.db, row, why, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)


def _why(row: Recording) -> str:
    if row.state == "waiting":
        return recordings.NO_NOTICE if row.start == "after_notice" else recordings.NOT_STARTED
    return recordings.FILE_MISSING


def work(shipper: Shipper, stop: Event) -> None:
    """Look, ship and remove until ``stop`` is set. Whatever fails is told when it changes, and waited for ever longer."""
    settings, wait, failing = shipper.settings, 0.0, None
    while not stop.is_set():
        try:
            if settings.records:
                shipper.sweep()
            away = shipper.away
            away = expire(shipper.db, shipper.places, settings.switch, datetime.now(UTC)) or away
        except (psycopg.Error, OSError) as error:
            away = str(error)
        if away != failing:
            failing = away
            log.warning("recordings wait" if failing else "recordings go on", extra={"why": failing})
        wait = settings.recording_interval_s if failing is None else min(max(wait, 1.0) * 2, settings.recording_backoff_s)
        stop.wait(wait * random.uniform(0.8, 1.0))


def main(settings: Settings) -> None:
    """Until SIGTERM. Without a place for recordings there is nothing to do but to say so."""
    stop = stop_on_signals()
    places = Places(settings)
    if not places.names:
        log.info("no recording is kept", extra={"not_set": "TRUNKLINE_RECORDING_DIR"})
        stop.wait()
        return
    shipper = Shipper(open_database(settings, "recordings", cooperative=True), settings, places)
    try:
        if not settings.records:
            work(shipper, stop)  # what was kept before is removed in its time
            return
        shipper.spool.mkdir(mode=0o770, parents=True, exist_ok=True)
        while not stop.is_set():
            with alone(shipper.spool) as ours:
                if ours:
                    work(shipper, stop)
            stop.wait(settings.recording_interval_s)
    finally:
        shipper.db.close()
