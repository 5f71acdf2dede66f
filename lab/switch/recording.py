"""uuid_record: both sides mixed into one wav, or one on each channel, with the events and variables FreeSWITCH adds."""

from __future__ import annotations

import array
from pathlib import Path
from typing import TYPE_CHECKING

from lab.audio import pcm
from lab.switch.sendmsg import is_true

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_MAX_FRAMES = 30 * 60 * 50


class Recording:
    """Made by `start`, ended by `stop` or by the hangup."""

    def __init__(self, channel: Channel, path: str, *, stereo: bool) -> None:
        self._channel = channel
        self.path = path
        self.masked = False
        self._stereo = stereo
        self._frames: list[tuple[bytes, bytes]] = []

    @classmethod
    def start(cls, channel: Channel, path: str, variables: str = "") -> bool:
        """False where FreeSWITCH cannot open the file. `variables`: ``{NAME=value,...}`` of this recording alone."""
        if path in channel.recordings:
            return True  # "Already recording"
        if not Path(path).parent.is_dir():
            return False
        own = dict(word.split("=", 1) for word in variables.strip("{}").split(",") if "=" in word)
        stereo = is_true(own.get("RECORD_STEREO", channel.vars.get("RECORD_STEREO", "")))
        recording = channel.recordings[path] = cls(channel, path, stereo=stereo)
        channel.fire("RECORD_START", back=[("Record-File-Path", path)])
        channel.fire("MEDIA_BUG_START", recording._bug())
        channel.switch.media.watch(channel)
        return True

    def _bug(self) -> list[tuple[str, str]]:
        return [("Media-Bug-Function", "session_record"), ("Media-Bug-Target", self.path)]

    def add(self) -> None:
        if len(self._frames) < _MAX_FRAMES:
            callee = self._channel.callee
            said = callee.frame(8000), callee.last_heard
            self._frames.append((bytes(len(said[0])), bytes(len(said[1]))) if self.masked else said)

    def stop(self) -> None:
        self._channel.recordings.pop(self.path, None)
        form = interleave if self._stereo else mix
        data, channels = b"".join(form(mine, theirs) for mine, theirs in self._frames), 2 if self._stereo else 1
        if data:
            pcm.write_wav(self.path, data, channels=channels)
        else:
            self._channel.vars["RECORD_DISCARDED"] = "true"
        cause = self._cause(bool(data))
        samples = len(data) // 2 // channels
        self._channel.vars.update(
            {
                "record_file_size": str(len(data) + 44),
                "record_samples": str(samples),
                "record_seconds": str(samples // 8000),
                "record_ms": str(samples // 8),
                "record_completion_cause": cause,
            }
        )
        self._channel.fire("RECORD_STOP", back=[("Record-File-Path", self.path), ("Record-Completion-Cause", cause)])
        self._channel.fire("MEDIA_BUG_STOP", self._bug())

    def _cause(self, recorded: bool) -> str:
        if not recorded:
            return "empty-file"
        return "no-input-timeout" if self._channel.hungup else "success-maxtime"


def interleave(left: bytes, right: bytes) -> bytes:
    """Two channels as one stereo stretch of the left one's length; the right one is cut, or silent at its end."""
    samples = pcm.unpack(left)
    both = array.array("h", bytes(4 * len(samples)))
    both[::2] = samples
    both[1::2] = pcm.unpack(right.ljust(len(left), b"\0")[: len(left)])
    return pcm.pack(list(both))


def mix(one: bytes, two: bytes) -> bytes:
    """Sum with saturation."""
    if not any(two):
        return one
    if not any(one):
        return two
    pairs = zip(pcm.unpack(one), pcm.unpack(two), strict=False)
    return pcm.pack([max(-32768, min(32767, a + b)) for a, b in pairs])
