"""One pump a carrier: asks for permits and starts a dial job for each, sleeping exactly as long as the refusal says."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

import gevent
import psycopg
from gevent.event import Event
from gevent.pool import Pool
from redis.exceptions import RedisError

from budget import permits
from budget.line import Line
from budget.scripts import WAKE_CHANNEL
from budget.worker import DialJob, DialRunner
from calls.evidence import Evidence
from controller.board import Board
from controller.dial import Dial, place_call
from controller.lead import LeadMeter
from controller.window import DialWindow
from crashpoint import crash_point
from settings import Settings
from store import carriers, trunks
from store.together import BrokenOff, Together

log = logging.getLogger(__name__)

#: s; how soon a new carrier is noticed.
CARRIERS_S = 1.0
#: s; a longer wait for one's turn may be broken off: a rate may have been raised.
DEAF_S = 0.05
#: s; how often the counts go into the log, when they have changed.
TELL_S = 10.0
#: Jobs whose end is told to Redis in one go.
ENDS = 64


def slot_times(settings: Settings, slot_s: float, asked: float, replied: float) -> tuple[float, float]:
    """(earliest, latest) monotonic time at which the INVITE of a permit may be written; none when latest <= earliest.

    The slot lies ``slot_s`` after the moment Redis ran the script, which was somewhere between asking and the reply. Written
    not before reply + slot - R and not after asking + slot + G, it is never more than R early nor G late, whatever that
    moment was: J >= G + R + the switch's jitter holds, and a slow reply only narrows the time there is.
    """
    earliest = max(asked, replied - settings.round_trip_ms / 1000) + slot_s
    return earliest, asked + slot_s + settings.slot_grace_ms / 1000


class Pumps:
    """The pumps of one controller, and the ear that wakes them."""

    def __init__(
        self,
        board: Board,
        runner: DialRunner,
        record: Callable[[Evidence], None],
        unreachable: Callable[[UUID], bool] = lambda _: False,
    ) -> None:
        self._board = board
        self._runner = runner
        self._record = record
        self._unreachable = unreachable  # from this switch
        self._wake: dict[UUID, Event] = {}
        self._rest_us: dict[UUID, int] = {}
        self._jobs = Pool(board.settings.dial_greenlets)
        self._threads = Pool()
        self._pumps = Pool()
        self._window = DialWindow(board.settings.dial_greenlets)
        self._under_way = 0
        self._room = Event()
        self._lead = LeadMeter(board.settings.slot_lead_min_ms / 1000, board.settings.slot_lead_ms / 1000)
        self._later = Pool()
        self._ends: Together[tuple[Dial, DialJob], None] = Together(self._end, most=ENDS)
        self.counts = {"asked": 0, "granted": 0, "burned": 0}
        self._budget_away = False
        self._told: dict[str, int] = {}
        self._told_at = 0.0
        self.on_died: Callable[[gevent.Greenlet[..., None]], None] = lambda _: None

    def run(self) -> None:
        """Starts a pump for each carrier there is or will be; returns when the board stops, its dial jobs done."""
        self._threads.spawn(self._listen).link_exception(self._loop_died)
        while not self._board.stopping.is_set():
            try:
                # The laboratory asks for its own carriers alone, and nobody else for them; the claim holds both to it.
                lab = self._board.settings.lab_switch
                known = [one for one in carriers.list_limits(self._board.db) if one.lab == lab]
                self._board.trunks = {trunk.id: trunk for trunk in trunks.list_trunks(self._board.db)}
                for carrier in known:
                    jitter = self._board.settings.jitter_for(carrier.jitter_ms, carrier.invite_cost)
                    self._rest_us[carrier.id] = int((carrier.window_ms + jitter) * 1000)
                    if carrier.id not in self._wake:
                        self._wake[carrier.id] = Event()
                        self._pumps.spawn(self._pump, carrier.id).link_exception(self._loop_died)
            except psycopg.Error as error:
                log.warning("carriers not read", extra={"error": str(error)})
            self._tell(time.monotonic())
            self._board.stopping.wait(CARRIERS_S)
        # A request that is under way may be granted: its permits are waited for, and go back to the front of their lanes.
        self.wake_all()
        self._room.set()
        self._pumps.join(timeout=self._board.settings.redis_timeout_s + 1)
        self._pumps.kill(timeout=1)
        self._tell(None)
        self._threads.kill(timeout=2)
        self._later.kill(timeout=2)
        self._jobs.join(timeout=5)

    def _tell(self, now: float | None) -> None:
        """Permits asked for, had and burned so far: what the budget costs, and what a slow machine costs."""
        if self.counts != self._told and (now is None or now - self._told_at >= TELL_S):
            self._told, self._told_at = dict(self.counts), now or 0.0
            log.info("permits", extra={**self.counts, "lead_ms": round(self._lead.lead_s * 1000, 1)})

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
        """``<carrier> <switch or *> <delay us>``: come for what has become free, now or when it has stopped counting."""
        words = text.split(" ")
        if text in ("*", "epoch"):
            self.wake_all()
        if len(words) != 3 or words[1] not in ("*", self._board.settings.switch):
            return
        try:
            event, delay_us = self._wake.get(UUID(words[0])), int(words[2])
        except ValueError:
            return
        if event is not None and delay_us > 0:
            self._later.start(gevent.spawn_later(delay_us / 1e6, event.set))
        elif event is not None:
            event.set()

    def _pump(self, carrier_id: UUID) -> None:
        settings = self._board.settings
        with Line(self._board.redis, settings, carrier_id, settings.switch) as line:
            while not self._board.stopping.is_set():
                self._turn(carrier_id, line, self._wake[carrier_id])

    def _turn(self, carrier_id: UUID, line: Line, woken: Event) -> None:
        settings = self._board.settings
        woken.clear()
        if not self._board.may_dial or self._unreachable(carrier_id):
            woken.wait(0.1)
            return
        room = self._window.size - self._under_way
        if room <= 0:
            self._room.clear()
            self._room.wait(settings.pump_idle_s)
            return
        lead_s = self._lead.lead_s
        want = min(room, settings.grants_at_once)
        duty = self._board.duty.fence
        asked = time.monotonic()
        try:
            answer = line.grant(want=want, lead_us=int(lead_s * 1e6))
        except (RedisError, OSError) as error:
            self._no_budget(error)
            woken.wait(0.2)  # no budget, no dial
            return
        self._budget_away = False
        replied = time.monotonic()
        dials = []
        for permit in answer.grants:
            crash_point("pump.granted")
            target, use_by = slot_times(settings, permit.slot_us / 1e6, asked, replied)
            rest_us = self._rest_us[carrier_id]
            dials.append(Dial(self._board, permit, carrier_id, target, use_by, lead_s, rest_us, self._record, duty))
        self._start(dials)
        self.counts["asked"] += 1
        self._wait(woken, answer, replied)

    def _no_budget(self, error: Exception) -> None:
        if not self._budget_away:
            log.warning("no budget: nothing is dialed", extra={"error": str(error)})
        self._budget_away = True

    def _wait(self, woken: Event, answer: permits.Answer, replied: float) -> None:
        idle = self._board.settings.pump_idle_s
        wait = idle if answer.next_us is None else min(idle, max(0.0, replied + answer.next_us / 1e6 - time.monotonic()))
        if answer.paced and wait <= DEAF_S:
            gevent.sleep(wait)  # only time has to pass; asking sooner would be in vain
        else:
            woken.wait(wait)

    def _start(self, dials: Sequence[Dial]) -> None:
        self.counts["granted"] += len(dials)
        self._under_way += len(dials)
        in_time = [dial for dial in dials if dial.use_by > dial.target]
        try:
            jobs = self._runner.begin([(str(d.permit.attempt_id), d.permit.lane) for d in in_time]) if in_time else []
        except (RedisError, OSError) as error:
            # Nothing is lost: what is popped and not claimed is swept back.
            log.warning("dial jobs not begun", extra={"count": len(in_time), "error": str(error)})
            self._under_way -= len(in_time)
            dials, jobs = [dial for dial in dials if dial not in in_time], []
        begun = dict(zip(map(id, in_time), jobs, strict=False))
        for dial in dials:
            self._jobs.spawn(self._run, dial, begun.get(id(dial)))

    def _run(self, dial: Dial, job: DialJob | None) -> None:
        try:
            if job is None:
                self._give_back(dial)
            else:
                self._job(dial, job)
        finally:
            self._under_way -= 1
            self._room.set()

    def _job(self, dial: Dial, job: DialJob) -> None:
        def work() -> None:
            dial.result = place_call(dial)

        try:
            done = self._runner.run(job, work)
            log.info("dial", extra={"attempt": job.attempt_id, "result": dial.result, "lane": job.lane})
            if dial.ready_s is not None:
                self._lead.took(dial.ready_s)
            if dial.result == "sent":
                self._window.in_time()
            if done:
                self._ends.do((dial, job))
        except (RedisError, OSError, BrokenOff) as error:
            # Nothing is lost: unclaimed attempts are swept back, claimed ones have their deadline, RQ's books are tidied.
            log.warning("dial job broke off", extra={"attempt": job.attempt_id, "error": str(error)})
        if dial.requeue:
            self._give_back(dial)

    def _end(self, ended: Sequence[tuple[Dial, DialJob]]) -> list[None]:
        """Permits that were used are marked, and all these jobs are taken off RQ's books."""
        claimed = [(dial.permit.attempt_id, dial.permit.fence) for dial, _ in ended if dial.acknowledged]
        permits.mark_all_claimed(self._board.redis, claimed)
        self._runner.end([job for _, job in ended])
        return [None] * len(ended)

    def _give_back(self, dial: Dial) -> None:
        self.counts["burned"] += 1
        self._window.late(time.monotonic())
        if dial.missed:
            self._lead.missed()
        try:
            permits.requeue(self._board.redis, dial.permit.attempt_id, dial.permit.fence)
        except (RedisError, OSError):
            log.warning("not given back; the sweep will", extra={"attempt": str(dial.permit.attempt_id)})
