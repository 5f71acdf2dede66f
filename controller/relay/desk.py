"""All calls of one relay: which event belongs to whom, which calls begin, and which were under way already."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from calls.recording import attempt_of
from controller.frames import Event, text_of
from controller.relay.book import BookClosed
from controller.relay.drain import kept_elsewhere
from controller.relay.earpiece import MediaConnection
from controller.relay.handover import put_through
from controller.relay.leg import Ending, Parts
from controller.relay.recorder import PLAYED as FILE_PLAYED
from controller.relay.session import CallSession
from controller.relay.switch import Switch, SwitchDown, answered_at
from store.call_actions import CUT_SHORT, NOT_PLAYED, PLAYED, TAG
from store.holds import Wish
from store.transfers import Open

log = logging.getLogger(__name__)

EVENTS = (
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_ANSWER",
    "CHANNEL_BRIDGE",
    "CHANNEL_PARK",
    "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_EXECUTE_COMPLETE",
    "PLAYBACK_START",
    "RECORD_START",
    "RECORD_STOP",
    "DTMF",
)
SUBCLASSES = ("mod_audio_fork::connect_failed",)  # the socket itself tells of the rest

#: s; an event cannot be older than this, whatever its time says.
_EVENT_AGE_S = 0.5
#: s; between two looks while another relay carries calls that will be ours when it lets go of them.
_ELSEWHERE_S = 1.0
#: s; for every call to say goodbye when the relay stops.
_CLOSE_S = 5.0
#: Call-Direction and sip_hangup_disposition -> who hung up.
_BYE = {("outbound", "recv_bye"): "callee", ("inbound", "recv_bye"): "caller", ("inbound", "recv_cancel"): "caller"}


class Desk:
    """Sessions by attempt. The ``on_`` methods never wait."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sessions: dict[UUID, CallSession] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._clock = asyncio.get_running_loop().time
        self._closed = False
        self._elsewhere = False  # a draining relay was seen to carry calls

    @property
    def count(self) -> int:
        """Calls being served."""
        return len(self._sessions)

    @property
    def attempts(self) -> list[UUID]:
        """Whose calls they are."""
        return list(self._sessions)

    @property
    def switch(self) -> Switch:
        return self._parts.switch

    # --- what the switch tells -----------------------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        """One event of the switch, in order."""
        try:
            attempt = UUID(text_of(event, "Unique-ID") or "")
        except ValueError:
            return
        session = self._sessions.get(attempt)
        if session is not None:
            session.leg.playing.on_event(event, self._clock() - _age(event))
        match text_of(event, "Event-Name"):
            # A caller's comes when the controller has taken the call: its row is there.
            case "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" if session is None:
                if _is_ours(event, attempt) and not self._closed:
                    self._begin(attempt)
            case "CHANNEL_ANSWER":
                if session is None and _is_ours(event, attempt) and not self._closed:
                    session = self._begin(attempt)
                if session is not None:
                    session.leg.answer(_when(event))
            case "CHANNEL_BRIDGE":
                for name in ("Bridge-A-Unique-ID", "Bridge-B-Unique-ID"):
                    with suppress(ValueError):
                        if (side := self._sessions.get(UUID(text_of(event, name) or ""))) is not None:
                            side.put_through()
            case "RECORD_START" | "RECORD_STOP" as name:
                # Also of a call that this relay does not carry, or not any more: the file is closed after the hangup.
                if _is_ours(event, attempt) and attempt_of(text_of(event, "Record-File-Path") or "") == attempt:
                    self._parts.book.recording(attempt, "started" if name == "RECORD_START" else "stopped", _when(event))
            case name:
                if name == "CHANNEL_EXECUTE_COMPLETE" and (text_of(event, "Application-UUID") or "").startswith(TAG):
                    self._of_an_action(attempt, event, session)
                elif session is not None and name is not None:
                    self._pass_on(session, name, event)

    def _of_an_action(self, attempt: UUID, event: Event, session: CallSession | None) -> None:
        """The end of a file that was asked for, also in a call that this relay does not carry."""
        playback, whole = text_of(event, "Application-UUID") or "", True
        if session is not None and session.talk is not None and text_of(event, "Application") == "playback":
            whole = session.talk.on_others_played(self._clock() - _age(event))
        response = text_of(event, "Application-Response") or "no word"
        if text_of(event, "Answer-State") == "hangup":
            result = CUT_SHORT  # the switch calls that played too
        elif not whole:
            result = f"{NOT_PLAYED}: cut off"  # and that
        else:
            result = PLAYED if response == FILE_PLAYED else f"{NOT_PLAYED}: {response}"
        with suppress(ValueError):
            self._parts.book.played(attempt, UUID(playback.removeprefix(TAG)), result)

    def _pass_on(self, session: CallSession, name: str, event: Event) -> None:
        talk = session.talk
        match name:
            case "CHANNEL_HANGUP_COMPLETE":
                by = text_of(event, "variable_trunkline_hangup_by")
                how = text_of(event, "variable_sip_hangup_disposition") or ""
                by = by or _BYE.get((text_of(event, "Call-Direction") or "", how))
                session.leg.hung_up(text_of(event, "Hangup-Cause"), by)
            case "CHANNEL_PARK":
                session.leg.parked.set()
            case _ if talk is None:
                return  # nobody to tell yet
            case "DTMF":
                digit, duration = text_of(event, "DTMF-Digit"), text_of(event, "DTMF-Duration")
                if digit is not None:
                    # The switch counts in samples of 1/8000 s.
                    talk.on_dtmf(digit, int(duration) // 8 if duration and duration.isdecimal() else None)
            case "PLAYBACK_START":
                path = text_of(event, "Playback-File-Path")
                if path is not None:
                    talk.on_playback(path, self._clock() - _age(event))
            case "CHANNEL_EXECUTE_COMPLETE":
                playback = text_of(event, "Application-UUID")
                if text_of(event, "Application") == "playback" and playback is not None:
                    talk.on_played(playback, text_of(event, "Application-Response") or "", self._clock() - _age(event))
            case "CUSTOM":
                if text_of(event, "Event-Subclass") == "mod_audio_fork::connect_failed":
                    talk.on_fork_failed()

    # --- what the switch's media module does ---------------------------------------------------------------------

    async def serve_fork(self, attempt: UUID, fork: MediaConnection) -> None:
        """A media socket of the switch, until it closes. It may be there before any event of its call."""
        session = self._sessions.get(attempt)
        if session is None:
            if self._closed:
                await fork.close(1012, "the relay stops")
                return
            session = self._begin(attempt)
        await session.serve_fork(fork)

    # --- calls ---------------------------------------------------------------------------------------------------

    def transferring(self, attempt: UUID) -> None:
        """A transfer of that attempt's is under way."""
        if (session := self._sessions.get(attempt)) is not None:
            session.transferring()

    def hand_to(self, wanted: Open) -> None:
        """Another agent is to take over in a call of ours; in one that another relay carries, it is that one's to do."""
        if (session := self._sessions.get(wanted.attempt_id)) is not None:
            session.hand_to(wanted)

    def hold(self, wish: Wish) -> None:
        """A call of ours is to be held, or talked on; told again, nothing more."""
        if (session := self._sessions.get(wish.attempt_id)) is not None:
            session.hold(wish)

    def not_transferred(self, attempt: UUID, action: str, reason: str) -> bool:
        """The second leg of a transfer of that attempt's came to nothing. False: it is not, or not yet, ours to say so."""
        session = self._sessions.get(attempt)
        return session is not None and session.not_transferred(action, reason)

    def _begin(self, attempt: UUID, *, resumed: bool = False, through: bool = False) -> CallSession:
        session = self._sessions[attempt] = CallSession(attempt, self._parts, resumed=resumed, put_through=through)
        task = asyncio.create_task(self._serve(attempt, session), name=f"session {attempt}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return session

    async def _serve(self, attempt: UUID, session: CallSession) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[attempt]

    async def adopt(self) -> None:
        """Take up calls this relay should know of and does not, and let go of those whose end it missed.

        After a restart, or after a time without events. Raises :class:`SwitchDown` or :class:`BookClosed`.
        """
        switch = self._parts.switch
        elsewhere = False
        for attempt in {*await self._parts.book.live(), *self._sessions}:
            session = self._sessions.get(attempt)
            if session is not None and session.leg.answered.is_set() and not session.leg.transferring:
                if not await switch.exists(attempt):
                    session.leg.hung_up(None, None)
                continue
            channel = await switch.look(attempt)
            session = self._sessions.get(attempt)  # events came meanwhile
            if channel is None:
                if session is not None:
                    session.leg.hung_up(None, None)
                continue
            answered = answered_at(channel)
            if session is None and kept_elsewhere(channel):
                elsewhere = True
                continue
            if session is None and not self._closed and (answered or _rang(channel)) and _is_ours(channel, attempt):
                log.warning("attempt %s: found under way, taken up again", attempt)
                session = self._begin(attempt, resumed=answered is not None, through=put_through(channel))
            elif session is not None and put_through(channel):
                session.put_through()  # the event of that was missed
            if session is not None and answered:
                session.leg.answer(answered)
                if text_of(channel, "Channel-State") == "CS_EXECUTE":
                    session.leg.parked.set()
        self._elsewhere = elsewhere

    async def watch(self, wanted: asyncio.Event) -> None:
        """:meth:`adopt` whenever ``wanted`` is set, and every ``reconcile_interval_s``; until cancelled."""
        while True:
            try:
                interval_s = self._parts.settings.reconcile_interval_s
                async with asyncio.timeout(min(interval_s, _ELSEWHERE_S) if self._elsewhere else interval_s):
                    await wanted.wait()
            except TimeoutError:
                log.debug("time to look")
            wanted.clear()
            try:
                await self._parts.switch.wait_up(self._parts.settings.reconcile_interval_s)
                await self.adopt()
            except (TimeoutError, SwitchDown, BookClosed) as error:
                log.warning("could not look for calls under way: %s", error)

    def take_no_more(self) -> None:
        """No new call; those that need the port to go on (not answered yet, no media socket yet) are let go of."""
        self._closed = True
        self._parts.draining.set()
        for session in self._sessions.values():
            if session.talk is None or not session.talk.flows:
                session.leg.end(Ending("relay_restart", None))

    async def close(self) -> None:
        """Let go of every call without hanging up: the next relay takes them up."""
        self._closed = True
        for session in self._sessions.values():
            session.leg.end(Ending("relay_restart", None))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_S)
        for task in self._tasks:
            task.cancel()


def _is_ours(event: Event, attempt: UUID) -> bool:
    return text_of(event, "variable_trunkline_attempt") == str(attempt)


def _rang(channel: Event) -> bool:
    times = ("Caller-Channel-Progress-Time", "Caller-Channel-Progress-Media-Time")
    return any(text_of(channel, name) not in (None, "0") for name in times)


def _micros(event: Event) -> int | None:
    stamp = text_of(event, "Event-Date-Timestamp")
    return int(stamp) if stamp and stamp.isdecimal() else None


def _when(event: Event) -> datetime:
    """The event's own time; now, if it has none."""
    stamp = _micros(event)
    return datetime.now(UTC) if stamp is None else datetime.fromtimestamp(stamp / 1e6, UTC)


def _age(event: Event) -> float:
    """s since the switch made the event: its listener looks only every 20 ms when it is idle."""
    stamp = _micros(event)
    if stamp is None:
        return 0.0
    return min(max(datetime.now(UTC).timestamp() - stamp / 1e6, 0.0), _EVENT_AGE_S)
