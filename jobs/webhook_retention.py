"""What was told long ago is forgotten: deliveries that are over, their events, and listeners that listen no more."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import psycopg
from gevent.event import Event

from settings import Settings
from store import outbox, webhook_endpoints
from store.pool import Database

log = logging.getLogger(__name__)

#: Rows of a kind that are removed in one transaction.
BATCH = 1000
#: s; between two looks.
EVERY_S = 60.0


def forget(db: Database, now: datetime, keep: timedelta) -> int:
    """Remove what is older than ``keep``; how many rows. Raises ``psycopg.Error``."""
    webhook_endpoints.close_listeners(db, now)
    removed = 0
    while count := outbox.forget(db, now - keep, BATCH):
        removed += count
    return removed


def forget_in_turn(db: Database, settings: Settings, stop: Event) -> None:
    """:func:`forget` every EVERY_S until ``stop``; any number of dispatchers may do so."""
    while not stop.wait(EVERY_S):
        try:
            if removed := forget(db, datetime.now(UTC), timedelta(days=settings.webhook_keep_days)):
                log.info("webhooks forgotten", extra={"rows": removed})
        except psycopg.Error as error:
            log.warning("nothing forgotten: Postgres is away", extra={"error": str(error)})
