"""The webhook dispatcher: tells the enterprises what became of their calls.

It makes a delivery of each event for each endpoint, claims those that are due for as long as one may take, posts them
signed, and records what came of it. Whoever dies leaves the rows to the next one; the webhook-id stays the same, so a
receiver can tell a repetition. 2xx is delivered, everything else (a redirect too) is tried again by the
schedule. Any number may run.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import gevent
import psycopg
from gevent.event import Event
from gevent.pool import Group

from calls.webhook_sign import signed_headers
from crashpoint import crash_point
from jobs.stop import stop_on_signals
from jobs.webhook_address import origin
from jobs.webhook_pace import RETRY_AFTER_MAX_S
from jobs.webhook_post import Answer, Poster
from jobs.webhook_receivers import Receivers
from jobs.webhook_retention import forget_in_turn
from jobs.webhook_schedule import next_wait, turn_wait
from settings import Settings
from store import outbox
from store.failures import is_transient
from store.listen import listen
from store.outbox import Delivery, Outcome, Tried
from store.pool import Database, open_database

log = logging.getLogger(__name__)

CHANNEL = "outbox"
#: s; wait before the next claim when Postgres is away.
AWAY_S = 1.0
#: s; wait before the next claim when some of the last were handed back, so that a backlog is not leafed through in haste;
#: and at least until those are looked at again.
HASTE_S, SOON_S = 0.02, 0.1
#: Events that become deliveries in one statement, at most.
EVENTS = 1000
REPLAY_HEADER = "webhook-replay"


class Dispatcher:
    """One process's deliveries. :meth:`run` returns when ``stop`` is set and what was in flight has ended."""

    def __init__(self, db: Database, post: Callable[[str, dict[str, str], bytes], Answer], settings: Settings) -> None:
        self._db, self._post, self._settings = db, post, settings
        self._receivers = Receivers(
            total=settings.webhook_concurrency, per_url=settings.webhook_per_url, lease_s=self.lease_s
        )
        self._patience = timedelta(days=settings.webhook_disable_days)
        self._greenlets = Group()
        self._news = False  # whose turn it is when there is no room for both
        self._hungry = False  # more was due than there was room for
        self._unrecorded: list[tuple[Delivery, Outcome]] = []
        self._writing = 0  # of them, in the transaction under way
        self._to_record = Event()
        self._ended = False
        self.woken = Event()
        self.stop = Event()

    @property
    def lease_s(self) -> float:
        """s; covers a turn behind a slow receiver, the delivery itself, and recording it."""
        return 3 * self._settings.webhook_timeout_s + 2

    def run(self) -> None:
        recorder = gevent.spawn(self._record)
        recorder.link_exception(self._recorder_ended)
        while not self.stop.is_set():
            self.woken.clear()
            try:
                more = self._claim()
                # Before what is too much is written down: who is well does not wait for those who are not.
                self._start()
                crowded = self._hand_back()
            except psycopg.Error as error:
                log.warning("dispatcher waits for Postgres", extra={"error": str(error)})
                self.stop.wait(AWAY_S)
                continue
            if not more:
                self.woken.wait(self._settings.webhook_interval_s)
            elif crowded:
                self.stop.wait(HASTE_S)
        self._greenlets.join(timeout=self._settings.webhook_timeout_s + 1)
        self._ended = True
        self._to_record.set()
        recorder.join(timeout=self._settings.db_pool_timeout_s + 1)
        if recorder.exception is not None:
            raise recorder.exception

    def _claim(self) -> bool:
        """Takes what is due, as far as there is room; True when more may be due and there is room for it.

        A quarter of the room is left to what is new, however much is due again: one that is dead has many of those. Where
        there is less room than that, they take turns.
        """
        self._news = not self._news
        began = time.monotonic()
        now, room, ends_room = datetime.now(UTC), self._receivers.room, self._receivers.ends_room
        again = max(0, room - max(room // 4, self._news))
        due = outbox.claim_due(self._db, now, again, self.lease_s, ends_room) if ends_room else []
        left = max(0, room - len(due))
        ends_left = max(0, ends_room - sum(delivery.lane == 0 for delivery in due))
        events, new = outbox.expand(self._db, now, EVENTS, left, self.lease_s, ends_left)
        for delivery in (*due, *new):
            self._receivers.add(delivery, began)
        self._hungry = len(due) >= again or (events > 0 and len(new) >= left)
        return events == EVENTS or (self._hungry and self._receivers.room > 0)

    def _hand_back(self) -> bool:
        """Whether there was anything."""
        # All at once: recording one lets others finish, which changes what waits.
        now = datetime.now(UTC)
        when: dict[UUID, datetime] = {}
        for one in list(self._receivers.excess(time.monotonic())):
            # Not a try: what nobody was asked to take is neither put off by the schedule nor given up.
            wait = turn_wait(now - one.delivery.since, random.random())
            if one.soon_s is not None:
                wait = min(wait, timedelta(seconds=max(one.soon_s, SOON_S) * random.uniform(0.8, 1.2)))
            when[one.delivery.id] = now + max(wait, timedelta(seconds=one.rest_s))
        if when:
            outbox.hand_back(self._db, when, "not tried: the receiver is slow or rests and others wait before this one")
        return bool(when)

    def _start(self) -> None:
        if self.stop.is_set():
            return
        free = self._settings.webhook_concurrency - len(self._unrecorded) - self._writing
        for delivery in list(self._receivers.start(time.monotonic(), free)):
            self._greenlets.spawn(self._deliver, delivery)

    def _deliver(self, delivery: Delivery) -> None:
        started = time.monotonic()
        answer = Answer(None, "failed inside the dispatcher")
        try:
            body = json.dumps(delivery.body, ensure_ascii=False, separators=(",", ":")).encode()
            headers = signed_headers(delivery.secrets, str(delivery.event_id), int(time.time()), body)
            if delivery.replays:
                headers[REPLAY_HEADER] = "true"
            crash_point("dispatcher.claimed")
            answer = self._post(delivery.url, headers, body)
            crash_point("dispatcher.posted")
        finally:
            now = time.monotonic()
            # Its place at the receiver is free; its place here is when it is written down.
            self._receivers.finished(
                delivery, ok=answer.delivered, now=now, code=answer.code, retry_after_s=answer.retry_after_s, written=False
            )
            self._unrecorded.append((delivery, self._outcome(delivery, answer, now - started)))
            self._to_record.set()
            log.info("webhook", extra=_facts(delivery, answer, now - started))
            self._start()

    def _outcome(self, delivery: Delivery, answer: Answer, took_s: float) -> Outcome:
        now = datetime.now(UTC)
        tried = Tried(now, answer.code, answer.error, round(took_s * 1000), answer.reply, delivery.replays > 0)
        if answer.delivered:
            return Outcome(delivery.id, tried)
        asked = None if answer.retry_after_s is None else min(answer.retry_after_s, RETRY_AFTER_MAX_S)
        wait = next_wait(delivery.tries, random.random(), self._settings.webhook_schedule_s, asked)
        gone = answer.code == 410
        return Outcome(delivery.id, tried, None if wait is None or gone else now + wait, gone)

    def _record(self) -> None:
        """Writes down what came of deliveries, all that is there in one transaction, until there is nothing more to come."""
        while not (self._ended and not self._unrecorded):
            self._to_record.wait(self._settings.webhook_interval_s)
            self._to_record.clear()
            batch, self._writing = self._unrecorded, len(self._unrecorded)
            self._unrecorded = []
            outcomes = [outcome for _, outcome in batch]
            self._write(outcomes)
            self._writing = 0
            for delivery, _ in batch:
                self._receivers.written(delivery, time.monotonic())
            if batch:
                self._start()
            if self._hungry or any(not outcome.delivered for outcome in outcomes):
                self.woken.set()

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        try:
            for endpoint_id in outbox.record(self._db, outcomes, patience=self._patience):
                log.warning("webhook endpoint disabled", extra={"endpoint": str(endpoint_id)})
        except psycopg.Error as error:
            if len(outcomes) > 1 and not is_transient(error):
                for one in outcomes:  # what cannot be written keeps no other from it
                    self._write([one])
                return
            # Their leases run out and they are delivered again under the same webhook-id.
            log.warning("webhooks not recorded", extra={"webhooks": len(outcomes), "error": str(error)})

    def _recorder_ended(self, _: object) -> None:
        """Without it nothing may be sent: the process ends, and whoever watches over it starts another."""
        self.stop.set()
        self.woken.set()


def _facts(delivery: Delivery, answer: Answer, took_s: float) -> dict[str, object]:
    """For the log: the receiver without path and query, which may hold its secrets."""
    return {
        "webhook": str(delivery.event_id),
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
    dispatcher = Dispatcher(db, poster.post, settings)

    dispatcher.stop = stop_on_signals()
    dispatcher.stop.rawlink(lambda _: dispatcher.woken.set())
    listener = gevent.spawn(_wake, settings, dispatcher.woken)
    housekeeper = gevent.spawn(forget_in_turn, db, settings, dispatcher.stop)
    try:
        dispatcher.run()
    finally:
        listener.kill()
        housekeeper.kill()
        poster.close()
        db.close()
