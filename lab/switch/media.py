"""One 20 ms beat for every channel that plays, is forked or is recorded; the others cost nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.switch.callee import SILENT

if TYPE_CHECKING:
    from lab.switch.channel import Channel
    from lab.switch.core import Switch


class MediaTicker:
    """`watch` a channel when it gets something to do; it drops out by itself."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._channels: dict[str, Channel] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        self.late_ticks = 0

    def watch(self, channel: Channel) -> None:
        self._channels[channel.uuid] = channel
        if self._timer is None:
            loop = self._switch.loop
            self._next = loop.time() + pcm.FRAME_S
            self._timer = loop.call_at(self._next, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._channels.clear()

    def _tick(self) -> None:
        loop = self._switch.loop
        for channel in list(self._channels.values()):
            if channel.hungup or not beat(channel):
                self._channels.pop(channel.uuid, None)
        if not self._channels:
            self._timer = None
            return
        self._next += pcm.FRAME_S
        now = loop.time()
        if now - self._next > 0.2:  # after a stall: go on from here, as a soft timer does, not in a burst
            self.late_ticks += 1
            self._next = now
        self._timer = loop.call_at(self._next, self._tick)


def beat(channel: Channel) -> bool:
    """One frame each way. False when nothing is left to do."""
    callee, sends = channel.callee, channel.other is not None or channel.apps.sends
    if sends and channel.stuck:
        return True
    callee.advance()
    heard = channel.apps.tick()
    if heard is None and channel.other is not None:
        heard = channel.other.callee.frame(8000)
    if heard is None and sends:
        heard = SILENT
    if heard is not None:
        for bug in list(channel.displaced.values()):
            heard = bug.mixed(heard)
    callee.hear(heard)
    for fork in list(channel.forks.values()):
        fork.send_frame()
    for recording in channel.recordings.values():
        recording.add()
    return bool(
        channel.forks or channel.recordings or channel.displaced or channel.apps.busy or channel.other or callee.live
    )
