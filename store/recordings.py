"""Recordings: one row per answered attempt of a call that is to be recorded, from the answer to the removal.

What the enterprise hears of (``recording.started``, ``.completed``, ``.failed``, ``.deleted``) is written with its webhook
in one transaction, under the call's lock and with the call's next sequence. Every change names the states it starts from, so
that doing it again, or hearing of it late, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from calls.ids import new_uuid7, recording_ref
from store.pool import Conn, Database
from store.queries import load
from store.records import all_rows, one_row
from store.snapshot import stamp
from store.telling import Locked, lock_call, put_down, tell

_SQL = load("recordings")

#: Why there is none.
NO_NOTICE, NOT_STARTED, FILE_MISSING, EMPTY = "no_notice", "not_started", "file_missing", "empty"
UNREADABLE = "unreadable"
FAILURES = (NO_NOTICE, NOT_STARTED, FILE_MISSING, EMPTY, UNREADABLE)
STATES = ("waiting", "recording", "uploading", "available", "failed", "deleted")


@dataclass(frozen=True, slots=True)
class Recording:
    """One row. ``pauses``: ``[{"from", "to"}]``, ISO times; ``place``: local or s3, where ``key`` names the object."""

    id: UUID
    attempt_id: UUID
    call_id: UUID
    tenant_id: UUID
    switch: str | None
    start: str
    state: str
    failure: str | None
    created_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    pauses: list[dict[str, Any]]
    duration_ms: int | None
    channels: int | None
    sample_rate: int | None
    size_bytes: int | None
    sha256: bytes | None
    place: str | None
    key: str | None
    uploaded_at: datetime | None
    retention_until: datetime | None
    delete_requested: bool
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Spooled:
    """What is known of a file in the spool. ``wanted``: its call is to be recorded; ``id`` None: it has no row yet."""

    attempt_id: UUID
    tenant_id: UUID
    attempt_state: str
    ended_at: datetime | None
    wanted: bool
    id: UUID | None
    state: str | None
    stopped_at: datetime | None
    sha256: bytes | None
    place: str | None
    key: str | None
    delete_requested: bool | None


@dataclass(frozen=True, slots=True)
class Sound:
    """What the file is: ``size_bytes`` long, ``sha256`` of all of it."""

    size_bytes: int
    sha256: bytes
    duration_ms: int
    channels: int
    sample_rate: int


def snapshot(recording: Recording) -> dict[str, Any]:
    """The public form: what the API answers (beside the address to fetch it by) and every webhook carries."""
    return {
        "id": recording_ref(recording.id),
        "attempt_id": str(recording.attempt_id),
        "state": recording.state,
        "failure": recording.failure,
        "start": recording.start,
        "started_at": stamp(recording.started_at),
        "stopped_at": stamp(recording.stopped_at),
        "pauses": [{side: _time(pause.get(side)) for side in ("from", "to")} for pause in recording.pauses],
        "duration_ms": recording.duration_ms,
        "channels": recording.channels,
        "sample_rate": recording.sample_rate,
        "bytes": recording.size_bytes,
        "sha256": None if recording.sha256 is None else recording.sha256.hex(),
        "retention_until": stamp(recording.retention_until),
        "delete_requested": recording.delete_requested,
        "deleted_at": stamp(recording.deleted_at),
    }


def _time(text: str | None) -> str | None:
    return None if text is None else stamp(datetime.fromisoformat(text))


# --- what happens on the switch --------------------------------------------------------------------------------------


def expect(db: Database, attempt_id: UUID, at: datetime) -> None:
    """The attempt was answered and is to be recorded. Nothing happens where it is not, or is known already."""
    with db.connection() as conn:
        _expect(conn, attempt_id, at)


def started(db: Database, attempt_id: UUID, at: datetime) -> bool:
    """The switch writes. Wishes that waited for that (pauses) are looked at. False: known already, or not to be recorded."""

    def unit(conn: Conn) -> bool:
        params = {"attempt_id": attempt_id, "at": at}
        call = lock_call(conn, attempt_id)
        _expect(conn, attempt_id, at)
        found = one_row(conn, Recording, _SQL["started"], params)
        if call is None or found is None:
            return False
        _tell(conn, "recording.started", call, found, at)
        conn.execute(_SQL["notify_switch"], params)
        return True

    return db.run(unit)


def stopped(db: Database, attempt_id: UUID, at: datetime) -> None:
    """The switch has closed the file."""
    with db.connection() as conn:
        conn.execute(_SQL["stopped"], {"attempt_id": attempt_id, "at": at})


def paused(db: Database, attempt_id: UUID, at: datetime) -> None:
    """From ``at`` on the recording is silent; again: nothing more."""
    with db.connection() as conn:
        conn.execute(_SQL["paused"], {"attempt_id": attempt_id, "at": at})


def resumed(db: Database, attempt_id: UUID, at: datetime) -> None:
    """The recording is not silent any more."""
    with db.connection() as conn:
        conn.execute(_SQL["resumed"], {"attempt_id": attempt_id, "at": at})


# --- on its way to where it is kept ----------------------------------------------------------------------------------


def of_attempts(db: Database, ids: Sequence[UUID]) -> dict[UUID, Spooled]:
    """What is known of the files named after these attempts; what is not in the answer is no attempt of ours."""
    with db.connection() as conn:
        found = all_rows(conn, Spooled, _SQL["of_attempts"], {"ids": list(ids)})
    return {row.attempt_id: row for row in found}


def uploading(db: Database, attempt_id: UUID, sound: Sound, place: str, key: str, now: datetime) -> Recording | None:
    """From now on the object may be at ``key``. None: it is not to be kept (any more), or is already."""

    def unit(conn: Conn) -> Recording | None:
        _expect(conn, attempt_id, now)
        row = conn.execute(_SQL["of_attempts"], {"ids": [attempt_id]}).fetchone()
        id_ = None if row is None else row[5]
        params = {"id": id_, "place": place, "key": key, "now": now, **_columns(sound)}
        return one_row(conn, Recording, _SQL["uploading"], params)

    return db.run(unit)


def _columns(sound: Sound) -> dict[str, object]:
    return {name: getattr(sound, name) for name in Sound.__dataclass_fields__}


def available(db: Database, recording: Recording, now: datetime) -> bool:
    """The object is at its key and was verified. False: it is known already."""
    return _change(db, "available", "recording.completed", recording.attempt_id, {"id": recording.id, "now": now}, now)


def failed(db: Database, recording: Recording, failure: str, now: datetime) -> bool:
    """There is none and there will be none: one of :data:`FAILURES`."""
    params = {"id": recording.id, "failure": failure}
    return _change(db, "failed", "recording.failed", recording.attempt_id, params, now)


def open_of(db: Database, attempt_id: UUID) -> list[Recording]:
    """The attempt's recording, if it is not finished."""
    with db.connection() as conn:
        return all_rows(conn, Recording, _SQL["open_of"], {"attempt_id": attempt_id})


def over(db: Database, switch: str, before: datetime, limit: int) -> list[Recording]:
    """Recordings of the switch that are not finished though their attempt ended before then."""
    with db.connection() as conn:
        return all_rows(conn, Recording, _SQL["over"], {"switch": switch, "before": before, "limit": limit})


# --- until it is removed ---------------------------------------------------------------------------------------------


def due(db: Database, places: Sequence[str], switch: str, now: datetime, limit: int) -> list[Recording]:
    """Recordings in these places whose time is over, the longest first; of a local directory only those of that switch."""
    where = {"s3": "s3" in places, "local": "local" in places, "switch": switch}
    with db.connection() as conn:
        return all_rows(conn, Recording, _SQL["due"], {**where, "now": now, "limit": limit})


def deleted(db: Database, id_: UUID, attempt_id: UUID, now: datetime) -> bool:
    """The object is gone. False: it is known already."""
    return _change(db, "deleted", "recording.deleted", attempt_id, {"id": id_, "now": now}, now)


# --- who asks --------------------------------------------------------------------------------------------------------


def get(db: Database, tenant_id: UUID, id_: UUID) -> Recording | None:
    """The tenant's recording, or None."""
    with db.connection() as conn:
        return one_row(conn, Recording, _SQL["get"], {"tenant_id": tenant_id, "id": id_})


def find(db: Database, id_: UUID) -> Recording | None:
    """The recording, whosever it is: for an address that is proof enough of itself."""
    with db.connection() as conn:
        return one_row(conn, Recording, _SQL["find"], {"id": id_})


def list_recordings(db: Database, tenant_id: UUID, call_id: UUID) -> list[Recording]:
    """Those of one call of the tenant, first one first."""
    with db.connection() as conn:
        return all_rows(conn, Recording, _SQL["list"], {"tenant_id": tenant_id, "call_id": call_id})


def request_deletion(db: Database, tenant_id: UUID, id_: UUID, now: datetime) -> Recording | None:
    """Remove it as soon as can be, also one that is still being made; again: nothing more. None: no such recording."""
    params = {"tenant_id": tenant_id, "id": id_, "now": now}
    return db.run(lambda conn: one_row(conn, Recording, _SQL["request_deletion"], params))


# --- how it is told --------------------------------------------------------------------------------------------------


def _expect(conn: Conn, attempt_id: UUID, at: datetime) -> None:
    conn.execute(_SQL["expect"], {"id": new_uuid7(), "attempt_id": attempt_id, "at": at})


def _change(db: Database, statement: str, kind: str, attempt_id: UUID, params: Mapping[str, object], now: datetime) -> bool:
    def unit(conn: Conn) -> bool:
        call = lock_call(conn, attempt_id)
        found = one_row(conn, Recording, _SQL[statement], params)
        if call is None or found is None:
            return False
        _tell(conn, kind, call, found, now)
        return True

    return db.run(unit)


def _tell(conn: Conn, kind: str, locked: Locked, recording: Recording, now: datetime) -> None:
    told = snapshot(recording)
    data = {name: told[name] for name in ("id", "failure", "duration_ms") if told[name] is not None}
    put_down(conn, kind, locked, recording.attempt_id, now, source="recording", data=data)
    tell(conn, kind, locked, recording.attempt_id, now, {"recording": told})
