"""Reconcile: what the rows say beside what the switch says, by questions only the switch can answer.

Two rounds before anything is concluded: ``show channels`` lags by up to a second, and a hangup event may still be on its
way to Postgres.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import gevent
import psycopg
from gevent.event import Event
from redis.exceptions import RedisError

from budget import permits
from budget.leases import UNCOUNTED
from calls import watch
from calls.evidence import Evidence, State
from calls.watch import ROUND_S as ROUND_S
from controller import commands, esl_replies, tombstones
from controller.board import Board
from controller.esl import CommandRefused, EslError
from controller.esl_connection import Pending
from controller.esl_wire import Command
from controller.evidence import from_dump
from controller.inbound import PRESENCE
from crashpoint import crash_point
from store import attempts, carriers, switches
from store.queue import Fate, clock, fates

log = logging.getLogger(__name__)

#: Channels or rows handled before other greenlets get their turn; leases renewed by one script. With thousands of calls up,
#: a dial's slot must not wait for this.
BREATH = 50
PAGE = 200
#: Questions in one write to the switch. It answers them one after another, and a dial waits for those before it.
QUESTIONS = 20


@dataclass
class Reconciler:
    """One switch's. ``run`` loops; ``now_please`` asks for a pass at once (after a reconnect).

    ``waits`` tells whether something seen of an attempt is not yet in Postgres.
    """

    board: Board
    record: Callable[[Evidence], None]
    waits: Callable[[UUID], bool]
    callers: Callable[[set[UUID]], None] = lambda _: None  # told of every caller's channel that the switch lists
    _asked: Event = field(default_factory=Event)
    _suspects: dict[UUID, float] = field(default_factory=dict)  # absent since (monotonic)
    _orphans: dict[UUID, float] = field(default_factory=dict)
    _leaks: dict[UUID, float] = field(default_factory=dict)  # leases of what has ended
    _core_since: datetime | None = None
    _catch_up: bool = True  # events may have been missed: each live channel is asked how far it is
    _skipped: set[UUID] = field(default_factory=set)  # too young for the last catching up
    drift: int = 0

    def now_please(self) -> None:
        self._catch_up = True
        self._asked.set()

    def forget(self) -> None:
        """Another controller looks now. What was seen only once must be seen twice again, should it come back to us."""
        self._suspects.clear()
        self._orphans.clear()
        self._leaks.clear()
        self._catch_up = True

    def run(self) -> None:
        """Until killed. A server or switch that is away only delays it."""
        while True:
            self._asked.clear()
            if self.board.link.up and self.board.duty.held:
                try:
                    self.one_pass()
                except (EslError, psycopg.Error, RedisError, OSError, ValueError) as error:
                    log.warning("reconcile broke off", extra={"error": str(error)})
            again = bool(self._suspects or self._orphans or self._leaks or self._skipped)
            self._asked.wait(ROUND_S if again else self.board.settings.reconcile_interval_s)

    def one_pass(self) -> None:
        """One round over all live rows, channels and leases of this switch."""
        # Taken at the start: what asks for another catching up while this pass runs gets its own.
        catch_up, self._catch_up = self._catch_up, False
        try:
            self._pass(catch_up)
        except BaseException:
            self._catch_up = self._catch_up or catch_up
            raise

    def _pass(self, catch_up: bool) -> None:
        settings = self.board.settings
        if not self.board.proves:
            tombstones.check(self.board)
        # Ages go by the one clock of all hosts: ours may be wrong by minutes.
        now = clock(self.board.db)
        self._note_core(now)
        listed, callers = self._channels()
        rows = {r.attempt_id: r for page in attempts.live_pages(self.board.db, settings.switch) for r in page}
        present: list[attempts.LiveAttempt] = []
        ask: list[attempts.LiveAttempt] = []
        skipped: set[UUID] = set()
        for number, (attempt, row) in enumerate(rows.items()):
            if number % BREATH == BREATH - 1:
                gevent.sleep(0)
            missed = catch_up or attempt in self._skipped
            age_s = None if row.claimed_at is None else (now - row.claimed_at).total_seconds()
            doing = watch.look(age_s, listed=attempt in listed, missed=missed)
            if doing is watch.Look.YOUNG:
                if missed:
                    skipped.add(attempt)
            else:
                (present if doing is watch.Look.PRESENT else ask).append(row)
        there = self._exist(ask)
        for row in ask:
            if row.attempt_id not in there:
                self._suspect(row, now)
        present += [row for row in ask if row.attempt_id in there]
        if self._suspects:
            for row in present:
                self._suspects.pop(row.attempt_id, None)
        caught = [row.attempt_id for row in ask if row.attempt_id in there and row.state != State.IN_PROGRESS]
        self._adopt(caught if catch_up else [attempt for attempt in caught if attempt in self._skipped])
        self._skipped = skipped
        for gone in set(self._suspects) - set(rows):
            del self._suspects[gone]
        self._count(present)
        self._kill_orphans(listed - set(rows))
        self._free_leaks(set(rows) | listed, now)
        self.callers(callers)

    def _note_core(self, now: datetime) -> None:
        """A new Core-UUID is a restarted switch: its channels and its tombstones are gone."""
        core = self.board.link.call(commands.global_getvar("core_uuid")).strip()
        self._core_since = switches.seen(
            self.board.db, self.board.settings.switch, core, now, lab=self.board.settings.lab_switch
        )

    def _channels(self) -> tuple[set[UUID], set[UUID]]:
        """Our channels on the switch, and those of them that are callers'. With none, FreeSWITCH leaves out ``rows``."""
        reply = self.board.link.call(commands.show_channels())
        found: set[UUID] = set()
        callers: set[UUID] = set()
        for number, row in enumerate(esl_replies.each_channel(reply)):
            if number % BREATH == BREATH - 1:
                gevent.sleep(0)
            # presence_data says whose it is: other channels of a shared switch are none of our business.
            whose = str(row.get("presence_data", ""))
            if whose.startswith("call_") or whose == PRESENCE:
                with contextlib.suppress(ValueError, KeyError):
                    found.add(UUID(row["uuid"]))
                    if whose == PRESENCE:
                        callers.add(UUID(row["uuid"]))
        return found, callers

    def how_far(self, attempt: UUID) -> Evidence | None:
        """What the channel itself says of its state, None when there is no channel. Raises EslError."""
        try:
            dump = self.board.link.call(commands.uuid_dump(attempt))
        except CommandRefused:
            return None
        return from_dump(attempt, dump, datetime.now(UTC))

    def _exist(self, rows: Sequence[attempts.LiveAttempt]) -> set[UUID]:
        """Those that have a channel. The list does not settle it: it lags."""
        ids = [row.attempt_id for row in rows]
        return {id_ for id_, reply in self._ask(ids, commands.uuid_exists) if esl_replies.exists(reply.accepted())}

    def _adopt(self, ids: Sequence[UUID]) -> None:
        """Events of live channels may have been missed: each one's own dump says how far it is."""
        for attempt, reply in self._ask(ids, commands.uuid_dump):
            try:
                evidence = from_dump(attempt, reply.accepted(), datetime.now(UTC))
            except CommandRefused:
                continue  # gone since it was asked for
            if evidence is not None:
                self.record(evidence)

    def _ask(self, ids: Sequence[UUID], question: Callable[[UUID], Command]) -> Iterator[tuple[UUID, Pending]]:
        """One question each, some in one write: asked one by one, a thousand cost a thousand round trips."""
        for start in range(0, len(ids), QUESTIONS):
            some = ids[start : start + QUESTIONS]
            yield from zip(some, self.board.link.write([question(attempt) for attempt in some]), strict=True)
            gevent.sleep(0)

    def _count(self, present: Iterable[attempts.LiveAttempt]) -> None:
        """Each channel that is up holds a lease, whatever became of the one it was dialed with."""
        rows = list(present)
        for start in range(0, len(rows), PAGE):
            self._count_page(rows[start : start + PAGE])
            gevent.sleep(0)

    def _count_page(self, rows: Sequence[attempts.LiveAttempt]) -> None:
        if permits.renew(self.board.redis, self.board.settings, [r.attempt_id for r in rows]) == len(rows):
            return
        adopted: dict[UUID, int] = {}
        for row in rows:
            if row.fence is not None:
                carrier = row.carrier_id or UNCOUNTED
                lease = permits.Lease(row.attempt_id, row.fence, carrier, self.board.settings.switch)
                if permits.adopt(self.board.redis, self.board.settings, lease, row.lane):
                    adopted[row.attempt_id] = row.fence
        if not adopted:
            return
        crash_point("reconcile.adopted")
        # Asked after it was counted: one that ended while the list was on its way has given its lease back already.
        now = attempts.states(self.board.db, adopted)
        for attempt, fence in adopted.items():
            state = now.get(attempt)
            if watch.leaked(None if state is None else state.state):
                permits.release(self.board.redis, attempt, fence, linger_us=0)
            else:
                log.warning("a live call held no lease", extra={"attempt": str(attempt)})
                self.drift += 1

    def _suspect(self, row: attempts.LiveAttempt, now: datetime) -> None:
        """No channel. The second round decides: never sent, or sent and lost."""
        attempt = row.attempt_id
        waited = time.monotonic() - self._suspects.setdefault(attempt, time.monotonic())
        if not watch.ripe(waited, waits=self.waits(attempt), backlog=self.board.events.dispatcher.backlog > 0):
            return
        reply = self.board.link.call(commands.hash_select(self.board.settings.tombstone_realm, attempt))
        # A caller's channel was there: it needs no proof.
        tombstone = row.inbound or esl_replies.fence(reply) is not None or attempt in self.board.unproved
        since, grace_s = self._core_since, self.board.settings.esl_grace_s
        cause = watch.absent(waited, tombstone=tombstone, claimed_at=row.claimed_at, core_since=since, grace_s=grace_s)
        if cause is None:
            return
        end = watch.gone(
            attempt,
            cause,
            now,
            ringing_at=row.ringing_at,
            answered_at=row.answered_at,
            requested_by=self.board.kills.get(attempt),  # we asked for it, and the answer was lost with a link
            restarted=watch.restarted_under(row.claimed_at, since),
        )
        log.warning("row without channel", extra={"attempt": str(attempt), "cause": cause, "state": row.state})
        self.drift += 1
        self._suspects.pop(attempt, None)
        crash_point("reconcile.concluded")
        self.record(end)

    def _kill_orphans(self, unknown: set[UUID]) -> None:
        """A channel of ours whose row has ended: nobody watches it any more, so it must not ring on."""
        now = time.monotonic()
        for attempt in unknown:
            if not watch.stray(now - self._orphans.setdefault(attempt, now), waits=self.waits(attempt)):
                continue
            state = attempts.states(self.board.db, [attempt]).get(attempt)
            if state is None or state.state != State.ENDED:
                continue
            far = self.how_far(attempt)
            if not watch.must_end(state.state, None if far is None else far.state):
                continue
            log.warning("channel without row", extra={"attempt": str(attempt)})
            with contextlib.suppress(CommandRefused):  # gone since it was listed
                self.board.link.call(commands.uuid_kill(attempt, "NORMAL_CLEARING"))
                self.drift += 1
        self._orphans = {a: t for a, t in self._orphans.items() if a in unknown}

    def _free_leaks(self, alive: set[UUID], now: datetime) -> None:
        """A lease of this switch whose attempt has ended and whose channel is gone: its release was lost, or somebody else
        told of the end. Seen in two rounds: the CDR's word is a moment ahead of the event, which gives it back by itself.
        """
        known = [c.id for c in carriers.list_limits(self.board.db)]
        held = [
            x
            for x in permits.leases(self.board.redis, known)
            if x.switch == self.board.settings.switch and x.attempt_id not in alive
        ]
        known_fates = fates(self.board.db, [x.attempt_id for x in held]) if held else {}
        seen, still = time.monotonic(), {}
        for lease in held:
            attempt, fate = lease.attempt_id, known_fates.get(lease.attempt_id)
            if not watch.leaked(None if fate is None else fate.state):
                continue
            since = self._leaks.get(attempt, seen)
            if not watch.ripe(seen - since, waits=self.waits(attempt), backlog=False):
                still[attempt] = since
                continue
            log.warning("lease without call", extra={"attempt": str(attempt)})
            permits.release(self.board.redis, attempt, lease.fence, linger_us=self._linger_us(fate, now))
            self.board.link.write([commands.hash_delete(self.board.settings.tombstone_realm, attempt)])
            self.drift += 1
        self._leaks = still

    def _linger_us(self, fate: Fate | None, now: datetime) -> int | None:
        """As after the event (EventWriter): a switch that was restarted under a call sent no BYE, and an INVITE that nobody
        answered is sent on until timer T1X64 has passed. None: the carrier's own linger.
        """
        if fate is None or fate.local or fate.ended_at is None:
            return None
        if fate.crashed and watch.restarted_under(fate.claimed_at, self._core_since):
            lasts = self.board.settings.crash_linger_s
        elif fate.silent:
            lasts = self.board.settings.sip_death_s
        else:
            return None
        left = min(lasts, lasts - (now - fate.ended_at).total_seconds())  # by the switch's clock, which may be ahead
        return int(left * 1_000_000) if left > 0 else None
