"""What of the agent's audio goes to the switch next, and what of it was heard. No input or output, no clock of its own.

The switch takes a frame each 20 ms out of a pipe, and what it has not taken can be counted: so it is known to the frame
what the callee has heard. It is given some ahead, by which it plays on while this process stands still; for a barge-in that
is taken back, so it costs nothing. When nothing is left the switch stops reading, and a turn begins anew, for which the
switch keeps memory until the hangup (docs/operations.md); so in pauses silence is put in, which is taken back when there is
audio again.
All times are seconds of any one monotonic clock.
"""

from __future__ import annotations

from collections import deque

from controller.relay.audio import BYTES_PER_MS, FRAME_BYTES

#: s; nothing was fed for so long: what is there is all of a word.
LULL_S = 0.06
#: Bytes; with no more ahead silence is put in, up to what is ahead of audio, or at least to so much.
_LOW, _FILL = 2 * FRAME_BYTES, 4 * FRAME_BYTES
#: s; after such a pause the silence comes in long pieces: with no more than the first, up to the second.
PAUSE_S, _LONG_LOW, _LONG_FILL = 0.5, 25 * FRAME_BYTES, 100 * FRAME_BYTES
#: s; to be topped up when so much of what is ahead is played.
_STEP_S = 0.06
_BYTES_PER_S = BYTES_PER_MS * 1000


class Stream:
    """The agent's audio of one call. In the pipe lie bytes of the stream, and silence behind them."""

    def __init__(self, *, first_ms: int, ahead_ms: int, max_buffer_ms: int) -> None:
        self._first = first_ms * BYTES_PER_MS
        self._ahead = ahead_ms * BYTES_PER_MS
        self._max = max_buffer_ms * BYTES_PER_MS
        self._buffer = bytearray()
        self._given = 0  # bytes of the stream that were put into the pipe and not taken back
        self._heard = 0  # bytes of the stream the callee has heard, or that were cleared
        self._silence = 0  # bytes of it in the pipe
        self._unread = 0  # bytes in the pipe, when it was last looked at
        self._looked = 0.0
        self._last_feed = float("-inf")
        self._spoken_at = float("-inf")  # what was given last is over then
        self._marks: deque[tuple[int, str | None]] = deque()

    @property
    def waiting(self) -> int:
        """Bytes taken in and not given to the switch."""
        return len(self._buffer)

    @property
    def heard(self) -> int:
        """Bytes of the stream that are over."""
        return self._heard

    @property
    def unheard(self) -> int:
        """Bytes of the stream that the switch has and had not played when it was last looked."""
        return self._given - self._heard

    @property
    def dry_at(self) -> float:
        """When the switch has nothing left, if it goes on as it should."""
        return self._looked + self._unread / _BYTES_PER_S

    @property
    def marks_waiting(self) -> int:
        """Marks that were not reached yet."""
        return len(self._marks)

    def room(self, size: int) -> bool:
        """Whether so many bytes can be fed."""
        return len(self._buffer) + size <= self._max

    def feed(self, pcm: bytes, now: float) -> None:
        """Take in whole samples, for which there is room."""
        self._buffer += pcm
        self._last_feed = now

    def mark(self, name: str | None) -> None:
        """Remember ``name`` at this place of the stream; see :meth:`reached`."""
        self._marks.append((self._given + len(self._buffer), name))

    def ready(self, now: float) -> bool:
        """Whether a turn may begin: enough is there that a late message makes no gap, or a word shorter than that."""
        return bool(self._buffer) and (len(self._buffer) >= self._first or now - self._last_feed >= LULL_S)

    def look(self, unread: int, now: float) -> bool:
        """So much is in the pipe. True: less than before."""
        moved = unread < self._unread
        self._unread, self._looked = unread, now
        self._silence = min(self._silence, unread)
        self._heard = self._given - (unread - self._silence)
        return moved

    def mends(self, now: float) -> bool:
        """Silence lies where audio is to be: everything is to be taken back first (:meth:`back`).

        At once while audio lies before the silence, so that no gap comes about; a gap that is there lasts until enough is
        gathered that no other follows.
        """
        before = now < self._looked + (self._unread - self._silence) / _BYTES_PER_S
        return self._silence > 0 and (self.ready(now) or (before and len(self._buffer) >= FRAME_BYTES))

    def take(self, now: float) -> bytes:
        """What to put into the pipe now, whole frames, behind what was seen there; perhaps nothing.

        No audio is put behind silence (:meth:`mends`).
        """
        pcm = b"" if self._silence else self._audio(now)
        self._unread += len(pcm)
        if pcm:
            self._spoken_at = now + self._unread / _BYTES_PER_S
        return pcm + self.quiet(now)

    def quiet(self, now: float) -> bytes:
        """The same where nothing may be heard: silence, perhaps none."""
        low, fill = self._measure(now)
        size = fill - self._unread if self._unread <= low else 0
        self._silence += size
        self._unread += size
        return bytes(size)

    def _measure(self, now: float) -> tuple[int, int]:
        """Bytes of which there are to be more, and else up to how many silence is put in."""
        if now - self._spoken_at >= PAUSE_S:
            return _LONG_LOW, _LONG_FILL
        return _LOW, max(_FILL, self._ahead - self._ahead % FRAME_BYTES)

    def _audio(self, now: float) -> bytes:
        size = max(0, min(len(self._buffer), self._ahead - self._unread))
        size -= size % FRAME_BYTES
        if len(self._buffer) - size < FRAME_BYTES and now - self._last_feed >= LULL_S:
            size = len(self._buffer)  # the rest is less than a frame, and nothing follows
        pcm = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._given += size
        self._silence = -size % FRAME_BYTES
        return pcm + bytes(self._silence)

    def back(self, pipe: bytes) -> None:
        """All that the pipe held was taken back: its audio is what is given next."""
        self._unread = len(pipe)
        self._silence = min(self._silence, len(pipe))
        self.left(pipe)
        self._heard = self._given

    def left(self, pcm: bytes) -> None:
        """The end of what was taken, for which the pipe had no room."""
        silence = min(self._silence, len(pcm))
        audio = pcm[: len(pcm) - silence]
        self._buffer[:0] = audio
        self._given -= len(audio)
        self._silence -= silence
        self._unread -= len(pcm)

    def clear(self) -> list[str | None]:
        """Throw away everything that was not heard; returns the marks that are not reached any more."""
        marks = [name for _, name in self._marks]
        self._marks.clear()
        self._buffer.clear()
        self._heard = self._given
        self._silence = self._unread = 0
        return marks

    def next_look(self, now: float, *, free: bool = True) -> float:
        """When to look again, at the latest: something may be reached, or is to be given, then. ``free``: also audio."""
        dry = self.dry_at
        times = [dry - self._measure(now)[0] / _BYTES_PER_S]
        if not free:
            return max(now, times[0])
        if self._buffer and self._silence:
            times.append(now if self.mends(now) else self._last_feed + LULL_S)
        elif self._buffer:
            times.append(dry - self._ahead / _BYTES_PER_S + _STEP_S)
        if self._marks:
            times.append(self._looked + (self._marks[0][0] - self._heard) / _BYTES_PER_S)
        return max(now, min(times))

    def reached(self) -> list[str | None]:
        """Marks whose place was heard."""
        names: list[str | None] = []
        while self._marks and self._marks[0][0] <= self._heard:
            names.append(self._marks.popleft()[1])
        return names

    def lost(self) -> list[str | None]:
        """What was given and not heard is not heard any more; returns the marks in it and at its end."""
        names: list[str | None] = []
        while self._marks and self._marks[0][0] <= self._given:
            names.append(self._marks.popleft()[1])
        self._heard = self._given
        self._silence = self._unread = 0
        return names
