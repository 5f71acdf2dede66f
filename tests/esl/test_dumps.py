"""What a real switch answered to questions: dumps of channels, lists, and the small replies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from calls.evidence import Source, State
from controller.esl_replies import ReplyError, channels, dump, exists, fence, job
from controller.evidence import from_dump
from controller.frames import FrameParser
from tests.esl import traces

A = UUID("f3280cf2-59b3-4d51-b8d1-b6d6f408f532")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def us(text: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(text))


def replies(name: str, begins: str) -> list[str]:
    parser = FrameParser(1 << 20)
    found = [f.text() for data in traces.said(name) for f in parser.feed(data) if f.content_type == "api/response"]
    return [text for text in found if text.startswith(begins)]


def test_dump_of_a_live_channel() -> None:
    (text,) = replies("duplicate_uuid_and_queries", "Event-Name: CHANNEL_DATA")
    attempt = UUID("f12eb9bc-2914-40e2-99ef-a87293601e6b")
    evidence = from_dump(attempt, text, NOW)
    assert evidence is not None
    assert (evidence.state, evidence.at, evidence.source) == (
        State.IN_PROGRESS, us("1795217461994371"), Source.RECONCILE
    )  # fmt: skip
    assert from_dump(A, text, NOW) is None
    assert dump(text)["Answer-State"] == "answered"


@pytest.mark.parametrize(
    "text", ["-ERR No such channel!", "", "nonsense", "Event-Name: CHANNEL_DATA\nContent-Length: 9\n\n"]
)
def test_dump_of_no_channel(text: str) -> None:
    assert from_dump(A, text, NOW) is None


def test_dump_states() -> None:
    def state(**times: str) -> State:
        lines = [f"Unique-ID: {A}", "Caller-Channel-Created-Time: 1795217461000000"]
        lines += [f"Caller-Channel-{name.replace('_', '-')}-Time: {value}" for name, value in times.items()]
        evidence = from_dump(A, "\n".join(lines) + "\n", NOW)
        assert evidence is not None
        return evidence.state

    assert state(Progress="0", Answered="0") is State.DIALING
    assert state(Progress="1795217461100000") is State.RINGING
    assert state(Progress_Media="1795217461200000") is State.EARLY
    assert state(Progress="1795217461300000", Progress_Media="1795217461200000") is State.RINGING
    assert state(Progress_Media="1795217461200000", Answered="1795217461300000") is State.IN_PROGRESS


def test_lists_of_channels() -> None:
    assert channels(replies("queries", '{"row_count": 0}')[0]) == []
    (one, *_) = replies("duplicate_uuid_and_queries", '{"row_count":1')
    assert [row["uuid"] for row in channels(one)] == ["f12eb9bc-2914-40e2-99ef-a87293601e6b"]
    for wrong in ("[]", "x", '{"rows": 7}', '{"rows": [7]}'):
        with pytest.raises(ReplyError):
            channels(wrong)


def test_small_replies() -> None:
    assert exists("true")
    assert not exists("false")
    assert (fence(""), fence("12")) == (None, 12)
    assert job(f"+OK Job-UUID: {A}") == A
    for function, wrong in (
        (exists, "TRUE"),
        (fence, "-1"),
        (fence, "\u0663"),
        (job, "+OK"),
    ):
        with pytest.raises(ReplyError):
            function(wrong)
