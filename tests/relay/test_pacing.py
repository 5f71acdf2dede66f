"""The player against a model of the switch: it plays what is queued back to back, and tells of each end a little late."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.relay.audio import BYTES_PER_MS
from controller.relay.pacing import OVERDUE_S, Chunk, Player

STEP_MS = 5
MS = BYTES_PER_MS


def player(first_ms: int = 100, chunk_ms: int = 400, max_buffer_ms: int = 10_000, long_ms: int = 0) -> Player:
    made = Player(first_ms=first_ms, chunk_ms=chunk_ms, max_buffer_ms=max_buffer_ms, long_ms=long_ms)
    made.open()
    return made


class Line:
    """A channel: starts what is queued at its next 20 ms, then goes on without a gap; ends are heard 25 ms late."""

    def __init__(self) -> None:
        self.queue: deque[Chunk] = deque()
        self.heard = bytearray()
        self.gaps_ms: list[int] = []
        self.deepest_ms = 0
        self.ends: deque[tuple[int, int, int]] = deque()  # told at, number, ended at
        self._left = 0
        self._dry_since: int | None = None

    def take(self, chunk: Chunk) -> None:
        self.queue.append(chunk)
        played = len(self.queue[0].pcm) - self._left if self._left else 0
        waiting = (sum(len(c.pcm) for c in self.queue) - played) // MS
        self.deepest_ms = max(self.deepest_ms, waiting)

    def tick(self, now: int) -> None:
        if not self.queue:
            return
        if not self._left:
            if self._dry_since is not None:
                if now % 20:
                    return
                self.gaps_ms.append(now - self._dry_since)
            elif not self.heard and now % 20:
                return
            self._left = len(self.queue[0].pcm)
            self._dry_since = None
        self._left -= min(self._left, STEP_MS * MS)
        if not self._left:
            chunk = self.queue.popleft()
            self.heard += chunk.pcm
            self.ends.append((now + STEP_MS + 25, chunk.number, now + STEP_MS))
            if not self.queue:
                self._dry_since = now + STEP_MS


def play(p: Player, feeds: dict[int, bytes], until_ms: int) -> tuple[Line, list[str | None]]:
    line, marks = Line(), []
    for now in range(0, until_ms, STEP_MS):
        if now in feeds:
            assert p.feed(feeds[now], now / 1000)
        while line.ends and line.ends[0][0] <= now:
            _, number, at = line.ends.popleft()
            marks += p.finished(number, at / 1000)[1]
        while (chunk := p.due(now / 1000)) is not None:
            line.take(chunk)
        line.tick(now)
    return line, marks


def pattern(ms: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(ms * MS))


def test_audio_sent_at_once_is_heard_whole_and_without_a_gap() -> None:
    p = player()
    said = pattern(2940)
    p_marks_before = p.mark("start")
    line, marks = play(p, {0: said}, 4000)
    assert p_marks_before == ["start"], "nothing is before it"
    assert bytes(line.heard) == said
    assert line.gaps_ms == []
    assert line.deepest_ms <= 2 * 400, "at most two chunks on the switch"
    assert marks == []
    assert p.mark("end") == ["end"]
    assert p.outstanding == 0


def test_audio_that_comes_at_the_pace_of_speech_has_no_gap_either() -> None:
    p = player()
    frames = {ms: pattern(20) for ms in range(0, 3000, 20)}
    line, _ = play(p, frames, 4000)
    assert len(line.heard) == 3000 * MS
    assert line.gaps_ms == []
    assert line.deepest_ms <= 200


def test_what_was_sent_ahead_goes_out_in_long_pieces_that_end_where_a_mark_is() -> None:
    p = player(long_ms=1600)
    p.feed(pattern(200), 0.0)
    p.mark("within a chunk")
    p.feed(pattern(700), 0.0)
    p.mark("within a long one")
    p.feed(pattern(3000), 0.0)
    sizes, now = [], 0.0
    while (chunk := p.due(now)) is not None:
        sizes.append(len(chunk.pcm) // MS)
        now += chunk.seconds
    assert sizes == [400, 500, 1600, 1400]


def test_the_first_piece_goes_out_short() -> None:
    p = player(first_ms=100)
    p.feed(pattern(80), 0.0)
    assert p.due(0.0) is None
    p.feed(pattern(20), 0.02)
    chunk = p.due(0.02)
    assert chunk is not None
    assert len(chunk.pcm) == 100 * MS


def test_a_word_shorter_than_the_first_piece_is_said_once_nothing_follows() -> None:
    p = player(first_ms=100)
    p.feed(pattern(40), 0.0)
    wake = p.wake_at(0.0)
    assert wake is not None
    assert p.due(wake - 0.001) is None
    assert p.due(wake) is not None


def test_nothing_goes_out_before_the_answer() -> None:
    p = Player(first_ms=100, chunk_ms=400, max_buffer_ms=10_000)
    p.feed(pattern(1000), 0.0)
    assert p.due(5.0) is None
    assert p.wake_at(5.0) is None
    p.open()
    assert p.due(5.0) is not None


def test_a_mark_is_reported_when_what_is_before_it_was_played_and_not_sooner() -> None:
    p = player()
    p.feed(pattern(500), 0.0)
    assert p.mark("middle") == []
    p.feed(pattern(500), 0.0)
    assert p.mark(None) == []
    first = p.due(0.0)
    assert first is not None
    second = p.due(0.1)
    assert second is not None
    assert p.finished(first.number, 0.42) == ([1], [])
    assert p.finished(second.number, 0.82) == ([2], ["middle"])
    third = p.due(0.82)
    assert third is not None
    assert p.finished(third.number, 1.02) == ([3], [None])


def test_an_end_that_was_not_heard_of_is_known_from_the_next() -> None:
    p = player()
    p.feed(pattern(800), 0.0)
    p.mark("all")
    one, two = p.due(0.0), p.due(0.1)
    assert one is not None
    assert two is not None
    assert p.finished(two.number, 0.82) == ([1, 2], ["all"])
    assert p.finished(one.number, 0.83) == ([], [])


def test_a_chunk_nothing_is_heard_of_counts_as_played_in_the_end() -> None:
    p = player()
    p.feed(pattern(400), 0.0)
    p.mark("lost")
    assert p.due(0.0) is not None
    assert p.overdue(1.0) == ([], [])
    wake = p.wake_at(1.0)
    assert wake is not None
    assert wake <= 0.42 + OVERDUE_S
    assert p.overdue(wake) == ([1], ["lost"])
    assert p.wake_at(wake) is None


def test_clear_forgets_everything_and_what_comes_after_plays_at_once() -> None:
    p = player()
    p.feed(pattern(3000), 0.0)
    p.mark("never")
    chunk = p.due(0.0)
    assert chunk is not None
    cleared = p.clear()
    assert cleared.outstanding
    assert cleared.marks == ["never"]
    assert p.due(0.01) is None
    assert p.finished(chunk.number, 0.02) == ([], [])
    p.feed(pattern(200), 0.03)
    assert p.due(0.03) is not None, "it does not wait for what was cleared"
    assert not Player(first_ms=1, chunk_ms=1, max_buffer_ms=1).clear().outstanding


def test_a_full_buffer_refuses_whole_messages() -> None:
    p = player(max_buffer_ms=1000)
    assert p.feed(pattern(900), 0.0)
    assert not p.feed(pattern(200), 0.0)
    assert p.buffered_ms == 900
    assert p.feed(pattern(100), 0.0)


@settings(deadline=None)  # a model in steps of 5 ms, on a machine that may be busy
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=20),
    st.integers(20, 400),
    st.sampled_from([0, 1600]),
)
def test_whatever_the_pace_everything_is_heard_in_order(bursts: list[tuple[int, int]], first_ms: int, long_ms: int) -> None:
    p = player(first_ms=first_ms, long_ms=long_ms)
    feeds: dict[int, bytes] = {}
    at = 0
    for pause, frames in bursts:
        at += pause * STEP_MS
        feeds[at] = feeds.get(at, b"") + pattern(frames * 20)
    said = b"".join(feeds[key] for key in sorted(feeds))
    line, _ = play(p, feeds, at + len(said) // MS + 3000)
    assert bytes(line.heard) == said
    assert line.deepest_ms <= 400 + max(400, long_ms) + 60, "two, and what the reckoning of starts and ends may be off"
    assert p.outstanding == 0
    assert p.buffered_ms == 0


def test_what_was_cleared_before_a_file_leads_moves_no_mark() -> None:
    p = Player(first_ms=100, chunk_ms=400, max_buffer_ms=10_000)
    p.feed(pattern(5000), 0.0)
    p.clear()
    p.feed(pattern(300), 0.0)
    p.mark("said")
    p.lead(2.0, "led")
    p.open()
    lead = p.due(1.0)
    assert lead is not None
    assert lead.number == 0
    assert p.mark(None) == [], "nothing of it was heard yet"
    assert p.finished(0, 3.0) == ([0], ["led"])
    rest = p.due(3.0)
    assert rest is not None
    assert p.finished(rest.number, 3.3) == ([1], ["said", None])
