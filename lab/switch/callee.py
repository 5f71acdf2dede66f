"""The person at the far end, as the carrier's answer describes them: what they say, press and hear."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from lab.audio import pcm

if TYPE_CHECKING:
    from lab.sip.sdp import MediaLine
    from lab.switch.channel import Channel

_ECHO_FRAMES = 50  # the echo comes one second late
SILENT = pcm.silence(pcm.FRAME_S)


class Callee:
    """Frames are 20 ms of PCM16 at 8 kHz. `heard` keeps the last `heard_s` seconds in which audio ran."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.speech = "silent"
        self.dtmf = ""
        self.pressed = ""
        self.received = ""  # keys pressed towards them; w: a pause
        self._frames: dict[int, tuple[bytes, ...]] = {}
        self._at = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._heard: deque[bytes] = deque(maxlen=max(1, int(channel.switch.config.heard_s / pcm.FRAME_S)))
        self.last_heard = SILENT

    def configure(self, words: str | None) -> None:
        """`speech=tone:440;dtmf=12@1.0;hangup=3` (the hangup itself comes as the carrier's BYE)."""
        for word in (words or "").split(";"):
            name, _, value = word.partition("=")
            if name == "speech":
                self.speech = value
                self._frames.clear()
            elif name == "dtmf":
                self.dtmf = value

    @property
    def live(self) -> bool:
        """Whether audio runs as long as the channel is there."""
        return False

    def connect(self, media: MediaLine) -> None:
        """The carrier said where it takes audio: here it takes none."""

    def answered(self) -> None:
        digits, _, when = self.dtmf.partition("@")
        loop = self._channel.switch.loop
        for number, digit in enumerate(digits):
            self._timers.append(loop.call_later(float(when or 0) + 0.3 * number, self.press, digit))

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def press(self, digit: str) -> None:
        self.pressed += digit
        digits = [("DTMF-Digit", digit), ("DTMF-Duration", "1600"), ("DTMF-Source", "RTP")]
        self._channel.fire("DTMF", back=digits, verbose=False)

    def receive(self, keys: str) -> None:
        """Keys that the other side presses."""
        self.received += keys

    def advance(self) -> None:
        self._at += 1

    def frame(self, rate: int) -> bytes:
        """What the callee says in this 20 ms, at 8 or n*8 kHz."""
        if self.speech == "echo":
            sound = self._heard[-_ECHO_FRAMES] if len(self._heard) >= _ECHO_FRAMES else SILENT
            return sound if rate == 8000 else pcm.resample(sound, 8000, rate)
        if self.speech == "stamps":
            return pcm.stamped(self._at)
        frames = self._frames.get(rate)
        if frames is None:
            frames = self._frames[rate] = pcm.looped_frames(self.speech, rate)
        return frames[self._at % len(frames)]

    def hear(self, frame: bytes | None) -> None:
        self.last_heard = frame or SILENT
        self._heard.append(self.last_heard)

    @property
    def heard(self) -> bytes:
        return b"".join(self._heard)
