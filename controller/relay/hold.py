"""A conversation on hold: the callee hears a file over and over, or silence, and the two hear nothing of each other.

Who asks, the API or the agent, asks in a row (store/holds.py), which is open for as long as the call is held: a relay that
takes the call over finds it there. No re-INVITE: the media stays with the switch, and what is played changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from controller.relay.audio import longest_s
from controller.relay.book import BookClosed
from controller.relay.downlink import Downlink
from controller.relay.leg import Leg
from controller.relay.line import Line
from controller.relay.protocol import Hold as AgentsHold
from controller.relay.protocol import Resume as AgentsResume
from controller.relay.recorder import PLAYED as FILE_PLAYED
from controller.relay.switch import SwitchDown
from controller.relay.uplink import Uplink
from store import holds
from store.call_actions import FRESH_S, TOO_LATE
from store.hangup import OtherAction
from store.relay import RelayCall

log = logging.getLogger(__name__)

#: Before the id of a playback of ours.
_TAG = "hold-"
#: Of the file, on the switch: what plays, and one behind it, so that there is no gap.
_AHEAD = 2
#: s from an end to the next one that is queued. Whoever puts the callee through breaks what plays a moment before: nothing
#: may be put behind that. And a file of no length is not played a thousand times a second.
_PAUSE_S = 1.0
#: s; without a word of the switch by then, what was queued is taken for over.
_OVERDUE_S = 2.0
#: s; between two tries while the link to the switch is down.
_LINK_S = 0.2
#: s; an event of the switch's is at most so much later than what it tells of.
_LATE_S = 0.1
#: Holds and resumes of an agent that wait for Postgres.
_WAITING = 4

Asked = AgentsHold | AgentsResume


class Hold:
    """One conversation's. ``on``: the hold that lasts."""

    def __init__(self, leg: Leg, call: RelayCall, line: Line, downlink: Downlink, uplink: Uplink) -> None:
        self._leg = leg
        self._call = call
        self._line = line
        self._downlink = downlink
        self._uplink = uplink
        self._asks: asyncio.Queue[Asked] = asyncio.Queue(_WAITING)
        self._returning = 0  # resumes of the agent's that are not carried out: what it says behind them is for the callee
        self._open = False  # the callee hears what is ours to play
        self._queued: deque[str] = deque()  # playbacks on the switch
        self._room = asyncio.Event()
        self._music: asyncio.Task[None] | None = None
        self._path: Path | None = None
        self._ended_at = 0.0
        self._clock = asyncio.get_running_loop().time
        self.on = holds.held(call.held, leg.attempt)
        if self.on is not None:
            leg.holds.add(self.on.id)
            self._mute()

    @property
    def facts(self) -> Mapping[str, Any] | None:
        """What an agent is told at its start; None: the call is not held."""
        on = self.on
        return None if on is None else {"id": on.name, "by": on.by, "audio": on.audio}

    @property
    def deaf(self) -> bool:
        """What the agent says now is heard by nobody, ever."""
        return self.on is not None and not self._returning

    def open(self) -> None:
        """The callee can hear, and the agent may be heard, where the call is not held."""
        self._open = True
        if self.on is None:
            self._downlink.open(self._leg.playing)
        else:
            self._play(self.on)

    # --- what is asked -------------------------------------------------------------------------------------------

    def ask(self, wanted: Asked) -> None:
        """The agent wants it; never waits."""
        try:
            self._asks.put_nowait(wanted)
        except asyncio.QueueFull:
            self._line.object("too_many", f"{_event(wanted)}: {_WAITING} wait; this one was dropped")
            return
        if isinstance(wanted, AgentsResume):
            self._returning += 1

    async def run(self) -> None:
        """Put on record what the agent asks for, in order, and carry it out; until cancelled."""
        while True:
            wanted = await self._asks.get()
            try:
                await self._ask(wanted)
            finally:
                if isinstance(wanted, AgentsResume):
                    self._returning -= 1
            if self.deaf:
                self._downlink.clear()  # said behind a resume that came to nothing

    async def _ask(self, wanted: Asked) -> None:
        audio = wanted.audio if isinstance(wanted, AgentsHold) else None
        try:
            asked = await self._leg.parts.book.hold(self._call, _event(wanted), audio, f"agent:{wanted.id}", "agent")
        except OtherAction:
            self._refuse(wanted, "other_action", "another action has that id; give each one of its own")
        except BookClosed as error:
            log.warning("attempt %s: a hold cannot be asked for: %s", self._leg.attempt, error)
            self._refuse(wanted, "unavailable", "it cannot be put on record now; try again")
        else:
            if asked.kind != "requested" or asked.command_id is None:
                self._refuse(wanted, asked.kind, "nothing was changed")
            elif asked.known:
                self._tell()  # asked again: this is how it is
            else:
                self.wanted(
                    holds.Wish(asked.command_id, self._leg.attempt, _event(wanted), audio, "agent", f"agent:{wanted.id}")
                )

    def _refuse(self, wanted: Asked, code: str, detail: str) -> None:
        self._line.error(code, f"{_event(wanted)} {wanted.id}: {detail}")

    def wanted(self, wish: holds.Wish) -> None:
        """A hold or resume that is on record; told again, nothing more."""
        late = wish.age_s > FRESH_S and not wish.begun
        if wish.id in self._leg.holds or not (late or (self._open and self._leg.parts.switch.up)):
            return  # a notice is heard to its end first, and a break needs the link; then this is told again
        self._leg.holds.add(wish.id)
        book, attempt = self._leg.parts.book, self._leg.attempt
        if late:
            self._not_done(wish, "too_late", TOO_LATE)
        elif wish.verb == "hold" and self.on is None:
            self._begin(wish)
        elif wish.verb == "resume" and self.on is not None:
            self._end(wish.by)
            book.finish(attempt, wish.id, holds.RESUMED)
        else:
            code = "on_hold" if wish.verb == "hold" else "not_on_hold"
            self._not_done(wish, code, f"refused: {code}")

    def _not_done(self, wish: holds.Wish, code: str, result: str) -> None:
        self._leg.parts.book.finish(self._leg.attempt, wish.id, result)
        if wish.by == "agent":
            self._line.error(code, f"{wish.verb} {wish.name}: nothing was changed")

    # --- what is done --------------------------------------------------------------------------------------------

    def _begin(self, wish: holds.Wish) -> None:
        self.on = wish
        self._mute()
        self._leg.parts.book.held(self._leg.attempt, wish.id)
        self._leg.note("relay.hold", {"on": True, "by": wish.by, "audio": wish.audio})
        self._tell()
        self._play(wish)

    def _end(self, by: str) -> None:
        """The two hear each other again."""
        on, self.on = self.on, None
        assert on is not None
        self._quiet()
        self._uplink.silent = False
        self._downlink.open()
        self._leg.parts.book.finish(self._leg.attempt, on.id, holds.RESUMED)
        self._leg.note("relay.hold", {"on": False, "by": by})
        self._line.say(lambda dialect: dialect.hold(on=False, by=by, name=on.name, audio=None))

    def _tell(self) -> None:
        on = self.on
        if on is None:
            self._line.say(lambda dialect: dialect.hold(on=False, by=None, name=None, audio=None))
        else:
            self._line.say(lambda dialect: dialect.hold(on=True, by=on.by, name=on.name, audio=on.audio))

    def _mute(self) -> None:
        self._uplink.silent = True
        self._downlink.silence()

    def _play(self, on: holds.Wish) -> None:
        directory = self._leg.parts.settings.announcement_dir
        if on.audio is None:
            return
        if not directory:
            self._not_heard(on.audio, "announcement_dir is not set")
            return
        self._path = Path(directory) / on.audio
        self._music = asyncio.create_task(self._repeat(self._path), name=f"hold {self._leg.attempt}")

    async def _repeat(self, path: Path) -> None:
        """The file, over and over, until cancelled."""
        while True:
            while len(self._queued) < _AHEAD:
                playback = f"{_TAG}{uuid4()}"
                try:
                    self._leg.parts.switch.play(self._leg.attempt, path, playback)
                except SwitchDown:
                    await asyncio.sleep(_LINK_S)
                    continue
                self._queued.append(playback)
            self._room.clear()
            try:
                async with asyncio.timeout(_AHEAD * longest_s(path) + _OVERDUE_S):
                    await self._room.wait()
            except TimeoutError:
                log.warning("attempt %s: nobody said that the hold's file is over", self._leg.attempt)
                self._queued.clear()
            await asyncio.sleep(_PAUSE_S)

    def _not_heard(self, audio: str, why: str) -> None:
        """The call stays on hold, in silence."""
        log.warning("attempt %s: on hold without %s: %s", self._leg.attempt, audio, why)
        self._leg.note("relay.hold_failed", {"audio": audio, "detail": why[:500]})

    def _quiet(self) -> None:
        """Nothing of ours is heard from here on."""
        self._hush()
        if self._queued:
            self._queued.clear()
            self._leg.parts.switch.break_all(self._leg.attempt)
        self._ended_at = self._clock()

    def _hush(self) -> None:
        if self._music is not None:
            self._music.cancel()
            self._music = None

    def stop(self, result: str | None) -> None:
        """Somebody else talks to the callee (``result``), or the call is over, or another relay's (None)."""
        on, self.on = self.on, None
        self._hush()
        if on is None or result is None:
            return
        if result != holds.TRANSFERRED:  # a break would hit who talks now
            self._quiet()
        self._leg.parts.book.finish(self._leg.attempt, on.id, result)
        self._leg.note("relay.hold", {"on": False, "by": "platform"})

    # --- the switch's side ---------------------------------------------------------------------------------------

    def on_playback(self, path: Path, at: float) -> bool:
        """A file of the announcement directory begins; True: it is not the agent's business, nor the API's."""
        if path == self._path and (self.on is not None or at <= self._ended_at + _LATE_S):
            return True
        if self.on is None:
            return False
        # Asked for in the moment in which the hold began.
        self._downlink.cut(at)
        self._queued.clear()
        self._room.set()
        return True

    def on_played(self, playback: str, response: str) -> bool:
        """A playback is over; True: it was ours."""
        if not playback.startswith(_TAG):
            return False
        if playback in self._queued:
            while self._queued.popleft() != playback:
                pass  # the end of one before it was not heard of
            if response == FILE_PLAYED:
                self._room.set()
            elif self.on is not None and self.on.audio is not None:
                self._hush()
                self._queued.clear()
                self._not_heard(self.on.audio, response)
        return True


def _event(wanted: Asked) -> Literal["hold", "resume"]:
    return "hold" if isinstance(wanted, AgentsHold) else "resume"
