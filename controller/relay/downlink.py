"""What the callee hears in a conversation, in turn: a file that leads, the agent, and in between what others play."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from controller.relay.audio import longest_s
from controller.relay.lead import OVERDUE_S, Lead
from controller.relay.leg import Parts
from controller.relay.playing import Playing
from controller.relay.switch import SwitchDown
from controller.relay.voice import Voice

log = logging.getLogger(__name__)

#: s; when what others play is over another of their files may follow at once: by then we have heard of it.
SETTLE_S = 0.06
#: s; between two looks whether the file that leads is over, or can be played.
_LOOK_S = 0.1


class Downlink:
    """Playback of one call. Times are of the event loop's clock.

    ``on_mark(name, played)`` hears of marks; the name None is :meth:`at_end`'s. ``on_sound(at)`` hears once when the
    callee begins to hear the agent.
    """

    def __init__(
        self,
        attempt: UUID,
        parts: Parts,
        on_mark: Callable[[str | None, bool], None],
        on_sound: Callable[[float], None],
    ) -> None:
        self._attempt = attempt
        self._switch, self._sounding = parts.switch, parts.sounding
        self._beat = parts.beat
        self._voice = Voice(attempt, parts, self._reached, self._lost, on_sound, lambda: self.on_doubt())
        self._on_mark = on_mark
        #: Called when something that was sent is not known to have been heard, before the marks behind it are reported.
        self.on_doubt: Callable[[], None] = lambda: None
        #: Called once when the callee begins to hear the file that leads.
        self.on_lead: Callable[[float], None] | None = None
        self._lead: Lead | None = None
        self._open = self._over = self._paused = False
        self._held_until: float | None = None  # what others play is heard
        self._quiet_until = 0.0
        self._look_at = 0.0
        self._break_after = False  # the file that led lies on the switch behind what others play, and is not wanted any more
        self._broke_at: float | None = None
        self._others_from: float | None = None  # when the switch began what others play
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Until cancelled; then the agent is heard no more. Raises what stands in the way, such as ``OSError``."""
        try:
            await self._voice.run()
        finally:
            self._over = True
            self._beat.leave(self)
            if self._sounding.get(self._attempt) is self:
                del self._sounding[self._attempt]

    # --- the agent -----------------------------------------------------------------------------------------------

    def open(self, others: Playing | None = None) -> None:
        """The callee answered: play, behind what the switch plays already."""
        self._open = True
        if not self._over:
            self._sounding[self._attempt] = self
        if others is not None and others.since is not None:
            self.hold(others.since, longest_s(others.path))
        self._next()

    def room(self, size: int) -> bool:
        """Whether so many bytes can be fed. False: more than ``relay_max_buffer_s`` would wait, and they are not heard."""
        enough = self._voice.room(size)
        if not enough:
            self.on_doubt()
        return enough

    def feed(self, pcm: bytes) -> None:
        """Take audio in, for which there is :meth:`room`."""
        assert self._voice.room(len(pcm)), "nobody asked for room"
        self._voice.feed(pcm)

    def mark(self, name: str) -> None:
        """Report ``name`` once everything fed so far was played."""
        self._mark(name)

    def at_end(self) -> None:
        """Report None once everything fed so far was played."""
        self._mark(None)

    def _mark(self, name: str | None) -> None:
        self._voice.mark(name)
        if not self._leading:
            self._voice.reach()

    @property
    def marks_waiting(self) -> int:
        """Marks not yet reported."""
        return self._voice.marks_waiting

    def clear(self) -> None:
        """Silence now: what the switch has is taken back; what others play goes on to its end."""
        marks = self._voice.clear()
        if self._lead is not None and not self._lead.over:
            if self._lead.out and self._held_until is None:
                self._break()
            elif self._lead.out:
                self._break_after = True
            self._lead.drop()
            self._on_mark(self._lead.name, False)
            self._next()
        for name in marks:
            self._on_mark(name, False)

    def silence(self) -> None:
        """Nothing is heard any more, of others neither, until :meth:`open`; what was not heard is thrown away."""
        if self._held_until is not None or self._break_after:
            self._held_until = None
            if self._lead is None or not self._lead.out:  # else the clear breaks
                self._break()
        self.clear()
        self._open = False
        self._voice.bind()

    def pause(self) -> None:
        """Somebody else is about to talk to the callee; what was not heard is kept, until :meth:`go_on`."""
        self._paused = True
        self._voice.bind()

    def go_on(self) -> None:
        """It came to nothing."""
        self._paused = False
        self._next()

    def _reached(self, names: list[str | None]) -> None:
        for name in names:
            self._on_mark(name, True)

    def _lost(self, names: list[str | None]) -> None:
        for name in names:
            self._on_mark(name, name is None)  # who wants the call to end behind it wants so all the same

    # --- what others play ----------------------------------------------------------------------------------------

    def cut(self, at: float) -> None:
        """What others asked for began at ``at``, and is not to be heard."""
        self._others_from = at
        self._break()

    def hold(self, at: float, seconds: float) -> None:
        """The switch plays a file that others asked for, at most so long; the agent's audio waits behind it. Before
        :meth:`open` that is remembered elsewhere.
        """
        self._others_from = at
        if self._open and not self._over:
            self._held_until = at + seconds + OVERDUE_S
            self._voice.bind()
            self._beat.join(self)

    def release(self, at: float) -> None:
        """That is over. Another may follow at once, which is waited for."""
        if self._held_until is not None:
            self._held_until, self._quiet_until = None, at + SETTLE_S
            if self._lead is not None:
                self._lead.wait_longer(at)
            self._next()

    @property
    def cut_off(self) -> bool:
        """A break of ours hit what others play, or just played."""
        return self._broke_at is not None and self._others_from is not None and self._others_from <= self._broke_at

    def _break(self) -> None:
        self._break_after = False
        self._switch.break_all(self._attempt)
        self._broke_at = self._clock()

    # --- the file that leads -------------------------------------------------------------------------------------

    def lead(self, path: Path, seconds: float, name: str) -> None:
        """A file that is at most that long is played first, with the mark ``name`` behind it. Before :meth:`open`."""
        self._lead = Lead(path, seconds, name)

    def leads(self, playback: str) -> bool:
        """As :meth:`controller.relay.lead.Lead.is_it`."""
        return self._lead is not None and self._lead.is_it(playback)

    @property
    def _leading(self) -> bool:
        return self._lead is not None and not self._lead.over

    def started(self, playback: str, at: float) -> None:
        """The switch began to play ``playback`` (its Event-UUID or path) at ``at``."""
        if self._lead is None or not self._lead.is_it(playback):
            return
        if self._lead.started():
            hear, self.on_lead = self.on_lead, None
            if hear is not None:
                hear(at)
        elif self._break_after:
            self._break()

    def finished(self, playback: str, at: float) -> None:
        """The switch is through with ``playback``; one that was cleared is not known any more."""
        self.started(playback, at)  # its start was not heard of
        if self._lead is not None and self._lead.finished(playback):
            self._led(self._lead)

    def _led(self, lead: Lead) -> None:
        self._on_mark(lead.name, True)
        self._voice.reach()
        self._next()

    def _play(self, lead: Lead, now: float) -> None:
        if lead.overdue(now):
            self.on_doubt()
            lead.drop()
            self._led(lead)
        elif not lead.out:
            try:
                lead.play(self._attempt, self._switch, now)
            except SwitchDown:
                log.warning("attempt %s: the link to the switch fell while audio was due", self._attempt)

    # --- who is heard next ---------------------------------------------------------------------------------------

    def _next(self) -> None:
        self._look_at = 0.0
        self.on_beat(self._clock())

    def on_beat(self, now: float) -> None:
        """While something is waited for: what others play, its settling, or the file that leads."""
        if now < self._look_at or self._over:
            return
        try:
            self._wait(now)
        except Exception as error:  # noqa: BLE001 - of one call, not of all; run() raises it
            self._beat.leave(self)
            self._voice.fail(error)

    def _wait(self, now: float) -> None:
        self._beat.join(self)
        self._look_at = now + _LOOK_S
        if not self._open or self._paused:
            self._beat.leave(self)
        elif self._held_until is not None:
            if now >= self._held_until:
                log.warning("attempt %s: nobody said that what others play is over", self._attempt)
                self.release(now)
        elif now < self._quiet_until:
            self._look_at = self._quiet_until
        elif self._break_after:  # its beginning was not heard of
            self._break()
            self._look_at = now
        elif self._lead is not None and not self._lead.over:
            self._play(self._lead, now)
        else:
            self._beat.leave(self)
            self._voice.free()
