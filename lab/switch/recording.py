"""uuid_record: both sides mixed into one wav, with the events and variables FreeSWITCH adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.audio import pcm

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_MAX_FRAMES = 30 * 60 * 50


class Recording:
    """Made by `start`, ended by `stop` or by the hangup."""

    def __init__(self, channel: Channel, path: str) -> None:
        self._channel = channel
        self.path = path
        self._frames: list[tuple[bytes, bytes]] = []

    @classmethod
    def start(cls, channel: Channel, path: str) -> bool:
        """False where FreeSWITCH cannot open the file."""
        if not Path(path).parent.is_dir():
            return False
        recording = channel.recordings[path] = cls(channel, path)
        channel.fire("RECORD_START", back=[("Record-File-Path", path)])
        channel.fire("MEDIA_BUG_START", recording._bug())
        channel.switch.media.watch(channel)
        return True

    def _bug(self) -> list[tuple[str, str]]:
        return [("Media-Bug-Function", "session_record"), ("Media-Bug-Target", self.path)]

    def add(self) -> None:
        if len(self._frames) < _MAX_FRAMES:
            callee = self._channel.callee
            self._frames.append((callee.frame(8000), callee.last_heard))

    def stop(self) -> None:
        self._channel.recordings.pop(self.path, None)
        mixed = b"".join(mix(mine, theirs) for mine, theirs in self._frames)
        pcm.write_wav(self.path, mixed)
        samples = len(mixed) // 2
        self._channel.vars.update(
            {
                "record_file_size": str(len(mixed) + 44),
                "record_samples": str(samples),
                "record_seconds": str(samples // 8000),
                "record_ms": str(samples // 8),
                "record_completion_cause": "success-maxtime",
            }
        )
        self._channel.fire(
            "RECORD_STOP", back=[("Record-File-Path", self.path), ("Record-Completion-Cause", "success-maxtime")]
        )
        self._channel.fire("MEDIA_BUG_STOP", self._bug())


def mix(one: bytes, two: bytes) -> bytes:
    """Sum with saturation."""
    if not any(two):
        return one
    if not any(one):
        return two
    pairs = zip(pcm.unpack(one), pcm.unpack(two), strict=False)
    return pcm.pack([max(-32768, min(32767, a + b)) for a, b in pairs])
