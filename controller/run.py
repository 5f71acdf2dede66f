"""Wires one controller together and keeps it running until SIGTERM."""

from __future__ import annotations

import logging
import random
import signal
import sys
from typing import Any, cast
from uuid import uuid4

import gevent
import psycopg
from redis.exceptions import RedisError

from budget.connect import connect
from budget.hold import hold
from budget.worker import DialRunner
from calls.evidence import Evidence, State
from calls.retry import RetryRules
from controller import commands, memory, tombstones
from controller.board import Board
from controller.drained import DrainWatch
from controller.duty import Duty, Heard
from controller.esl import EslError, EslLink
from controller.evidence import LocalRefusal, from_event
from controller.frames import Event
from controller.gateways import Gateways
from controller.hangups import CommandRunner
from controller.inbound import SUBCLASS as INBOUND
from controller.inbound import Inbound
from controller.keeper import Keeper
from controller.pump import Pumps
from controller.reconcile import Reconciler
from controller.takeover import inherit
from controller.warm import warm_up
from controller.writer import EventWriter
from crashpoint import crash_point
from logs import log_to_stderr
from settings import Settings, get_settings
from store.duty import DutyBook
from store.pool import open_database
from store.warm import warm

log = logging.getLogger(__name__)


class Controller:
    """One process, one switch, two links. On duty it acts; standing by it only listens, ready to take over."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.db = open_database(settings, f"controller-{settings.switch}", cooperative=True, warm=warm)
        self.redis = connect(settings)
        rng = random.Random()
        self.duty = Duty(DutyBook(settings, settings.switch, uuid4()), settings.duty_lease_s, able=self._linked)
        self.heard: Heard[Evidence | LocalRefusal] = Heard(settings.duty_keep_s)
        self.link = EslLink(settings, role="commands", rng=rng, may_act=lambda: self.duty.held)
        self.events = EslLink(settings, role="events", rng=rng)
        self.board = Board(settings, self.db, self.redis, self.link, self.events, self.duty, inherited=False)
        self.writer = EventWriter(self.board, RetryRules.of(settings))
        self.inbound = Inbound(self.board, self.writer.record)
        self.reconciler = Reconciler(self.board, self.writer.record, self.writer.waits, self.inbound.found)
        self.duty.regained = self.reconciler.now_please  # who called meanwhile still waits for a decision
        self.commands = CommandRunner(self.board, self.reconciler, self.writer)
        self.runner = DialRunner(self.redis, f"dial-{settings.switch}")
        self.gateways = Gateways(self.board)
        self.pumps = Pumps(self.board, self.runner, self.writer.record, self.gateways.down)
        self.drain = DrainWatch(self.board, self.pumps.wake_all)
        self.keeper = Keeper(self.board, self._other_gateways)
        self.failed = False

    def run(self) -> None:
        """Until SIGTERM: then no new permit; dials under way are finished or given back; what was seen is written; the duty
        is given up, the links are closed. Live calls go on, for the next controller.
        """
        self.writer.on_ended = self.commands.on_ended
        self.events.on_event(self._on_event)
        self.events.register_handle("sofia::gateway_state", self.gateways.on_event)
        self.events.register_handle(INBOUND, self.inbound.on_event)
        self.events.on_up(self._on_events_up)
        self.link.on_up(self._on_up)
        self.duty.took = self._on_duty
        self.duty.lost = self._off_duty
        self.duty.others = self.heard.sure
        greenlets = self.writer.run()
        self.events.start()
        self.link.start()
        loops = (self.duty.run, self.reconciler.run, self.commands.run, self.gateways.run, self.drain.run, self.keeper.run)
        greenlets += [gevent.spawn(loop) for loop in loops]
        for greenlet in greenlets:
            greenlet.link_exception(self._died)
        self.pumps.on_died = self._died
        self.commands.on_died = self._died
        self.drain.on_died = self._died
        self.keeper.on_died = self._died
        try:
            self.pumps.run()
            with gevent.Timeout(10, cast(Any, False)):
                while self.events.dispatcher.backlog:
                    gevent.sleep(0.01)
                self.events.stop()  # what comes from now on is the next controller's to learn: it asks the switch
                while self.writer.backlog:
                    gevent.sleep(0.02)
        finally:
            gevent.killall(greenlets, timeout=2)
            self.duty.leave()
            self.link.stop()
            self.events.stop()
            self.db.close()

    def _died(self, greenlet: gevent.Greenlet[..., None]) -> None:
        """A loop that must not end has ended: half a controller is worse than none. Stop; we are started again."""
        log.critical("a loop died; stopping", extra={"loop": str(greenlet), "error": repr(greenlet.exception)})
        self.failed = True
        self.stop()

    def stop(self) -> None:
        self.board.stopping.set()

    def _linked(self) -> bool:
        return self.link.up and self.events.up

    def _on_duty(self) -> None:
        """What the one before us may not have written down is written again; what it left open is looked into. No permit is
        asked for meanwhile: what is taken back must be the other's.
        """
        self.board.inherited = False
        crash_point("takeover.on_duty")
        for seen in self.heard.take():
            self._take(seen)
        crash_point("takeover.heard")
        # The duty has to be renewed meanwhile.
        gevent.spawn(self._take_over, self.duty.fence).link_exception(self._died)

    def _take_over(self, fence: int | None) -> None:
        try:
            inherit(self.board)
            if self.link.up:
                tombstones.check(self.board)
        except (EslError, RedisError, psycopg.Error, OSError, ValueError) as error:
            log.warning("not all was taken over; the sweeps and reconcile will", extra={"error": str(error)})
        finally:
            if self.duty.fence == fence:  # else another takeover is under way
                self.board.inherited = True
            self.reconciler.now_please()
            self.commands.wake()
            self.gateways.wake()
            self.keeper.wake()
            self.pumps.wake_all()

    def _other_gateways(self) -> None:
        self.gateways.wake()
        self.pumps.wake_all()

    def _off_duty(self) -> None:
        self.board.inherited = False
        # Hangups that wait for their channel are open rows: whoever is on duty now reads them there.
        self.board.kills.clear()
        self.reconciler.forget()

    def _on_events_up(self) -> None:
        # What happened while nobody listened is unknown: only the switch can say.
        self.reconciler.now_please()
        self.pumps.wake_all()

    def _on_up(self) -> None:
        # What the lost connection's socket still held may leave now: those carriers rest before anything else is dialed.
        for carrier, rest_us in list(self.board.unsettled.items()):
            try:
                hold(self.redis, carrier, rest_us)
                del self.board.unsettled[carrier]
            except (RedisError, OSError) as error:
                log.warning("carrier not held", extra={"carrier": str(carrier), "error": str(error)})
        if self.duty.held:
            tombstones.check(self.board)
        self.reconciler.now_please()
        self.commands.wake()
        self.keeper.wake()
        self.pumps.wake_all()

    def _on_event(self, event: Event) -> None:
        seen = from_event(event)
        if isinstance(seen, Evidence) and seen.state is State.DIALING:
            self.board.created.add(seen.attempt_id)
        if seen is not None and not self.duty.on:
            self.heard.add(seen)
        elif seen is not None:
            self._take(seen)

    def _take(self, seen: Evidence | LocalRefusal) -> None:
        if isinstance(seen, LocalRefusal):
            self._on_local_refusal(seen)
        else:
            if seen.state is State.DIALING:
                self.commands.on_created(seen.attempt_id)
            if not self.inbound.keeps(seen):
                self.writer.record(seen)

    def _on_local_refusal(self, refusal: LocalRefusal) -> None:
        """BACKGROUND_JOB says -ERR. With a channel its hangup tells more; without one this is the only word there is."""
        if refusal.attempt_id in self.board.created:
            return
        gevent.spawn(self._confirm_refusal, refusal)

    def _confirm_refusal(self, refusal: LocalRefusal) -> None:
        try:
            exists = self.link.call(commands.uuid_exists(refusal.attempt_id)) == "true"
        except EslError:
            return  # reconcile will ask again
        if not exists and refusal.attempt_id not in self.board.created:
            self.writer.record(refusal.evidence)


def main() -> None:
    """The process's entry, after the patch."""
    log_to_stderr()
    logging.getLogger("rq.worker").setLevel(logging.WARNING)
    controller = Controller(get_settings())
    gevent.signal_handler(signal.SIGTERM, controller.stop)
    gevent.signal_handler(signal.SIGINT, controller.stop)
    warm_up(controller.board, controller.runner)
    memory.settle()
    controller.run()
    if controller.failed:
        sys.exit(1)
