"""The beginning of a call's recording: at the answer, or when the notice has been heard to its end; else never.

Fail closed: what is to begin after a notice begins only when the switch itself has said that all of the notice was played. A
notice that was cut short, cleared, or of which nobody heard that it was played, is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

from controller.relay.leg import Leg
from controller.relay.switch import SwitchDown
from store.relay import RelayCall

log = logging.getLogger(__name__)

_NAMESPACE = UUID("0d4f4c52-6f3b-4b0c-9c5d-2f7f0f1b6a77")
PLAYED = "FILE PLAYED"
#: s; for a link to the switch, then it is looked whether the call is still there.
_LINK_S = 5.0


class Recorder:
    """One call's. ``tell(on, reason)``: the agent hears whether the call is recorded."""

    def __init__(self, leg: Leg, call: RelayCall) -> None:
        self._leg = leg
        self._asked = call.recording
        self._before = call.recording_state  # as it was when this relay took up the call
        self._playback = str(uuid5(_NAMESPACE, str(leg.attempt)))
        self._heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._doubt = False  # not all that was sent to be played was played
        self._task: asyncio.Task[None] | None = None
        self._met = False  # somebody who talks has found the callee able to hear
        self.tell: Callable[[bool, str | None], None] = lambda _on, _reason: None

    @property
    def by_agent(self) -> bool:
        """The agent is to say when it has given the notice."""
        return self._asked is not None and self._asked["start"] == "after_notice" and not self._asked["notice"]

    @property
    def facts(self) -> dict[str, object] | None:
        """What the agent is told at the start; None: the call is not recorded."""
        if self._asked is None:
            return None
        start = self._asked["start"]
        return {"start": start, "notice": None if start == "answer" else "agent" if self.by_agent else "platform"}

    async def answered(self) -> None:
        """The callee picked up and can hear: record, or give the notice first and then record. Returns when the agent may be
        heard.
        """
        await self._leg.playable()
        if self._asked is None or self._met:
            return  # who follows another in the call neither records anew nor gives a notice that was broken off
        self._met = True
        self._leg.parts.book.recording(self._leg.attempt, "expected", datetime.now(UTC))
        if self._asked["start"] == "answer" or self._before not in (None, "waiting"):
            self._begin()  # one that is under way goes on
        elif self._asked["notice"]:
            why = await self._give(str(self._asked["notice"]))
            if why is None:
                self._begin()
            else:
                self._will_not(why)

    async def _give(self, file: str) -> str | None:
        """Play the notice; None: it was heard to its end, else why not."""
        directory, switch = self._leg.parts.settings.announcement_dir, self._leg.parts.switch
        if not directory:
            return "notice_missing"
        settings = self._leg.parts.settings
        try:
            await switch.wait_up(settings.esl_backoff_max_s + settings.esl_connect_timeout_s)
            switch.play(self._leg.attempt, Path(directory) / file, self._playback)
        except (TimeoutError, SwitchDown):
            return "switch_link_lost"
        try:
            async with asyncio.timeout(settings.recording_notice_max_s):
                response = await self._heard
        except TimeoutError:
            return "notice_not_heard"
        return None if response == PLAYED else "notice_failed"

    def on_played(self, playback: str, response: str) -> bool:
        """What the switch says of the end of a playback; True: it was the notice's."""
        if playback == self._playback:
            if not self._heard.done():
                self._heard.set_result(response)
            return True
        if response != PLAYED:
            self._doubt = True
        return False

    def on_doubt(self) -> None:
        """Something that was sent to the callee was perhaps not heard."""
        self._doubt = True

    def on_notice(self, *, played: bool) -> None:
        """All that the agent sent up to its notice was played, or was thrown away."""
        doubt, self._doubt = self._doubt, False  # the agent may give it once more
        if self._task is not None:
            self.tell(True, None)
        elif not played or doubt:
            self._will_not("notice_not_heard")
        else:
            self._begin()

    def _will_not(self, why: str) -> None:
        self._leg.note("recording.not_started", {"reason": why})
        self.tell(False, why)

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._record(), name=f"record {self._leg.attempt}")

    async def _record(self) -> None:
        """Ask the switch until it records, refuses, or the call is over."""
        leg, settings = self._leg, self._leg.parts.settings
        if not settings.recording_spool:
            self._will_not("not_set_up")
            return
        while not leg.over.done():
            try:
                refused = await leg.parts.switch.record(leg.attempt, settings.recording_spool, wait_s=_LINK_S)
            except (TimeoutError, SwitchDown) as error:
                log.warning("attempt %s: cannot record yet: %s", leg.attempt, error)
                continue
            if refused is None:
                self.tell(True, None)
            else:
                log.error("attempt %s: the switch does not record: %s", leg.attempt, refused)
                self._will_not("switch_refused")
            return

    async def stop(self) -> None:
        """The call is over; the switch closes the file by itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
