"""uuid_displace of a raw file or pipe: it is mixed into what the channel sends (switch_ivr_displace_session, `mf`)."""

from __future__ import annotations

import asyncio
import os
import select
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.switch.recording import mix

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_FRAME_BYTES = int(pcm.FRAME_S * 8000) * 2
#: s; between two looks of what would wait in the kernel there.
_LOOK_S = 0.005


class Displace:
    """One bug on one channel; a frame is read for each that the channel sends, and at the end of the file the bug is gone.

    A pipe that holds nothing while somebody could still write into it stops the channel's own thread, here as there: until
    there is sound, or an end, nothing goes either way and a hangup is not carried out (`stuck`).
    """

    def __init__(self, channel: Channel, path: str, fd: int, first: bytes) -> None:
        self._channel = channel
        self._path = path
        self._fd = fd
        self._first = first  # was read to see whether there is somebody

    @classmethod
    async def start(cls, channel: Channel, path: str) -> bool:
        """False where FreeSWITCH refuses: no media yet, no such file, or this one plays already. A pipe is waited for until
        somebody opens it for writing.
        """
        if not channel.has_media or path in channel.displaced or not path.endswith(".raw"):
            return False
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            while (first := _first(fd)) is None:
                await asyncio.sleep(_LOOK_S)
            while channel.stuck:  # its thread has the lock of its bugs
                await asyncio.sleep(_LOOK_S)
        except BaseException:
            os.close(fd)
            raise
        if channel.hungup or path in channel.displaced:
            os.close(fd)
            return False
        channel.displaced[path] = bug = cls(channel, path, fd, first)
        channel.fire("MEDIA_BUG_START", bug._bug())
        channel.switch.media.watch(channel)
        return True

    def _bug(self) -> list[tuple[str, str]]:
        return [("Media-Bug-Function", "displace"), ("Media-Bug-Target", self._path)]

    @property
    def stuck(self) -> bool:
        """Whether the channel waits for sound."""
        return not self._first and not _events(self._fd)

    def mixed(self, frame: bytes) -> bytes:
        """What is sent instead of ``frame``."""
        read, self._first = self._first + os.read(self._fd, _FRAME_BYTES - len(self._first)), b""
        if not read:
            self.stop()
            return frame
        return mix(frame, read.ljust(len(frame), b"\0"))

    def stop(self) -> None:
        """The end of the file, or of the channel."""
        if self._channel.displaced.pop(self._path, None) is not None:
            os.close(self._fd)
            self._channel.fire("MEDIA_BUG_STOP", self._bug())


def _events(fd: int) -> int:
    """Not 0: there is something to read, or whoever wrote has closed it."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)


def _first(fd: int) -> bytes | None:
    """None: nobody has opened that pipe for writing since we opened it. Else what had to be read to know, mostly nothing."""
    if _events(fd):
        return b""
    try:
        return os.read(fd, 1) or None
    except BlockingIOError:
        return b""  # somebody has, and has written nothing yet
