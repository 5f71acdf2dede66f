"""Calls that carriers place to us: announced by the dialplan, taken or refused here, then the relay's like any other.

A call is counted in the budget, written down, and rung, in this order, and each step is the same when it is done twice: by
an event that comes twice, by the controller after this one, by reconcile. What cannot be decided because Postgres or Redis
is away is tried again while the caller waits, and refused with 503 when that has taken too long.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import gevent
import psycopg
from gevent.pool import Pool
from redis.exceptions import RedisError

from budget import permits
from budget.inbound import admit
from budget.leases import UNCOUNTED
from calls import inbound
from calls.evidence import Evidence, State
from calls.switch_words import micros, uuid_of
from controller import commands, esl_replies, inbound_commands
from controller.board import Board, Seen
from controller.esl import CommandRefused, EslError
from controller.frames import Event, EventError, text_of
from store import inbound as store

log = logging.getLogger(__name__)

SUBCLASS = "trunkline::inbound"
#: What the dialplan notes on a caller's channel (presence_data).
PRESENCE = "inbound"
#: s; a caller waits so long for a decision, and hears nothing meanwhile; between two tries.
PATIENCE_S, AGAIN_S = 5.0, 0.25
#: Scopes whose limit is the called one's own: the caller hears busy. Any other is the house's: the carrier may route on.
_THEIRS = ("tenant", "agents")


class _NotNow(Exception):
    """There is no budget to count in just now."""


class Inbound:
    """One switch's callers. ``record`` takes what is seen of them once their row is there."""

    def __init__(self, board: Board, record: Callable[[Evidence], None]) -> None:
        self._board = board
        self._record = record
        self._decided = Seen()
        self._open: dict[UUID, list[Evidence]] = {}  # being decided on; what is seen of them meanwhile
        self._work = Pool()
        self.counts = {"taken": 0, "refused": 0}

    # --- what is heard --------------------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """The dialplan says that somebody calls."""
        offer = offer_of(event, self._board.settings.switch)
        if offer is None:
            log.error("a call without an id or a time: left to the switch", extra={"channel": text_of(event, "Unique-ID")})
        elif self._may_decide(offer.attempt_id):
            self._begin(offer.attempt_id, offer)

    def found(self, channels: Iterable[UUID]) -> None:
        """The switch lists these callers; those that nobody here has decided on are asked what they are."""
        for channel in channels:
            if self._may_decide(channel):
                self._begin(channel, None)

    def keeps(self, seen: Evidence) -> bool:
        """Whether it is kept back here, because its row may not be there yet."""
        waiting = self._open.get(seen.attempt_id)
        if waiting is None:
            return False
        waiting.append(seen)
        return True

    def _may_decide(self, channel: UUID) -> bool:
        known = channel in self._decided or channel in self._open
        return not known and self._board.duty.held and not self._board.stopping.is_set()

    def _begin(self, channel: UUID, offer: store.Offer | None) -> None:
        self._open[channel] = []
        self._work.spawn(self._see_to, channel, offer)

    # --- what is decided ------------------------------------------------------------------------------------------

    def _see_to(self, channel: UUID, offer: store.Offer | None) -> None:
        try:
            if offer is None:
                offer = self._ask(channel)
            if offer is None or self._try(offer):
                self._decided.add(channel)
        except EslError as error:
            log.warning("a caller waits for the switch's link", extra={"attempt": str(channel), "error": str(error)})
        finally:
            # Without a row there is nothing to tell: then the writer finds none, and forgets it.
            for seen in self._open.pop(channel):
                self._record(seen)

    def _ask(self, channel: UUID) -> store.Offer | None:
        try:
            dump = esl_replies.dump(self._board.link.call(commands.uuid_dump(channel)))
        except (CommandRefused, EventError):
            return None  # gone since it was listed
        answered = text_of(dump, "Answer-State") == "answered"
        return None if answered else offer_of(dump, self._board.settings.switch)

    def _try(self, offer: store.Offer) -> bool:
        """Decides, as soon as all who are to be asked are there. False: left to the next controller. Raises EslError."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._decide(offer)
                return True
            except (_NotNow, psycopg.Error, RedisError, OSError) as error:
                ended = any(seen.state is State.ENDED for seen in self._open.get(offer.attempt_id, ()))
                if ended or not self._board.duty.held:
                    return False
                if time.monotonic() >= until:
                    log.error("a caller refused undecided", extra={"attempt": str(offer.attempt_id), "error": str(error)})
                    self._send_away(offer, "NORMAL_TEMPORARY_FAILURE", "no_budget")
                    return True
            gevent.sleep(AGAIN_S)

    def _decide(self, offer: store.Offer) -> None:
        board, settings = self._board, self._board.settings
        asked = store.ask(board.db, offer)
        line, carrier = asked.line, asked.carrier_id
        if asked.before is not None:
            self._go_on(offer, asked.before)
            return
        if asked.drained:
            self._send_away(offer, "NORMAL_TEMPORARY_FAILURE", "drained")
            return
        if line is None:
            self._send_away(offer, "UNALLOCATED_NUMBER", "unknown_number")
            return
        if line.paused:
            self._refuse(offer, line, carrier, "NO_ANSWER", inbound.AGENT_PAUSED)
            return
        fence, full = admit(board.redis, settings, offer.attempt_id, carrier, line.lane)
        if full == "not_ready":
            raise _NotNow("the budget is being rebuilt")
        if fence is None:
            theirs = full.partition(":")[0] in _THEIRS
            log.info("a caller finds no place", extra={"attempt": str(offer.attempt_id), "full": full})
            cause, note = ("USER_BUSY", inbound.AGENT_BUSY) if theirs else ("NORMAL_CIRCUIT_CONGESTION", inbound.HOUSE_FULL)
            self._refuse(offer, line, carrier, cause, note)
            return
        self._take(offer, line, carrier, fence)

    def _take(self, offer: store.Offer, line: store.Line, carrier: UUID | None, fence: int) -> None:
        taken = self._write(offer, line, carrier, fence)
        self.counts["taken"] += taken.new
        if taken.state == State.ENDED or taken.fence != fence:
            # Somebody else has written it down, refused, or has seen its end.
            permits.release(self._board.redis, offer.attempt_id, fence, linger_us=0)
        else:
            # A rebuild may have wiped the lease, and have read the rows before ours was there. What is seen of its end
            # meanwhile is kept back here, and gives this back.
            lease = permits.Lease(offer.attempt_id, fence, carrier or UNCOUNTED, offer.switch)
            permits.adopt(self._board.redis, self._board.settings, lease, line.lane)
        self._go_on(offer, taken)

    def _go_on(self, offer: store.Offer, taken: store.Taken) -> None:
        """What follows once the row is there, by whomever it was written."""
        if taken.state != State.DIALING:
            return  # rung already, or over
        if taken.fence is None:
            self._kill(offer, "NORMAL_CIRCUIT_CONGESTION", inbound.HOUSE_FULL)
            return
        with suppress(CommandRefused):  # gone meanwhile: its end is on its way
            self._board.link.call(inbound_commands.ring_ready(offer.attempt_id))

    def _refuse(self, offer: store.Offer, line: store.Line, carrier: UUID | None, cause: str, note: str) -> None:
        """On record as a call that ended so; the caller hears what the cause stands for."""
        taken = self._write(offer, line, carrier, None)
        if taken.fence is None and taken.state != State.ENDED:
            self.counts["refused"] += taken.new
            self._kill(offer, cause, note)

    def _write(self, offer: store.Offer, line: store.Line, carrier: UUID | None, fence: int | None) -> store.Taken:
        settings = self._board.settings
        days = settings.recording_days if settings.records else None
        terms = store.Terms(settings.ring_timeout_s, settings.max_duration_s, settings.pdd_s, days)
        return store.accept(self._board.db, offer, line, carrier_id=carrier, fence=fence, terms=terms)

    def _send_away(self, offer: store.Offer, cause: str, reason: str) -> None:
        """No call is made of it: counted, and nothing else."""
        self.counts["refused"] += 1
        with suppress(CommandRefused):
            self._board.link.call(commands.uuid_kill(offer.attempt_id, cause))
        try:
            store.refuse(self._board.db, offer.switch, reason, offer.dialed, datetime.now(UTC))
        except (psycopg.Error, OSError) as error:
            log.warning("a refused caller was not counted", extra={"reason": reason, "error": str(error)})

    def _kill(self, offer: store.Offer, cause: str, note: str) -> None:
        """Says why on the channel itself, whose last event tells, and refuses it."""
        attempt = offer.attempt_id
        *said, killed = self._board.link.write(
            [
                commands.uuid_setvar(attempt, "trunkline_hangup_by", "platform"),
                commands.uuid_setvar(attempt, "trunkline_end_reason", note),
                commands.uuid_kill(attempt, cause),
            ]
        )
        for pending in (*said, killed):
            pending.wait()


def offer_of(event: Event, switch: str) -> store.Offer | None:
    """A caller's channel as its event or its dump tells it; None for one that is no caller of ours, or tells no time.

    Numbers are taken as numbers or not at all; names and display texts are not read.
    """
    attempt = uuid_of(text_of(event, "Unique-ID"))
    at = micros(text_of(event, "Caller-Channel-Created-Time"))
    ours = uuid_of(text_of(event, "variable_trunkline_attempt")) == attempt
    if attempt is None or at is None or not ours or text_of(event, "Call-Direction") != "inbound":
        return None
    caller = text_of(event, "Caller-Caller-ID-Number")
    port = text_of(event, "variable_sip_network_port") or ""
    return store.Offer(
        attempt_id=attempt,
        switch=switch,
        at=at,
        from_number=inbound.caller_of(caller),
        dialed=inbound.dialed(text_of(event, "Caller-Destination-Number")),
        caller=inbound.dialed(caller),
        host=_host(text_of(event, "variable_sip_network_ip")),
        port=int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else None,
        sip_call_id=(text_of(event, "variable_sip_call_id") or "")[:128],
    )


def _host(text: str | None) -> str:
    try:
        return str(ipaddress.ip_address(text or ""))
    except ValueError:
        return ""
