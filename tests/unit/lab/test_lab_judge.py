"""The judge: sliding windows, overlapping dialogs, duplicates, from records alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from lab.judge import Record, count_over, dialogs, judge, main, max_in_window, max_overlap, mean_overlap

S = 1_000_000_000


def invite(at: float, call: str, number: str = "+1", verdict: str = "admitted", outcome: str = "answered") -> Record:
    return {"t": int(at * S), "k": "invite", "call_id": call, "number": number, "verdict": verdict, "outcome": outcome}


def mark(at: float, kind: str, call: str) -> Record:
    return {"t": int(at * S), "k": kind, "call_id": call, "why": "bye received"}


def test_a_window_slides_over_a_second_boundary() -> None:
    # 3 at the end of one calendar second and 3 at the begin of the next: 6 in a sliding second.
    records = [invite(t, f"c{n}") for n, t in enumerate((0.7, 0.8, 0.9, 1.1, 1.2, 1.3))]
    verdict = judge(records, cps=5)
    assert verdict.peak_invites == 6
    assert [text.split(",")[0] for text in verdict.violations] == ["6 INVITEs within 1 s"]


def test_exactly_one_window_apart_is_not_the_same_window() -> None:
    assert max_in_window([0, S], 1.0)[0] == 1
    assert max_in_window([0, S - 1], 1.0)[0] == 2


def test_the_window_agrees_with_counting_every_one() -> None:
    rng = random.Random(5)
    for _ in range(50):
        stamps = [rng.randrange(5 * S) for _ in range(rng.randrange(1, 60))]
        slow = max(sum(begin <= other < begin + S for other in stamps) for begin in stamps)
        assert max_in_window(stamps, 1.0)[0] == slow


def test_overlap_counts_the_refused_moment_and_open_ends() -> None:
    assert max_overlap([(0, 10), (10, 20)])[0] == 1
    assert max_overlap([(0, 10), (5, 5)])[0] == 2
    assert max_overlap([(0, None), (5, None), (6, 7)])[0] == 3


def test_channels_are_counted_from_invite_to_end_and_answered_apart() -> None:
    records = [
        invite(0, "a"),
        invite(0.1, "b"),
        invite(0.2, "c"),
        mark(0.5, "answer", "b"),
        mark(1, "end", "a"),
        mark(2, "end", "b"),
        mark(3, "end", "c"),
    ]
    verdict = judge(records, cps=10, channels=2)
    assert (verdict.peak_channels, verdict.peak_answered, verdict.answered, verdict.open_at_end) == (3, 1, 1, 0)
    assert verdict.violations == ["3 channels at once, allowed 2, at 0.200000"]


def test_a_second_call_of_one_call_id_is_a_violation_but_a_challenge_is_not() -> None:
    challenged = [invite(0, "a", verdict="challenged"), invite(0.1, "a"), mark(1, "end", "a")]
    assert judge(challenged).ok
    assert judge(challenged).peak_invites == 2
    assert judge(challenged, count_challenged=False).peak_invites == 1
    twice = [invite(0, "a"), mark(1, "end", "a"), invite(5, "a"), mark(6, "end", "a")]
    assert judge(twice).duplicate_call_ids == {"a": 2}
    assert not judge(twice).ok


def test_who_sent_and_how_many_were_over() -> None:
    records = [{**invite(n / 10, f"c{n}"), "peer": f"127.0.0.1:{n % 2}"} for n in range(5)]
    verdict = judge(records, cps=3)
    assert verdict.sources == {"127.0.0.1:0": 3, "127.0.0.1:1": 2}
    assert (verdict.peak_invites, verdict.invites_over) == (5, 2)
    assert verdict.rate == pytest.approx(10.0)
    assert judge(records, cps=0).invites_over == 0


def test_a_datagram_counts_as_an_invite_without_a_dialog() -> None:
    records: list[Record] = [
        {"t": 0, "k": "datagram", "call_id": "a", "peer": "d1"},
        {"t": S // 2, "k": "datagram", "call_id": "b", "peer": "d2"},
        {"t": S // 2, "k": "pause", "ms": 4.5},
        {"t": 2 * S, "k": "datagram", "call_id": "a", "peer": "d2"},
    ]
    verdict = judge(records, cps=1)
    assert (verdict.invites, verdict.peak_invites, verdict.peak_channels, verdict.longest_pause_ms) == (3, 2, 0, 4.5)
    assert verdict.sources == {"d1": 1, "d2": 2}
    assert verdict.duplicate_call_ids == {"a": 2}


def test_the_count_of_those_over_agrees_with_counting_every_one() -> None:
    rng = random.Random(6)
    for _ in range(50):
        stamps = [rng.randrange(5 * S) for _ in range(rng.randrange(1, 60))]
        limit = rng.randrange(1, 12)
        slow = sum(sum(end - S < other <= end for other in stamps) > limit for end in set(stamps))
        assert count_over(stamps, 1.0, limit) == slow


def test_the_mean_overlap_agrees_with_looking_at_every_moment() -> None:
    rng = random.Random(7)
    for _ in range(50):
        spans = [(begin := rng.randrange(80), rng.choice([None, begin + rng.randrange(40)])) for _ in range(20)]
        out = [(begin := rng.randrange(100), begin + rng.randrange(30)) for _ in range(rng.randrange(4))]
        since, until = sorted(rng.sample(range(100), 2))
        moments = [t for t in range(since, until) if not any(begin <= t < end for begin, end in out)]
        levels = [sum(begin <= t and (end is None or t < end) for begin, end in spans) for t in moments]
        slow = sum(levels) / len(levels) if levels else 0.0
        assert mean_overlap(spans, since, until, out) == pytest.approx(slow)


def test_dialogs_are_those_whose_channels_count() -> None:
    records = [invite(0, "a", verdict="challenged"), invite(1, "a"), mark(2, "end", "a"), invite(3, "b")]
    assert dialogs(records) == [(S, 2 * S), (3 * S, None)]


def test_retransmissions_are_no_invites() -> None:
    verdict = judge([invite(0, "a"), mark(0.5, "retransmit", "a"), mark(1.5, "retransmit", "a")], cps=1)
    assert (verdict.invites, verdict.retransmissions, verdict.ok) == (1, 2, True)


def test_a_carrier_that_starts_again_has_no_open_calls() -> None:
    start = {"t": S, "k": "start", "carrier": "a", "cps": 0, "channels": 1}
    verdict = judge([invite(0, "a"), start, invite(2, "b"), mark(3, "end", "b")])
    assert (verdict.peak_channels, verdict.open_at_end, verdict.ok) == (1, 0, True)


def test_the_command_line_takes_limits_from_the_log_and_tells_by_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "a.jsonl"
    start = {"t": 0, "k": "start", "carrier": "a", "cps": 1, "channels": 5}
    lines = [json.dumps(record) for record in [start, invite(0, "a"), invite(0.1, "b")]]
    log.write_text("\n".join(lines) + "\n" + '{"t":1,"k":"inv')  # killed while it wrote
    assert main([str(log), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["peak_invites"] == 2
    assert main([str(log), "--cps", "2"]) == 0
    assert main([str(tmp_path / "none.jsonl")]) == 2
