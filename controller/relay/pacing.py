"""When which piece of the agent's audio goes to the switch. No input or output, no clock of its own.

The switch plays files one after the other without a gap, provided the next one is queued before the current one ends.
Too few queued: gaps. Too many: a barge-in has more to flush, and marks come late. So a chunk is handed out when at most
one chunk's time is left to play, or, when less than a chunk has been gathered, ``lead_ms`` before the switch runs dry.
What an agent sent ahead goes in longer pieces: each new file costs us a file and three events, and the callee's own voice a
frame or two, where the switch has no jitter buffer (it throws away what its socket holds whenever a file begins or ends).
All times are seconds of any one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from controller.relay.audio import BYTES_PER_MS

#: A chunk of which nothing was heard this long after its reckoned end counts as played (s).
OVERDUE_S = 2.0
#: A parked channel looks at its queue every 20 ms.
_START_S = 0.02
#: The switch holds at most 256 private events per channel; we stay far away from that.
_MAX_OUTSTANDING = 16
#: s; nothing that others play holds the agent up for longer, should its end not be heard of.
HOLD_MAX_S = 120.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One playback file to be. ``number`` counts up from 1 within the call; 0: the file that leads."""

    number: int
    pcm: bytes
    ends_at: int  # bytes of the stream played once this chunk is
    file_s: float | None = None  # s; it is no audio of the stream's, but a file of that length (number 0)

    @property
    def seconds(self) -> float:
        return len(self.pcm) / (BYTES_PER_MS * 1000) if self.file_s is None else self.file_s


@dataclass(slots=True)
class _Sent:
    chunk: Chunk
    at: float
    end: float  # reckoned


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a clear threw away."""

    outstanding: bool  # something was on the switch: it must be told to break
    marks: list[str | None]  # never reached


class Player:
    """The agent's audio of one call on its way to the switch."""

    def __init__(self, *, first_ms: int, chunk_ms: int, max_buffer_ms: int, long_ms: int = 0, lead_ms: int = 60) -> None:
        """``long_ms``: of what waits already so much goes out in one; 0: a chunk."""
        self._first = first_ms * BYTES_PER_MS
        self._chunk = chunk_ms * BYTES_PER_MS
        self._long = max(chunk_ms, long_ms) * BYTES_PER_MS
        self._chunk_s = chunk_ms / 1000
        self._lead_s = lead_ms / 1000
        self._max = max_buffer_ms * BYTES_PER_MS
        self._buffer = bytearray()
        self._fed = 0  # bytes of the stream taken in
        self._played = 0  # bytes of the stream the callee has heard, or that were cleared
        self._marks: deque[tuple[int, str | None]] = deque()
        self._sent: deque[_Sent] = deque()  # on the switch
        self._dry_at = 0.0  # when the switch will have nothing left
        self._last_feed = 0.0
        self._number = 0
        self._open = False
        self._held_until: float | None = None
        self._lead: Chunk | None = None  # not handed out yet

    @property
    def outstanding(self) -> int:
        """Chunks on the switch that are not known to have been played."""
        return len(self._sent)

    @property
    def buffered_ms(self) -> float:
        """ms of audio taken in and not yet handed out."""
        return len(self._buffer) / BYTES_PER_MS

    @property
    def marks_waiting(self) -> int:
        """Marks that were not reached yet."""
        return len(self._marks)

    def open(self) -> None:
        """The callee answered: audio may go out. Before, it is only gathered."""
        self._open = True

    def close(self) -> None:
        """From here on it is only gathered again."""
        self._open = False

    @property
    def held(self) -> bool:
        """Something else plays."""
        return self._held_until is not None

    def held_over(self, now: float) -> bool:
        """It has been held for as long as may be."""
        return self._held_until is not None and now >= self._held_until

    def hold(self, now: float) -> None:
        """Something else plays, before what waits on the switch: nothing is handed out or overdue until it is over."""
        if self._open:
            self._held_until = now + HOLD_MAX_S

    def release(self, now: float) -> None:
        """It is over: what waited on the switch plays now."""
        self._held_until = None
        self._reckon(now)

    def room(self, size: int) -> bool:
        """Whether so many bytes can be fed."""
        return len(self._buffer) + size <= self._max

    def feed(self, pcm: bytes, now: float) -> bool:
        """Take in whole samples. False when the buffer is full: then nothing of ``pcm`` was taken."""
        if not self.room(len(pcm)):
            return False
        self._buffer += pcm
        self._fed += len(pcm)
        self._last_feed = now
        return True

    def lead(self, seconds: float, name: str) -> None:
        """A file of that length comes before all that waits, with the mark ``name`` at its end. Before :meth:`open`."""
        size = max(1, int(seconds * 1000)) * BYTES_PER_MS
        end = self._played + size  # behind what was fed and cleared
        self._lead = Chunk(0, b"", end, seconds)
        self._fed += size
        self._marks = deque([(end, name), *((at + size, later) for at, later in self._marks)])

    def mark(self, name: str | None) -> list[str | None]:
        """Remember ``name`` at this place of the stream; returns the marks that are reached already (it, or none)."""
        self._marks.append((self._fed, name))
        return self._reached()

    def due(self, now: float) -> Chunk | None:
        """The chunk to hand to the switch now, if one is due. It counts as handed over."""
        if self._lead is not None and self._open and not self.held:
            chunk, self._lead = self._lead, None
        elif size := self._due_size(now):
            pcm = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._number += 1
            chunk = Chunk(self._number, pcm, self._fed - len(self._buffer))
        else:
            return None
        self._dry_at = max(self._dry_at, now + _START_S) + chunk.seconds
        self._sent.append(_Sent(chunk, now, self._dry_at))
        return chunk

    def _due_size(self, now: float) -> int:
        have = len(self._buffer)
        if not self._open or self.held or not have or len(self._sent) >= _MAX_OUTSTANDING:
            return 0
        left = self._dry_at - now
        if left <= 0:
            # Silence on the line: the first piece is short; a word shorter than that goes once nothing follows it.
            ready = have >= self._first or now - self._last_feed >= self._lead_s
        elif have >= self._chunk:
            ready = left <= self._chunk_s
        else:
            ready = left <= self._lead_s
        return self._piece(have) if ready else 0

    def _piece(self, have: int) -> int:
        """Bytes of a chunk. A longer one ends where a mark is: that is told when its chunk is over, not sooner."""
        begin = self._fed - have
        mark = next((at - begin for at, _ in self._marks if at > begin), have)
        return min(have, self._long, max(mark, self._chunk))

    def wake_at(self, now: float) -> float | None:
        """When to ask :meth:`due` and :meth:`overdue` again if nothing else happens; None: only when fed or told."""
        if self._held_until is not None:
            return self._held_until
        times = [now] if self._open and self._lead is not None else []
        if self._open and self._buffer and len(self._sent) < _MAX_OUTSTANDING:
            left = self._dry_at - now
            if left <= 0:
                times.append(self._last_feed + self._lead_s)
            else:
                times.append(self._dry_at - (self._chunk_s if len(self._buffer) >= self._chunk else self._lead_s))
        if self._sent:
            times.append(self._sent[0].end + OVERDUE_S)
        return min(times) if times else None

    def finished(self, number: int, at: float) -> tuple[list[int], list[str | None]]:
        """The switch played chunk ``number`` to its end at ``at``.

        Returns the chunks that are over now (it, and earlier ones whose end was not heard of) and the marks reached.
        An unknown number (cleared before) is neither.
        """
        if all(sent.chunk.number != number for sent in self._sent):
            return [], []
        over = []
        while self._sent:
            chunk = self._sent.popleft().chunk
            over.append(chunk.number)
            self._played = chunk.ends_at
            if chunk.number == number:
                break
        self._reckon(at)
        return over, self._reached()

    def _reckon(self, at: float) -> None:
        """The next one starts at ``at``, where what was before it ended, unless it came too late for that: its and the later
        ends are reckoned anew, so that no error adds up.
        """
        end = at
        for sent in self._sent:
            end = sent.end = max(end, sent.at) + sent.chunk.seconds
        self._dry_at = end

    def overdue(self, now: float) -> tuple[list[int], list[str | None]]:
        """Chunks whose end should have been heard of long ago count as played; as :meth:`finished`."""
        over: list[int] = []
        if self.held:
            return over, []
        while self._sent and now - self._sent[0].end >= OVERDUE_S:
            chunk = self._sent.popleft().chunk
            over.append(chunk.number)
            self._played = chunk.ends_at
        return over, self._reached()

    def clear(self) -> Cleared:
        """Throw away everything not yet played."""
        cleared = Cleared(outstanding=bool(self._sent), marks=[name for _, name in self._marks])
        self._buffer.clear()
        self._marks.clear()
        self._lead = None
        self._sent.clear()
        self._played = self._fed
        self._dry_at = 0.0
        return cleared

    def _reached(self) -> list[str | None]:
        names: list[str | None] = []
        while self._marks and self._marks[0][0] <= self._played:
            names.append(self._marks.popleft()[1])
        return names
