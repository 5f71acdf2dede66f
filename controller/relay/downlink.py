"""What the agent says, on its way to the callee: chunks into files, files onto the switch, marks back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from controller.relay.audio import AudioFiles
from controller.relay.pacing import Player
from controller.relay.switch import Switch, SwitchDown
from settings import Settings

log = logging.getLogger(__name__)

#: s; by then the switch has begun the next file that others play, if one waits, and we have heard of it.
SETTLE_S = 0.06


@dataclass(frozen=True, slots=True)
class _Sent:
    number: int
    path: Path


class Downlink:
    """Playback of one call. Times are of the event loop's clock.

    ``on_mark(name, played)`` hears of marks; the name None is :meth:`at_end`'s. ``on_sound(at)`` hears once when the
    callee begins to hear the agent.
    """

    def __init__(
        self,
        attempt: UUID,
        switch: Switch,
        files: AudioFiles,
        settings: Settings,
        on_mark: Callable[[str | None, bool], None],
        on_sound: Callable[[float], None],
    ) -> None:
        self._attempt = attempt
        self._switch = switch
        self._files = files
        self._player = Player(
            first_ms=settings.relay_first_chunk_ms,
            chunk_ms=settings.relay_chunk_ms,
            long_ms=settings.relay_long_chunk_ms,
            max_buffer_ms=int(settings.relay_max_buffer_s * 1000),
        )
        self._on_mark = on_mark
        self._on_sound: Callable[[float], None] | None = on_sound
        self._sent: dict[str, _Sent] = {}  # by the id the switch calls the playback by
        #: Called when something that was sent is not known to have been heard, before the marks behind it are reported.
        self.on_doubt: Callable[[], None] = lambda: None
        #: Called once when the callee begins to hear the file that leads.
        self.on_lead: Callable[[float], None] | None = None
        self._lead: Path | None = None
        self._lead_id: str | None = None
        self._lead_out = self._lead_begun = False  # the switch has it; and has told that it plays it
        self._break_after = False  # what was cleared lies on the switch behind what others play
        self._settled_at: float | None = None  # when no other such file will begin any more
        self._broke_at: float | None = None
        self._others_from: float | None = None  # when the switch began what others play
        self._kick = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    def lead(self, path: Path, seconds: float, name: str) -> None:
        """A file that is at most that long is played first, with the mark ``name`` behind it. Before :meth:`open`."""
        self._lead = path
        self._player.lead(seconds, name)

    def leads(self, playback: str) -> bool:
        """Whether that playback (its id or path) is the file that leads, also of one that was cleared before the switch told
        that it begins: its path may be played again by others.
        """
        return self._lead_out and playback in (self._lead_id, str(self._lead))

    def open(self) -> None:
        """The callee answered: play."""
        self._player.open()
        self._kick.set()

    def room(self, size: int) -> bool:
        """Whether so many bytes can be fed. False: more than ``relay_max_buffer_s`` would wait, and they are not heard."""
        enough = self._player.room(size)
        if not enough:
            self.on_doubt()
        return enough

    def feed(self, pcm: bytes) -> None:
        """Take audio in, for which there is :meth:`room`."""
        taken = self._player.feed(pcm, self._clock())
        assert taken, "nobody asked for room"
        self._kick.set()

    def mark(self, name: str) -> None:
        """Report ``name`` once everything fed so far was played."""
        self._report(self._player.mark(name))

    @property
    def marks_waiting(self) -> int:
        """Marks not yet reported."""
        return self._player.marks_waiting

    def at_end(self) -> None:
        """Report None once everything fed so far was played."""
        self._report(self._player.mark(None))

    def clear(self) -> None:
        """Silence now: the switch breaks what it plays and forgets what it holds; what others play goes on to its end."""
        cleared = self._player.clear()
        if cleared.outstanding and self._player.held:
            self._break_after = True
        elif cleared.outstanding:
            self._break(self._clock())
        self._forget([sent.number for sent in self._sent.values()])
        self._lead_out = self._lead_out and not self._lead_begun
        for name in cleared.marks:
            self._on_mark(name, False)

    def silence(self) -> None:
        """Nothing is heard any more, of others neither, until :meth:`open`; what was not heard is thrown away."""
        now = self._clock()
        self._break_after, self._settled_at = False, None
        if self._player.held:
            self._player.release(now)
            if not self._player.outstanding:  # else the clear breaks
                self._break(now)
        self.clear()
        self._player.close()

    def cut(self, at: float) -> None:
        """What others asked for began at ``at``, and is not to be heard."""
        self._others_from = at
        self._break(self._clock())

    def hold(self, at: float) -> None:
        """The switch plays a file that others asked for; the agent's audio waits behind it."""
        self._settled_at = None
        self._others_from = at
        self._player.hold(at)
        self._kick.set()

    def release(self, at: float) -> None:
        """That is over. Another may follow at once, and a break would cut that one off too: so it is waited for."""
        if self._break_after:
            self._settled_at = self._clock() + SETTLE_S
        else:
            self._player.release(at)
        self._kick.set()

    @property
    def cut_off(self) -> bool:
        """A break of ours hit what others play, or just played."""
        return self._broke_at is not None and self._others_from is not None and self._others_from <= self._broke_at

    def _settle(self, now: float) -> None:
        """No more of what others play follows."""
        self._settled_at = None
        if self._break_after:
            self._break_after = False
            self._break(now)
        self._player.release(now)

    def _break(self, now: float) -> None:
        self._switch.break_all(self._attempt)
        self._broke_at = now

    def started(self, playback: str, at: float) -> None:
        """The switch began to play ``playback`` (its Event-UUID or path) at ``at``."""
        if self.leads(playback):
            self._lead_begun = True
            if self._lead_id not in self._sent:
                self._lead_out = False
                return
            hear, self.on_lead = self.on_lead, None
        elif any(playback in (key, str(s.path)) for key, s in self._sent.items()):
            hear, self._on_sound = self._on_sound, None
        else:
            return
        if hear is not None:
            hear(at)

    def finished(self, playback: str, at: float) -> None:
        """The switch is through with ``playback``; one that was cleared is not known any more."""
        sent = self._sent.get(playback)
        if sent is None:
            self._lead_out = self._lead_out and playback != self._lead_id
            return
        self.started(playback, at)  # its start was not heard of
        self._lead_out = self._lead_out and playback != self._lead_id
        over, marks = self._player.finished(sent.number, at)
        if len(over) > 1:  # the end of one before it was not heard of
            self.on_doubt()
        self._forget(over)
        self._report(marks)
        self._kick.set()

    async def run(self) -> None:
        """Hand out chunks in time, until cancelled."""
        while True:
            now = self._clock()
            if self._player.held_over(now):
                log.warning("attempt %s: nobody said that what others play is over", self._attempt)
                self._settle(now)
            elif self._settled_at is not None and now >= self._settled_at:
                self._settle(now)
            over, marks = self._player.overdue(now)
            if over:
                self.on_doubt()
            self._forget(over)
            self._report(marks)
            wake = self._player.wake_at(now)
            if self._switch.up:
                while (chunk := self._player.due(now)) is not None:
                    self._play(chunk.number, chunk.pcm)
                wake = self._player.wake_at(now)
            elif wake is not None:
                wake = max(wake, now + 0.1)  # what is due waits for the link
            if self._settled_at is not None:
                wake = self._settled_at if wake is None else min(wake, self._settled_at)
            self._kick.clear()
            try:
                async with asyncio.timeout_at(wake):
                    await self._kick.wait()
            except TimeoutError:
                continue

    def _play(self, number: int, pcm: bytes) -> None:
        # No await between the decision and the write: a clear must find either nothing sent or all of it.
        playback = str(uuid4())
        path = self._lead if number == 0 and self._lead is not None else self._files.write(self._attempt, number, pcm)
        self._sent[playback] = _Sent(number, path)
        if number == 0:
            self._lead_id, self._lead_out = playback, True
        try:
            self._switch.play(self._attempt, path, playback)
        except SwitchDown:
            log.warning("attempt %s: the link to the switch fell while audio was due", self._attempt)

    def _forget(self, numbers: list[int]) -> None:
        if not numbers:
            return
        for playback in [key for key, sent in self._sent.items() if sent.number in numbers]:
            sent = self._sent.pop(playback)
            if sent.number:
                self._files.remove(self._attempt, sent.path)
            else:  # it is another's
                self._lead_out = not self._lead_begun

    def _report(self, names: list[str | None]) -> None:
        for name in names:
            self._on_mark(name, True)
