"""The agent's audio against a model of the switch: it takes a frame each 20 ms, and is through when there is none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.relay.audio import BYTES_PER_MS
from controller.relay.pacing import LULL_S, PAUSE_S, Stream

MS = BYTES_PER_MS
FRAME = 20 * MS


def stream(first_ms: int = 60, ahead_ms: int = 200, max_buffer_ms: int = 10_000) -> Stream:
    return Stream(first_ms=first_ms, ahead_ms=ahead_ms, max_buffer_ms=max_buffer_ms)


def said(ms: int) -> bytes:
    """Without a silent frame."""
    return bytes(1 + i * 7 % 251 for i in range(ms * MS))


class Line:
    """A pipe with the switch behind it. ``heard``: what came out of it; ``turns``: how often it began."""

    def __init__(self) -> None:
        self.pipe = bytearray()
        self.flows = False
        self.heard = bytearray()
        self.turns = 0
        self.deepest = self.deepest_aloud = 0  # bytes; of sound alone

    def tick(self) -> None:
        if self.flows:
            self.heard += self.pipe[:FRAME]
            self.flows = bool(self.pipe)  # a read that brings nothing is the end of it
            del self.pipe[:FRAME]

    def work(self, s: Stream, now: float, *, late: bool = False) -> list[str | None]:
        """As :class:`controller.relay.voice.Voice`; ``now`` in s. ``late``: the switch reads behind the look."""
        if not self.flows:
            s.look(0, now)
            if s.ready(now):
                self.flows, self.turns = True, self.turns + 1
                self.pipe += s.take(now)
        else:
            s.look(len(self.pipe), now)
            seen = bool(self.pipe)
            if late:
                self.tick()
            if seen:
                if s.mends(now):
                    s.back(bytes(self.pipe))
                    self.pipe.clear()
                self.pipe += s.take(now)
        self.deepest = max(self.deepest, len(self.pipe))
        self.deepest_aloud = max(self.deepest_aloud, len(aloud(self.pipe)))
        return s.reached()


def play(
    s: Stream,
    feeds: dict[int, bytes],
    until_ms: int,
    *,
    stalls: frozenset[int] = frozenset(),
    phase: int = 5,
    late: bool = False,
) -> tuple[Line, list[str | None]]:
    """``feeds``, ``stalls``: by ms, in steps of 5; in those beats nobody looks. ``phase``: ms of 20 at which the switch
    reads; ``late``: in the middle of the look, if there is one then.
    """
    line, marks, look_at = Line(), [], 0.0
    for now in range(0, until_ms, 5):
        if now in feeds:
            s.feed(feeds[now], now / 1000)
            look_at = min(look_at, s.next_look(now / 1000))
        at_once = now in feeds and now not in stalls and s.mends(now / 1000)
        looks = (now % 20 == 0 or at_once) and now not in stalls and now / 1000 >= look_at - 1e-9
        if looks:
            marks += line.work(s, now / 1000, late=late and now % 20 == phase)
            look_at = s.next_look(now / 1000) if line.pipe else 0.0
        if now % 20 == phase and not (late and looks):
            line.tick()
    return line, marks


def aloud(heard: bytes | bytearray) -> bytes:
    return bytes(heard).replace(b"\0", b"")


def pauses(heard: bytes | bytearray) -> int:
    """Frames of silence before the last sound."""
    frames = [heard[at : at + FRAME] for at in range(0, len(heard), FRAME)]
    last = max(n for n, frame in enumerate(frames) if any(frame))
    return sum(not any(frame) for frame in frames[:last])


def test_audio_sent_at_once_is_heard_whole_and_without_a_gap() -> None:
    s = stream()
    s.mark("start")
    assert s.reached() == ["start"], "nothing is before it"
    line, marks = play(s, {0: said(2940)}, 4000)
    assert aloud(line.heard) == said(2940)
    assert pauses(line.heard) == 0
    assert line.turns == 1
    assert line.deepest_aloud == 200 * MS
    assert marks == []
    s.mark("end")
    assert s.reached() == ["end"]


@pytest.mark.parametrize("phase", [0, 5, 10, 15])
@pytest.mark.parametrize("late", [False, True])
def test_audio_that_comes_at_the_pace_of_speech_has_no_gap_either(phase: int, late: bool) -> None:
    line, _ = play(stream(), {ms: said(20) for ms in range(0, 3000, 20)}, 4000, phase=phase, late=late)
    assert aloud(line.heard) == b"".join(said(20) for _ in range(150))
    assert pauses(line.heard) == 0
    assert line.deepest_aloud <= 100 * MS


def test_a_message_that_is_late_and_yet_in_time_makes_no_gap() -> None:
    chance, silent = random.Random(7), 0
    for run in range(20):
        feeds: dict[int, bytes] = {}
        for ms in range(0, 3000, 20):
            at = ms + 5 * chance.randrange(0, 8)  # up to 35 ms
            feeds[at] = feeds.get(at, b"") + said(20)
        silent += pauses(play(stream(), feeds, 4000, phase=5 * (run % 4))[0].heard)
    assert silent <= 2


def test_nobody_hears_that_the_relay_stands_still_for_less_than_is_ahead() -> None:
    line, _ = play(stream(), {0: said(2000)}, 3000, stalls=frozenset(range(500, 640)) | frozenset(range(1200, 1340)))
    assert aloud(line.heard) == said(2000)
    assert pauses(line.heard) == 0
    assert line.turns == 1


def test_for_longer_nothing_is_lost_but_a_turn_begins_anew() -> None:
    line, _ = play(stream(), {0: said(1000)}, 3000, stalls=frozenset(range(500, 1000)))
    assert aloud(line.heard) == said(1000)
    assert line.turns == 2


def test_a_word_shorter_than_is_gathered_is_said_once_nothing_follows() -> None:
    s = stream(first_ms=100)
    s.feed(said(45), 1.0)
    assert not s.ready(1.0 + LULL_S - 0.001)
    assert s.ready(1.0 + LULL_S)
    pcm = s.take(1.0 + LULL_S)
    assert pcm.startswith(said(45) + b"\0")
    assert len(pcm) % FRAME == 0
    assert not stream().ready(5.0)


@pytest.mark.parametrize("pause", [int(PAUSE_S * 1000) - 60, int(PAUSE_S * 1000) + 300, 20_000])
def test_pauses_are_silence_and_no_turn_begins_anew(pause: int) -> None:
    line, _ = play(stream(), {0: said(300), 300 + pause: said(300)}, 3000 + pause)
    assert line.turns == 1
    assert aloud(line.heard) == said(300) * 2
    assert line.deepest <= 2000 * MS


def test_in_a_long_pause_it_is_seldom_looked() -> None:
    s, looks, last = stream(), 0, 0.0
    s.feed(said(200), 0.0)
    unread = len(s.take(0.0))
    for ms in range(20, 60_000, 20):
        unread -= FRAME
        assert unread > 0, "the switch does not come to an end"
        if ms / 1000 >= s.next_look(last):
            last, looks = ms / 1000, looks + 1
            s.look(unread, last)
            unread += len(s.take(last))
    assert looks < 60


def test_what_a_pipe_has_no_room_for_comes_next_time() -> None:
    s = stream(ahead_ms=1000)
    s.feed(said(1500), 0.0)
    s.mark("all")
    pcm = s.take(0.0)
    s.left(pcm[500 * MS :])
    s.look(300 * MS, 0.2)
    assert s.take(0.2) == said(1500)[500 * MS : 1200 * MS]
    assert s.reached() == []
    quiet = stream()
    pcm = quiet.take(9.0)
    assert len(pcm) > 512 * MS
    quiet.left(pcm[512 * MS :])
    quiet.look(492 * MS, 9.02)
    assert quiet.unheard == 0


def test_what_is_said_after_a_pause_does_not_wait_behind_silence() -> None:
    line, _ = play(stream(), {0: said(200), 400: said(200)}, 1000)
    first = next(at for at in range(300 * MS, len(line.heard), FRAME) if any(line.heard[at : at + FRAME]))
    assert first // MS <= 400


def test_a_mark_is_reported_when_what_is_before_it_was_played_and_not_sooner() -> None:
    s = stream()
    s.feed(said(100), 0.0)
    s.mark("middle")
    s.feed(said(60), 0.0)
    s.mark(None)
    assert len(s.take(0.0)) == 160 * MS
    assert s.next_look(0.0) <= 0.1
    s.look(80 * MS, 0.08)
    assert s.reached() == []
    s.look(60 * MS, 0.1)
    assert s.reached() == ["middle"]
    s.look(20 * MS, 0.14)
    assert s.reached() == []
    s.look(0, 0.16)
    assert s.reached() == [None]


def test_a_mark_does_not_wait_for_the_silence_behind_it() -> None:
    s = stream()
    s.feed(said(30), 0.0)
    s.mark("word")
    pipe = s.take(LULL_S)
    assert len(pipe) >= 2 * FRAME
    s.look(len(pipe) - FRAME, LULL_S + 0.02)
    assert s.reached() == []
    s.look(len(pipe) - 2 * FRAME, LULL_S + 0.04)
    assert s.reached() == ["word"]


def test_clear_forgets_everything_and_what_comes_after_plays_at_once() -> None:
    s = stream()
    s.feed(said(3000), 0.0)
    s.mark("never")
    s.take(0.0)
    s.look(100 * MS, 0.1)
    assert s.clear() == ["never"]
    assert (s.waiting, s.unheard, s.marks_waiting) == (0, 0, 0)
    quiet = s.take(2.0)
    assert quiet, "in its place there is silence"
    assert not any(quiet)
    s.feed(said(200), 2.0)
    s.mark("next")
    assert s.mends(2.0)
    s.back(quiet)
    assert s.take(2.0) == said(200)
    s.look(0, 2.2)
    assert s.reached() == ["next"]


def test_what_is_taken_back_is_said_again_from_there() -> None:
    s = stream()
    s.feed(said(300), 0.0)
    s.mark("all")
    pipe = s.take(0.0)
    s.back(pipe[40 * MS :])
    assert s.waiting == 260 * MS
    assert s.reached() == []
    assert s.take(5.0) == said(300)[40 * MS : 240 * MS]


def test_a_full_buffer_has_no_room_for_a_message() -> None:
    s = stream(max_buffer_ms=1000)
    assert s.room(1000 * MS)
    s.feed(said(900), 0.0)
    assert not s.room(200 * MS)
    assert s.room(100 * MS)


@settings(deadline=None, max_examples=40)  # a model in steps of 5 ms, on a machine that may be busy
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 500)), max_size=8),
    st.integers(20, 300),
    st.integers(60, 400),
    st.integers(0, 1 << 30),
    st.sampled_from([0, 5, 10, 15]),
    st.booleans(),
)
def test_whatever_the_pace_everything_is_heard_in_order(
    bursts: list[tuple[int, int]], first_ms: int, ahead_ms: int, seed: int, phase: int, late: bool
) -> None:
    s = stream(first_ms=first_ms, ahead_ms=ahead_ms, max_buffer_ms=100_000)
    feeds: dict[int, bytes] = {}
    at = 0
    for pause, ms in bursts:
        at += pause * 5
        feeds[at] = feeds.get(at, b"") + said(ms)
    whole = b"".join(feeds[key] for key in sorted(feeds))
    end = at + len(whole) // MS + 4000
    chance = random.Random(seed)
    stalls = frozenset(ms for ms in range(0, end, 20) if chance.random() < 0.2)
    line, _ = play(s, feeds, end, stalls=stalls, phase=phase, late=late)
    assert aloud(line.heard) == whole
    assert line.deepest <= 2000 * MS + FRAME
    s.mark("end")
    assert (s.reached(), s.waiting, s.unheard) == (["end"], 0, 0)
