"""The agent's voice in one call: a turn begins, flows through a pipe to the switch, and is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

from controller.esl_errors import NoReply, refusal
from controller.frames import text_of
from controller.relay.audio import BYTES_PER_MS
from controller.relay.leg import Failed, Parts
from controller.relay.pacing import Stream
from controller.relay.patience import AGAIN_S, Patience
from controller.relay.pipe import Pipe
from controller.relay.switch import SwitchDown

log = logging.getLogger(__name__)

#: s; a hangup closes the pipe a moment before its event comes: what the switch left in it is not called heard sooner.
_HANGUP_S = 0.25
#: s; the switch takes something every 20 ms, where it sends at all.
_STILL_S = 5.0
#: s; it closes a pipe at whose end it is. Who still has it open then is somebody else.
_END_S = 0.5


class Voice:
    """Times are of the event loop's clock. ``on_reached(names)`` hears of marks, ``on_lost(names)`` of those before which
    something was not heard, ``on_sound(at)`` once of the first sound, ``on_doubt()`` when something is not known to have
    been heard.
    """

    def __init__(
        self,
        attempt: UUID,
        parts: Parts,
        on_reached: Callable[[list[str | None]], None],
        on_lost: Callable[[list[str | None]], None],
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
        self._on_lost = on_lost
        self._on_sound: Callable[[float], None] | None = on_sound
        self._on_doubt = on_doubt
        self._free = False  # it may be heard
        self._over = False
        self._pipe: Pipe | None = None  # the switch has it, or is asked to take it
        self._asked = False  # it has not answered yet
        self._patience = Patience()
        self._moved_at = 0.0  # the switch took something then, last
        self._empty_at: float | None = None  # all was taken then
        self._judging: asyncio.Task[None] | None = None
        self._look_at = 0.0
        self._clock = asyncio.get_running_loop().time
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until cancelled; then nothing more is heard. Raises what stands in the way, such as ``OSError``, or
        :class:`controller.relay.leg.Failed` where the switch will not let the agent be heard in a call that goes on.
        """
        try:
            await self._failure
        finally:
            self._over = True
            self._beat.leave(self)
            if self._judging is not None:
                self._judging.cancel()
            if self._pipe is not None:
                self._pipe.take_back()  # and nothing is put in: for the switch it is over

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
        self._catch_up()
        self._free = False
        self._hush(self._stream.back)

    def clear(self) -> list[str | None]:
        """Throw away what was not heard; returns the marks that are not reached any more."""
        self._catch_up()
        marks = self._stream.clear()
        self._hush(lambda _: None)
        return marks

    def _hush(self, back: Callable[[bytes], None]) -> None:
        """Give ``back`` what the switch has not taken, and put silence in its place. The pipe is open all the while: for the
        switch it goes on, and no turn has to begin anew.
        """
        pipe = self._pipe
        if pipe is None or (end := pipe.open()) is None:
            return
        now = self._clock()
        try:
            taken = pipe.take_back()
            back(taken)
            if (taken or self._asked) and not self._over:
                self._put(pipe, end, self._stream.quiet(now))
                self._look_at = self._stream.next_look(now, free=self._free)
        finally:
            pipe.close(end)

    def _catch_up(self) -> None:
        """What was heard since the last look is heard."""
        pipe = self._pipe
        if pipe is not None and (end := pipe.open()) is not None:
            try:
                self._heard(pipe.unread(end), self._clock())
            finally:
                pipe.close(end)

    # --- 50 times a second, while there is something to do -------------------------------------------------------

    def _stir(self) -> None:
        """Something may be due."""
        if self._over or not self._free:
            return
        self._beat.join(self)
        now = self._clock()
        if self._pipe is None:
            self.on_beat(now)  # a turn begins at once
            return
        self._look_at = min(self._look_at, self._stream.next_look(now))
        if self._stream.mends(now):
            self.on_beat(now)  # by the next beat the silence may be heard

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
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Let :meth:`run` raise it."""
        self._beat.leave(self)
        if not self._failure.done():
            self._failure.set_exception(error)

    def _rest(self, now: float) -> None:
        if self._stream.unheard:  # nobody hung up: something else has ended it
            log.warning("attempt %s: the switch did not play all of it", self._attempt)
            self._on_doubt()
            self.reach()
            self._on_lost(self._stream.lost())
        self.reach()
        if self._stream.ready(now):
            self._begin(now)
        elif not self._stream.waiting:
            self._beat.leave(self)

    def _begin(self, now: float) -> None:
        """A turn: the switch is given a pipe with the first of it."""
        if not self._switch.voices_up or not self._patience.allows(now):
            if self._patience.tires():
                log.warning("attempt %s: its voice has to begin anew too often, and waits", self._attempt)
            self._look_at = now + AGAIN_S
            return
        self._pipe = pipe = Pipe(self._files.pipe(self._attempt))
        self._asked, self._moved_at, self._empty_at = True, now, None
        pipe.keep()
        try:
            self._flow(pipe, now)
            reply = self._switch.voice(self._attempt, pipe.path)
        except BaseException:
            pipe.let_go()  # nobody was asked to open it
            raise
        reply.add_done_callback(lambda done: self._answered(pipe, done))

    def _answered(self, pipe: Pipe, done: asyncio.Future[str]) -> None:
        """The switch has the pipe, or will not have it. Sooner it is not let go of: the switch would wait for ever."""
        self._asked, now = False, self._clock()
        why = _refusal(done)
        if why is None:
            self._patience.taken()
            self._look_at = now
        else:
            # Most often the channel is gone and its event on the way.
            log.info("attempt %s: no voice: %s", self._attempt, why)
            self._stream.back(pipe.take_back())
            self._pipe = None
            self._files.remove(self._attempt, pipe.path)
            self._look_at = now + self._patience.refused(now)
            if not done.cancelled() and isinstance(done.exception(), NoReply):
                # The channel stands still: each further try would keep the voices of all calls waiting.
                self.fail(Failed("voice_refused", why))
            elif self._patience.over(now):
                self._judge(why, lambda: self._patience.over(now))
        pipe.let_go()

    def _judge(self, why: str, still: Callable[[], bool]) -> None:
        """If the channel is there and not held by its callee, and it is ``still`` so, nobody will hear this agent."""
        if not self._over and (self._judging is None or self._judging.done()):
            self._judging = asyncio.create_task(self._ask(why, still), name=f"voice {self._attempt}")

    async def _ask(self, why: str, still: Callable[[], bool]) -> None:
        try:
            channel = await self._switch.look(self._attempt)
        except SwitchDown:
            return  # it is tried and asked again
        if channel is not None and text_of(channel, "Channel-Call-State") != "HELD" and still():
            self.fail(Failed("voice_refused", why))

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
            elif self._empty_at is not None and now > self._empty_at + _END_S:
                log.warning("attempt %s: the switch is through, and somebody else reads its pipe", self._attempt)
                self._ended(pipe, now)
            else:  # the switch is at its end, or about to be: what is put in now it would perhaps not see
                self._look_at = now
            self._empty_at = None if unread else self._empty_at or now
        finally:
            pipe.close(end)

    def _fill(self, pipe: Pipe, end: int, now: float) -> None:
        stream = self._stream
        if self._free and stream.mends(now):
            stream.back(pipe.take_back())
        self._put(pipe, end, stream.take(now) if self._free else stream.quiet(now))
        self._look_at = stream.next_look(now, free=self._free)

    def _put(self, pipe: Pipe, end: int, pcm: bytes) -> None:
        if (size := pipe.write(end, pcm)) < len(pcm):
            self._stream.left(pcm[size:])

    def _heard(self, unread: int, now: float) -> None:
        """The switch has left so much."""
        stream, before = self._stream, self._stream.heard
        if stream.look(unread, now):
            self._moved_at = now
        if stream.heard > before and self._on_sound is not None:
            hear, self._on_sound = self._on_sound, None
            hear(now - (stream.heard - before) / (BYTES_PER_MS * 1000))
        if unread and now > self._moved_at + _STILL_S:
            self._moved_at = now
            why = "the switch takes nothing of the agent's voice: send_silence_when_idle is 0 there?"
            self._judge(why, lambda: self._moved_at == now)
        self.reach()

    def _ended(self, pipe: Pipe, now: float) -> None:
        """The switch came to the end of the pipe, or of the call."""
        self._pipe = None
        self._files.remove(self._attempt, pipe.path)
        self._look_at = now
        if self._stream.unheard and self._stream.dry_at > now + AGAIN_S:
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
