"""When somebody speaks, and when they are through: by loudness alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agents.reference.sound import SAMPLE_RATE, bytes_in, rms


@dataclass(frozen=True, slots=True)
class Spoken:
    """Somebody stopped speaking; ``pcm`` is what they said, with a little before it."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Speaking:
    """Somebody began to speak."""


class Hearing:
    """Frames in, speech out. Times in ms; no clock: 20 ms pass with each 320 bytes at a ``rate`` of 8,000 samples a second.

    Speech begins after ``begin_ms`` in a row louder than ``loud`` (RMS) and ends after ``pause_ms`` in a row that are
    not. Speech longer than ``most_ms`` is cut there.
    """

    def __init__(
        self,
        *,
        loud: float = 400.0,
        begin_ms: int = 60,
        pause_ms: int = 500,
        before_ms: int = 200,
        most_ms: int = 15_000,
        rate: int = SAMPLE_RATE,
    ) -> None:
        self._frame_bytes = bytes_in(20, rate)
        self._loud = loud
        self._begin = max(1, begin_ms // 20)
        self._pause = max(1, pause_ms // 20)
        self._most = max(1, most_ms // 20)
        self._rest = bytearray()
        self._before: deque[bytes] = deque(maxlen=max(self._begin, before_ms // 20))
        self._said: list[bytes] | None = None  # None: nobody speaks
        self._run = 0  # frames in a row that are loud (nobody speaks) or quiet (somebody does)

    def hear(self, pcm: bytes) -> list[Speaking | Spoken]:
        """Take audio in, in pieces of any size."""
        self._rest += pcm
        heard: list[Speaking | Spoken] = []
        while len(self._rest) >= self._frame_bytes:
            frame = bytes(self._rest[: self._frame_bytes])
            del self._rest[: self._frame_bytes]
            if (event := self._frame(frame)) is not None:
                heard.append(event)
        return heard

    def _frame(self, frame: bytes) -> Speaking | Spoken | None:
        loud = rms(frame) > self._loud
        if self._said is None:
            self._before.append(frame)
            self._run = self._run + 1 if loud else 0
            if self._run < self._begin:
                return None
            self._said, self._run = list(self._before), 0
            self._before.clear()
            return Speaking()
        self._said.append(frame)
        self._run = 0 if loud else self._run + 1
        if self._run < self._pause and len(self._said) < self._most:
            return None
        # The pause itself is not part of what was said.
        pcm = b"".join(self._said[: len(self._said) - self._run])
        self._said, self._run = None, 0
        return Spoken(pcm)
