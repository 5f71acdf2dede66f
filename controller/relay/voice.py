"""The agent's voice in one call: a turn begins, flows through a pipe to the switch, and is over."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from uuid import UUID

from controller.esl_errors import refusal
from controller.relay.audio import BYTES_PER_MS
from controller.relay.leg import Parts
from controller.relay.pacing import Stream
from controller.relay.pipe import Pipe

log = logging.getLogger(__name__)

#: s; between two tries to begin while the switch is not there, or refuses; and then at most.
_AGAIN_S, _LATER_S = 0.1, 2.0
#: s; a hangup closes the pipe a moment before its event comes: what the switch left in it is not called heard sooner.
_HANGUP_S = 0.25
#: s; the switch takes something every 20 ms, where it sends at all.
_STILL_S = 5.0


class Voice:
    """Times are of the event loop's clock. ``on_reached(names)`` hears of marks, ``on_sound(at)`` once of the first sound,
    ``on_doubt()`` when something is not known to have been heard.
    """

    def __init__(
        self,
        attempt: UUID,
        parts: Parts,
        on_reached: Callable[[list[str | None]], None],
        on_sound: Callable[[float], None],
        on_doubt: Callable[[], None],
    ) -> None:
        self._attempt = attempt
        self._switch, self._files, self._beat = parts.switch, parts.files, parts.beat
        settings = parts.settings
        self._stream = Stream(
            first_ms=settings.relay_first_ms,
            ahead_ms=settings.relay_ahead_ms,
            max_buffer_ms=int(settings.relay_max_buffer_s * 1000),
        )
        self._on_reached = on_reached
        self._on_sound: Callable[[float], None] | None = on_sound
        self._on_doubt = on_doubt
        self._free = False  # it may be heard
        self._over = False
        self._pipe: Pipe | None = None  # the switch has it, or is asked to take it
        self._asked = False  # it has not answered yet
        self._refused = 0  # times in a row
        self._moved_at = 0.0  # the switch took something then, last
        self._look_at = 0.0
        self._clock = asyncio.get_running_loop().time
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until cancelled; then nothing more is heard. Raises what stands in the way, such as ``OSError``."""
        try:
            await self._failure
        finally:
            self._over = True
            self._beat.leave(self)
            if self._pipe is not None:
                self._pipe.take_back()

    # --- what is to be heard -------------------------------------------------------------------------------------

    def room(self, size: int) -> bool:
        """Whether so many bytes can be fed."""
        return self._stream.room(size)

    def feed(self, pcm: bytes) -> None:
        """Take audio in, for which there is :meth:`room`."""
        self._stream.feed(pcm, self._clock())
        self._stir()

    def mark(self, name: str | None) -> None:
        """Report ``name`` when all that was fed so far is heard, and the voice is free."""
        self._stream.mark(name)
        self._stir()

    @property
    def marks_waiting(self) -> int:
        return self._stream.marks_waiting

    def reach(self) -> None:
        """Report the marks whose place is reached."""
        if names := self._stream.reached():
            self._on_reached(names)

    def free(self) -> None:
        """It may be heard."""
        self._free, self._look_at = True, 0.0
        self._stir()

    def bind(self) -> None:
        """It may not; what the switch has not played waits with the rest."""
        self._free = False
        self._withdraw()

    def clear(self) -> list[str | None]:
        """Throw away what was not heard; returns the marks that are not reached any more."""
        marks = self._stream.clear()
        if self._pipe is not None:
            self._pipe.take_back()
        return marks

    def _withdraw(self) -> None:
        if self._pipe is not None:
            self._stream.back(self._pipe.take_back())

    # --- 50 times a second, while there is something to do -------------------------------------------------------

    def _stir(self) -> None:
        """Something may be due."""
        if self._over or not self._free:
            return
        self._beat.join(self)
        if self._pipe is None:
            self.on_beat(self._clock())  # a turn begins at once
        else:
            self._look_at = min(self._look_at, self._stream.next_look(self._clock()))

    def on_beat(self, now: float) -> None:
        if now < self._look_at or self._over:
            return
        try:
            if self._pipe is not None:
                self._flow(self._pipe, now)
            elif self._free:
                self._rest(now)
            else:
                self._beat.leave(self)
        except Exception as error:  # noqa: BLE001 - of one call, not of all; run() raises it
            self._beat.leave(self)
            if not self._failure.done():
                self._failure.set_exception(error)

    def _rest(self, now: float) -> None:
        if self._stream.unheard:  # nobody hung up: something else has ended it
            log.warning("attempt %s: the switch did not play all of it", self._attempt)
            self._on_doubt()
            self._stream.look(0, now)
        self.reach()
        if self._stream.ready(now):
            self._begin(now)
        elif not self._stream.waiting:
            self._beat.leave(self)

    def _begin(self, now: float) -> None:
        """A turn: the switch is given a pipe with the first of it."""
        if not self._switch.up:
            self._look_at = now + _AGAIN_S
            return
        self._pipe = pipe = Pipe(self._files.pipe(self._attempt))
        self._asked, self._moved_at = True, now
        pipe.keep()
        self._flow(pipe, now)
        self._switch.voice(self._attempt, pipe.path).add_done_callback(lambda done: self._answered(pipe, done))

    def _answered(self, pipe: Pipe, done: asyncio.Future[str]) -> None:
        """The switch has the pipe, or will not have it. Sooner it is not let go of: the switch would wait for ever."""
        self._asked = False
        why = _refusal(done)
        if why is not None:
            # Most often the channel is gone and its event on the way.
            log.log(logging.INFO if self._refused else logging.WARNING, "attempt %s: no voice: %s", self._attempt, why)
            self._withdraw()
            self._pipe = None
            self._files.remove(self._attempt, pipe.path)
        pipe.let_go()
        self._refused = 0 if why is None else self._refused + 1
        self._look_at = self._clock() + min(_AGAIN_S * self._refused, _LATER_S)

    def _flow(self, pipe: Pipe, now: float) -> None:
        end = pipe.open()
        if end is None:
            self._ended(pipe, now)
            return
        try:
            unread = pipe.unread(end)
            self._heard(unread, now)
            if unread or self._asked:
                self._fill(pipe, end, now)
            else:  # the switch is at its end, or about to be: what is put in now it would perhaps not see
                self._look_at = now
        finally:
            pipe.close(end)

    def _fill(self, pipe: Pipe, end: int, now: float) -> None:
        stream = self._stream
        if self._free:
            if stream.mends and stream.ready(now):
                stream.back(pipe.take_back())
            pcm = stream.take(now)
            if pcm:
                os.write(end, pcm)
        self._look_at = stream.next_look(now)

    def _heard(self, unread: int, now: float) -> None:
        """The switch has left so much."""
        stream, before = self._stream, self._stream.heard
        stream.look(unread, now)
        if stream.heard > before:
            self._moved_at = now
            if self._on_sound is not None:
                hear, self._on_sound = self._on_sound, None
                hear(now - (stream.heard - before) / (BYTES_PER_MS * 1000))
        elif unread and now > self._moved_at + _STILL_S:
            self._moved_at = now
            log.warning(
                "attempt %s: the switch takes nothing of the agent's voice: the callee holds the call, or"
                " send_silence_when_idle is 0 there",
                self._attempt,
            )
        self.reach()

    def _ended(self, pipe: Pipe, now: float) -> None:
        """The switch came to the end of the pipe, or of the call."""
        self._pipe = None
        self._files.remove(self._attempt, pipe.path)
        self._look_at = now
        if self._stream.unheard and self._stream.dry_at > now + _AGAIN_S:
            self._look_at = now + _HANGUP_S
        else:
            self._heard(0, now)


def _refusal(reply: asyncio.Future[str]) -> str | None:
    """Why the switch did not; None: it did."""
    if reply.cancelled():
        return "no reply"
    if error := reply.exception():
        return str(error)
    return reply.result().strip()[:200] if refusal(reply.result()) else None
