"""One pump a carrier: asks for permits and starts a dial job for each, sleeping exactly as long as the refusal says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import gevent
import psycopg
from gevent.event import Event
from gevent.pool import Pool
from redis.exceptions import RedisError

from budget import permits
from budget.scripts import WAKE_CHANNEL
from budget.worker import DialRunner
from calls.evidence import Evidence
from controller.board import Board
from controller.dial import DIALS, Dial
from controller.window import DialWindow
from store import carriers

log = logging.getLogger(__name__)

#: s; how soon a new carrier is noticed.
CARRIERS_S = 1.0


class Pumps:
    """The pumps of one controller, and the ear that wakes them."""

    def __init__(self, board: Board, runner: DialRunner, record: Callable[[Evidence], None]) -> None:
        self._board = board
        self._runner = runner
        self._record = record
        self._wake: dict[UUID, Event] = {}
        self._rest_us: dict[UUID, int] = {}
        self._jobs = Pool(board.settings.dial_greenlets)
        self._threads = Pool()
        self._window = DialWindow(board.settings.dial_greenlets)
        self._under_way = 0
        self._room = Event()
        self.counts = {"granted": 0, "burned": 0}
        self.on_died: Callable[[gevent.Greenlet[..., None]], None] = lambda _: None

    def run(self) -> None:
        """Starts a pump for each carrier there is or will be; returns when the board stops, its dial jobs done."""
        self._threads.spawn(self._listen).link_exception(self._loop_died)
        while not self._board.stopping.is_set():
            try:
                for carrier in carriers.list_limits(self._board.db):
                    jitter = self._board.settings.jitter_for(carrier.jitter_ms)
                    self._rest_us[carrier.id] = int((carrier.window_ms + jitter) * 1000)
                    if carrier.id not in self._wake:
                        self._wake[carrier.id] = Event()
                        self._threads.spawn(self._pump, carrier.id).link_exception(self._loop_died)
            except psycopg.Error as error:
                log.warning("carriers not read", extra={"error": str(error)})
            self._board.stopping.wait(CARRIERS_S)
        self._threads.kill(timeout=2)
        self._jobs.join(timeout=5)

    def _loop_died(self, greenlet: gevent.Greenlet[..., None]) -> None:
        self.on_died(greenlet)

    def wake_all(self) -> None:
        for event in self._wake.values():
            event.set()

    def _listen(self) -> None:
        """Work pushed, room made, a limit changed: the carrier's pump is woken at once instead of polling."""
        redis = self._board.redis
        while True:
            try:
                with cast(Any, redis).pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(WAKE_CHANNEL)
                    self.wake_all()
                    while True:
                        message = channel.get_message(timeout=1.0)
                        if message:
                            self._heard(message["data"].decode())
            except (RedisError, OSError):
                gevent.sleep(0.3)

    def _heard(self, text: str) -> None:
        try:
            event = self._wake.get(UUID(text))
        except ValueError:
            self.wake_all()
            return
        if event is not None:
            event.set()

    def _pump(self, carrier_id: UUID) -> None:
        settings, woken = self._board.settings, self._wake[carrier_id]
        while True:
            woken.clear()
            if not self._board.may_dial:
                woken.wait(0.1)
                continue
            if self._under_way >= self._window.size:
                self._room.clear()
                self._room.wait(settings.pump_idle_s)
                continue
            asked = time.monotonic()
            try:
                answer = permits.grant(self._board.redis, settings, carrier_id, settings.switch)
            except (RedisError, OSError):
                woken.wait(0.2)  # no budget, no dial
                continue
            if isinstance(answer, permits.Grant):
                late = (time.monotonic() - asked) * 1000 > settings.round_trip_ms
                target = asked + answer.slot_us / 1e6
                dial = Dial(self._board, answer, carrier_id, target, self._rest_us[carrier_id], self._record)
                self._start(dial, late=late)
            else:
                wait = settings.pump_idle_s if answer.retry_us is None else answer.retry_us / 1e6
                woken.wait(min(wait, settings.pump_idle_s))

    def _start(self, dial: Dial, *, late: bool) -> None:
        self.counts["granted"] += 1
        self._under_way += 1
        # A permit whose reply took longer than R may name a slot that is earlier than it seems: burned, not used.
        self._jobs.spawn(self._run, dial, late)

    def _run(self, dial: Dial, late: bool) -> None:
        try:
            if late:
                self._give_back(dial)
            else:
                self._job(dial)
        finally:
            self._under_way -= 1
            self._room.set()

    def _job(self, dial: Dial) -> None:
        attempt = str(dial.permit.attempt_id)
        DIALS[attempt] = dial
        try:
            result = self._runner.run(attempt, dial.permit.lane)
            log.info("dial", extra={"attempt": attempt, "result": result, "lane": dial.permit.lane})
            if result == "sent":
                self._window.in_time()
        except (RedisError, OSError) as error:
            # Nothing is lost: unclaimed attempts are swept back, claimed ones have their deadline.
            log.warning("dial job broke off", extra={"attempt": attempt, "error": str(error)})
        finally:
            DIALS.pop(attempt, None)
        if dial.requeue:
            self._give_back(dial)

    def _give_back(self, dial: Dial) -> None:
        self.counts["burned"] += 1
        self._window.late(time.monotonic())
        try:
            permits.requeue(self._board.redis, dial.permit.attempt_id, dial.permit.fence)
        except (RedisError, OSError):
            log.warning("not given back; the sweep will", extra={"attempt": str(dial.permit.attempt_id)})
