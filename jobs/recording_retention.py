"""Recordings whose time is over, or whose removal was asked for: the object goes, then the row says so."""

from __future__ import annotations

import logging
from datetime import datetime

from crashpoint import crash_point
from objects.place import PlaceAway, Places
from store import recordings
from store.pool import Database

log = logging.getLogger(__name__)

BATCH = 100


def expire(db: Database, places: Places, switch: str, now: datetime) -> str | None:
    """Remove what is due. What cannot be reached stays due; returns why, or None. Raises ``psycopg.Error``."""
    away = None
    for row in recordings.due(db, places.names, switch, now, BATCH):
        assert row.place is not None
        assert row.key is not None
        try:
            places[row.place].remove(row.key)
        except PlaceAway as error:
            away = str(error)
            continue
        crash_point("recordings.removed")
        if recordings.deleted(db, row.id, row.attempt_id, now):
            log.info("a recording was removed", extra={"attempt": str(row.attempt_id), "asked_for": row.delete_requested})
    return away
