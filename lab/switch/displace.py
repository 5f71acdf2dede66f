"""uuid_displace of a raw file or pipe: it is mixed into what the channel sends (switch_ivr_displace_session, `mf`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.switch.recording import mix

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_FRAME_BYTES = int(pcm.FRAME_S * 8000) * 2


class Displace:
    """One bug on one channel; a frame is read for each that the channel sends, and at the end of the file the bug is gone.

    A pipe that holds nothing while somebody could still write into it stops the channel's own thread, here as there: until
    there is sound, or an end, nothing goes either way and a hangup is not carried out (`stuck`).
    """

    def __init__(self, channel: Channel, path: str, fd: int) -> None:
        self._channel = channel
        self._path = path
        self._fd = fd
        self._next: bytes | None = None

    @classmethod
    def start(cls, channel: Channel, path: str) -> bool:
        """False where FreeSWITCH refuses: no media yet, no such file, or this one plays already."""
        if not channel.has_media or path in channel.displaced or not path.endswith(".raw"):
            return False
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        channel.displaced[path] = bug = cls(channel, path, fd)
        channel.fire("MEDIA_BUG_START", bug._bug())
        channel.switch.media.watch(channel)
        return True

    def _bug(self) -> list[tuple[str, str]]:
        return [("Media-Bug-Function", "displace"), ("Media-Bug-Target", self._path)]

    @property
    def stuck(self) -> bool:
        """Whether the channel waits for sound. The next frame is read ahead to know."""
        if self._next is None:
            try:
                self._next = os.read(self._fd, _FRAME_BYTES)
            except BlockingIOError:
                return True
        return False

    def mixed(self, frame: bytes) -> bytes:
        """What is sent instead of ``frame``."""
        read, self._next = self._next or b"", None
        if not read:
            self.stop()
            return frame
        return mix(frame, read.ljust(len(frame), b"\0"))

    def stop(self) -> None:
        """The end of the file, or of the channel."""
        if self._channel.displaced.pop(self._path, None) is not None:
            os.close(self._fd)
            self._channel.fire("MEDIA_BUG_STOP", self._bug())
