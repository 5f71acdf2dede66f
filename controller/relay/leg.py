"""The phone's side of one call, as all parts of the relay see it: ringing, answered, gone, and why it is to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from controller.relay.audio import AudioFiles
from controller.relay.beat import Beat
from controller.relay.book import Book
from controller.relay.earpiece import MediaConnection
from controller.relay.playing import Playing
from controller.relay.spoken import Spoken
from controller.relay.switch import Switch
from settings import Settings

if TYPE_CHECKING:
    from controller.relay.seat import Seats

log = logging.getLogger(__name__)

#: s; the switch parks an answered channel within 20 ms. Without its word audio goes out all the same.
_PARK_S = 0.5


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the relay is done with a call."""

    reason: str  # one of the end reasons of docs/agent-protocol.md
    by: str | None  # callee, agent, platform, ...; None: not known
    kill: bool = False  # the channel is up and has to go
    cause: str | None = None  # the switch's hangup cause, once there is one


class Sounding(Protocol):
    """What a callee hears of ours."""

    def pause(self) -> None:
        """Somebody else is about to talk to the callee: nothing more begins, until :meth:`go_on`."""

    def go_on(self) -> None:
        """It came to nothing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every call of a relay shares."""

    settings: Settings
    switch: Switch
    files: AudioFiles
    book: Book
    #: Of the fleet; None: this relay has no way to them.
    seats: Seats | None = None
    #: Set: nothing new comes to this relay's port any more.
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    #: Words that are made into sound.
    spoken: Spoken = field(default_factory=Spoken)
    #: By which agents' voices go to the switch.
    beat: Beat = field(default_factory=Beat)
    #: By attempt: whom, or what, the callee may hear.
    sounding: dict[UUID, Sounding] = field(default_factory=dict)


class Failed(Exception):
    """The platform cannot carry the call on. ``reason`` as in :class:`Ending`; the text is for the record."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Leg:
    """One channel. Nothing here waits or writes."""

    def __init__(self, attempt: UUID, parts: Parts, *, resumed: bool) -> None:
        self.attempt = attempt
        self.parts = parts
        self.resumed = resumed  # it was up before this relay, or its connection to the switch, was
        self.answered = asyncio.Event()
        self.answered_at: datetime | None = None
        self.parked = asyncio.Event()  # what is played before this, the switch cuts off (PLAYBACK ERROR)
        self.playing = Playing()
        self.gone = asyncio.Event()
        self.transferring = False  # somebody is rung, or may be, to whom its party is put through
        self.over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.holds: set[UUID] = set()  # holds and resumes that were met with, in whatever conversation
        self.failure: str | None = None  # why the call has no agent any more; what comes then is its fallback

    def answer(self, at: datetime) -> None:
        """The callee picked up."""
        if not self.answered.is_set():
            self.answered_at = at
            self.answered.set()

    def hung_up(self, cause: str | None, by: str | None) -> None:
        """The channel is no more."""
        self.gone.set()
        self.end(Ending("hangup" if self.answered.is_set() else "not_answered", by, cause=cause))

    def end(self, ending: Ending) -> None:
        """End the relay's part in the call; the first reason counts. Where a fallback was tried and the platform ends the
        call, the reason is why it had to be.
        """
        if not self.over.done():
            if self.failure is not None and ending.by == "platform":
                ending = replace(ending, reason=self.failure)
            self.over.set_result(ending)

    def fail(self, reason: str, detail: str) -> None:
        """End the call because the platform cannot carry it on, and record why."""
        if not self.over.done():
            self._failed(reason, detail)
            self.end(Ending(reason, "platform", kill=True))

    def lose_agent(self, reason: str, detail: str) -> None:
        """The call has no agent any more and goes on with its fallback; record why."""
        self._failed(reason, detail)
        self.failure = reason

    def _failed(self, reason: str, detail: str) -> None:
        log.warning("attempt %s: %s: %s", self.attempt, reason, detail)
        self.note("relay.failed", {"reason": reason, "detail": detail[:500]})

    async def playable(self) -> None:
        """Wait until the callee picked up and the switch is ready to play to the end."""
        await self.answered.wait()
        try:
            async with asyncio.timeout(_PARK_S):
                await self.parked.wait()
        except TimeoutError:
            log.warning("attempt %s: answered, but no word of its park", self.attempt)

    async def ended(self) -> Ending:
        """Wait for the end. (Awaiting ``over`` itself would let a cancelled waiter cancel it for everybody.)"""
        return await asyncio.shield(self.over)

    def heard(self, at: float) -> None:
        """The callee began to hear the agent at ``at`` (event loop's clock). What this relay did not hear from the answer on
        is marked: it may not be the first.
        """
        self.note("relay.first_audio", {"resumed": True} if self.resumed else None, at=_at(at))

    def greeted(self, at: float) -> None:
        """The callee began to hear the agent's greeting at ``at`` (event loop's clock)."""
        self.note("relay.greeting", at=_at(at))

    def note(self, type_: str, data: Mapping[str, Any] | None = None, at: datetime | None = None) -> None:
        """Record a fact of the call."""
        self.parts.book.note(self.attempt, type_, at or datetime.now(UTC), data or {})


def _at(loop_time: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=asyncio.get_running_loop().time() - loop_time)


class Talk(Protocol):
    """What is done with an answered phone: a conversation with an agent, or an announcement."""

    async def run(self) -> None:
        """Serve until cancelled, or end the leg. Raises :class:`Failed`."""
        ...

    @property
    def flows(self) -> bool:
        """It has all it needs to go on to its end, without a new media socket."""
        ...

    async def stop(self, ending: Ending) -> None:
        """The call is over: say so to whom it concerns, and let go. Never raises, bounded in time."""
        ...

    async def serve_fork(self, fork: MediaConnection) -> None:
        """Take the callee's audio from the switch until the socket closes."""
        ...

    def on_fork_failed(self) -> None:
        """The switch could not connect its media socket."""
        ...

    def on_dtmf(self, digit: str, duration_ms: int | None) -> None:
        """The callee pressed a key."""
        ...

    def on_playback(self, playback: str, at: float) -> None:
        """A file (its path) began to play at ``at`` (event loop's clock)."""
        ...

    def on_played(self, playback: str, response: str, at: float) -> None:
        """The playback of this id is over; ``response`` is the switch's word on it."""
        ...

    def on_others_played(self, at: float) -> bool:
        """A file that was asked for by others is over; False: a break of ours cut it off, which the switch does not tell."""
        ...
