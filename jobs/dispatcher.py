"""The webhook dispatcher: tells the enterprises what became of their calls.

It claims due rows of the outbox for as long as a delivery may take, posts them signed, and records what came of it. Whoever
dies leaves the rows to the next one; the webhook-id stays the same, so a receiver can tell a repetition. 2xx is delivered,
everything else (a redirect too) is tried again by the schedule. Any number of dispatchers may run.
"""

from __future__ import annotations

import json
import logging
import random
import time
from datetime import UTC, datetime

import gevent
import psycopg
from gevent.event import Event
from gevent.pool import Group

from crashpoint import crash_point
from jobs.stop import stop_on_signals
from jobs.webhook_address import origin
from jobs.webhook_post import Answer, Poster
from jobs.webhook_receivers import Receivers
from jobs.webhook_schedule import next_wait, turn_wait
from jobs.webhook_sign import signed_headers
from settings import Settings
from store import outbox
from store.listen import listen
from store.outbox import Delivery
from store.pool import Database, open_database

log = logging.getLogger(__name__)

CHANNEL = "outbox"
#: s; wait before the next claim when Postgres is away.
AWAY_S = 1.0


class Dispatcher:
    """One process's deliveries. :meth:`run` returns when ``stop`` is set and what was in flight has ended."""

    def __init__(self, db: Database, poster: Poster, settings: Settings) -> None:
        self._db, self._poster, self._settings = db, poster, settings
        self._receivers = Receivers(total=settings.webhook_concurrency, per_url=settings.webhook_per_url)
        self._greenlets = Group()
        self.woken = Event()
        self.stop = Event()

    @property
    def lease_s(self) -> float:
        """s; covers a turn behind a slow receiver, the delivery itself, and recording it."""
        return 3 * self._settings.webhook_timeout_s + 2

    def run(self) -> None:
        while not self.stop.is_set():
            self.woken.clear()
            try:
                more = self._claim()
                self._hand_back()
            except psycopg.Error as error:
                log.warning("dispatcher waits for Postgres", extra={"error": str(error)})
                self.stop.wait(AWAY_S)
                continue
            self._start()
            if not more:
                self.woken.wait(self._settings.webhook_interval_s)
        self._greenlets.join(timeout=self._settings.webhook_timeout_s + 1)

    def _claim(self) -> bool:
        """Takes what is due, as far as there is room; True when more may be due and there is room for it."""
        room = self._receivers.room
        if room == 0:
            return False
        due = outbox.claim_due(self._db, datetime.now(UTC), room, self.lease_s)
        for delivery in due:
            self._receivers.add(delivery)
        return len(due) == room and self._receivers.room > 0

    def _hand_back(self) -> None:
        # All at once: recording one lets others finish, which changes what waits.
        for delivery in list(self._receivers.excess(time.monotonic())):
            # Not a try: what nobody was asked to take is neither put off by the schedule nor given up.
            now = datetime.now(UTC)
            wait = turn_wait(now - delivery.created_at, random.random())
            reason = "not tried: the receiver is slow and others wait before this one"
            outbox.hand_back(self._db, delivery.id, now + wait, reason)

    def _start(self) -> None:
        for delivery in list(self._receivers.start(time.monotonic())):
            self._greenlets.spawn(self._deliver, delivery)

    def _deliver(self, delivery: Delivery) -> None:
        started = time.monotonic()
        answer = Answer(None, "failed inside the dispatcher")
        try:
            body = json.dumps(delivery.body, ensure_ascii=False, separators=(",", ":")).encode()
            headers = signed_headers([delivery.webhook_secret], str(delivery.id), int(time.time()), body)
            crash_point("dispatcher.claimed")
            answer = self._poster.post(delivery.url, headers, body)
            crash_point("dispatcher.posted")
            self._record(delivery, answer)
        except psycopg.Error as error:
            # The lease runs out and it is delivered again under the same webhook-id.
            log.warning("webhook not recorded", extra={"webhook": str(delivery.id), "error": str(error)})
        finally:
            now = time.monotonic()
            self._receivers.finished(delivery, ok=answer.delivered, now=now)
            log.info("webhook", extra=_facts(delivery, answer, now - started))
            if not self.stop.is_set():
                self._start()
            self.woken.set()

    def _record(self, delivery: Delivery, answer: Answer) -> None:
        now = datetime.now(UTC)
        if answer.delivered and answer.code is not None:
            outbox.delivered(self._db, delivery.id, answer.code, now)
            return
        error = answer.error or "no reason"
        wait = next_wait(delivery.tries, random.random())
        if wait is None:
            outbox.give_up(self._db, delivery.id, answer.code, error, now)
        else:
            outbox.retry_later(self._db, delivery.id, now + wait, answer.code, error)


def _facts(delivery: Delivery, answer: Answer, took_s: float) -> dict[str, object]:
    """For the log: the receiver without path and query, which may hold its secrets."""
    return {
        "webhook": str(delivery.id),
        "call": str(delivery.call_id),
        "type": delivery.type,
        "sequence": delivery.sequence,
        "receiver": origin(delivery.url),
        "tries": delivery.tries,
        "code": answer.code,
        "failed": answer.error,
        "ms": round(took_s * 1000),
    }


def _wake(settings: Settings, woken: Event) -> None:
    for _ in listen(settings, [CHANNEL]):
        woken.set()


def main(settings: Settings) -> None:
    """Runs until SIGTERM or SIGINT, then finishes what is in flight. Postgres away is waited for, never given up on."""
    db = open_database(settings, "dispatcher", cooperative=True)
    poster = Poster(
        timeout_s=settings.webhook_timeout_s,
        per_url=settings.webhook_per_url,
        allow_private=settings.webhook_allow_private,
    )
    dispatcher = Dispatcher(db, poster, settings)

    dispatcher.stop = stop_on_signals()
    dispatcher.stop.rawlink(lambda _: dispatcher.woken.set())
    listener = gevent.spawn(_wake, settings, dispatcher.woken)
    try:
        dispatcher.run()
    finally:
        listener.kill()
        poster.close()
        db.close()
