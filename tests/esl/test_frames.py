"""The frame parser: any cut of the bytes gives the same frames, and nothing a stranger says becomes a header."""

from __future__ import annotations

import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.frames import (
    MAX_HEAD_BYTES,
    EventError,
    Frame,
    FrameError,
    FrameParser,
    parse_json,
    parse_plain,
    text_of,
)
from tests.esl import traces

LIMIT = 1 << 20


def frames_of(chunks: list[bytes], limit: int = LIMIT) -> tuple[list[Frame], str | None]:
    """What a parser makes of the chunks: the frames, and the error that ended it."""
    parser, got = FrameParser(limit), []
    try:
        for chunk in chunks:
            for frame in parser.feed(chunk):
                got.append(frame)
    except FrameError as error:
        return got, str(error)
    return got, None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]


header_name = st.text("abcXYZ-_", min_size=1, max_size=12).filter(lambda n: n not in ("Content-Length", "Content-Type"))
header_value = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30).map(str.strip)


@st.composite
def stream(draw: st.DrawFn) -> bytes:
    """Good frames, stray empty lines, bodies with anything in them, and perhaps a bad frame somewhere."""
    data = b""
    for _ in range(draw(st.integers(0, 6))):
        data += b"\n" * draw(st.integers(0, 2))
        headers = draw(st.dictionaries(header_name, header_value, max_size=4))
        kind = draw(st.sampled_from(["api/response", "command/reply", "text/event-json", "auth/request"]))
        body = draw(st.one_of(st.none(), st.binary(max_size=60), st.sampled_from([b"\n\n", b"Content-Type: x\n\n", b""])))
        lines = [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Type: {kind}"]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines = draw(st.permutations(lines))
        data += "\n".join(lines).encode() + b"\n\n" + (body or b"")
    return data + draw(st.sampled_from([b"", b"", b"bad\n\n", b"Content-Type: a\nContent-Length: x\n\n", b"Content-T"]))


@given(stream(), st.lists(st.integers(0, 10_000), max_size=40))
@example(b"Content-Type: api/response\nContent-Length: 2\n\n\n\nContent-Type: auth/request\n\n", list(range(80)))
@example(
    b"\nContent-Length: 2\nContent-Type: text/event-json\n\n{}Content-Length: 9\nContent-Type: text/event-json\n\n", [9]
)
def test_any_cut_gives_the_same_frames(data: bytes, places: list[int]) -> None:
    whole = frames_of([data])
    assert frames_of(cut(data, places)) == whole
    assert frames_of([data[i : i + 1] for i in range(len(data))]) == whole


@pytest.mark.parametrize("name", traces.NAMES)
def test_recordings_byte_by_byte(name: str) -> None:
    blocks = list(traces.said(name))
    data = b"".join(blocks)
    whole, error = frames_of([data])
    assert error is None
    assert len(whole) == len(blocks)
    step = 7
    assert frames_of([data[i : i + step] for i in range(0, len(data), step)]) == (whole, None)
    for frame in whole:
        if frame.is_event:
            assert text_of(frame.event(), "Core-UUID") == "1142e8e8-df76-4288-91f5-9c9ddd72d6f0"


def test_replies_and_their_text() -> None:
    data = (
        b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: 1\nJob-UUID: 1\n\n"
        b"Content-Type: api/response\nContent-Length: 4\n\n+OK\n"
        b"Content-Type: api/response\nContent-Length: 0\n\n"
        b"Content-Type: auth/request\n\n"
    )
    got, _ = frames_of([data])
    assert [(f.is_reply, f.text()) for f in got] == [(True, "+OK Job-UUID: 1"), (True, "+OK"), (True, ""), (False, "")]
    assert got[0].headers["Job-UUID"] == "1"


@pytest.mark.parametrize(
    "value", ["-1", "+1", "1e3", "0x10", "1_000", "\u0663", "", " ", "1 2", "99999999999", str(LIMIT + 1)]
)
def test_content_length_is_bounded(value: str) -> None:
    got, error = frames_of([b"Content-Type: auth/request\n\n", f"Content-Type: a\nContent-Length: {value}\n\n".encode()])
    assert len(got) == 1
    assert error is not None
    assert "Content-Length" in error


def test_the_limit_itself_is_allowed() -> None:
    body = b"x" * 100
    got, error = frames_of([b"Content-Type: api/response\nContent-Length: 100\n\n" + body], limit=100)
    assert error is None
    assert got[0].body == body


def test_a_head_that_never_ends_is_refused_before_it_is_kept() -> None:
    parser = FrameParser(LIMIT)

    def endless() -> None:
        for _ in range(1000):
            list(parser.feed(b"x: " + b"y" * 997 + b"\n"))

    with pytest.raises(FrameError, match="head"):
        endless()
    assert parser.buffered <= MAX_HEAD_BYTES


def test_after_an_error_the_parser_stays_dead() -> None:
    parser = FrameParser(LIMIT)
    with pytest.raises(FrameError):
        list(parser.feed(b"bad\n\n"))
    with pytest.raises(FrameError):
        list(parser.feed(b"Content-Type: auth/request\n\n"))


def test_data_is_taken_even_if_nobody_iterates() -> None:
    parser = FrameParser(LIMIT)
    parser.feed(b"Content-Type: auth")
    assert [f.content_type for f in parser.feed(b"/request\n\n")] == ["auth/request"]


def test_a_later_header_overwrites_nothing() -> None:
    got, error = frames_of([b"Content-Type: command/reply\nReply-Text: -ERR\nReply-Text: +OK\n\n"])
    assert (got[0].text(), error) == ("-ERR", None)
    for twice in (b"Content-Type: a\nContent-Type: b\n\n", b"Content-Type: a\nContent-Length: 0\nContent-Length: 5\n\n"):
        assert frames_of([twice])[1] is not None


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_frame_bytes"):
        FrameParser(0)


hostile = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["\nUnique-ID: x", "a\n\nEvent-Name: CHANNEL_HANGUP", "x\r\nEvent-Name: y", "%0aEvent-Name: y", "\n\n", ": ", "ARRAY"]
)


@given(st.dictionaries(header_name, hostile, min_size=1, max_size=6), hostile)
def test_plain_values_never_become_headers(values: dict[str, str], body: str) -> None:
    """The stock parser decodes the block before it splits: an encoded newline there overwrites any header."""
    raw = body.encode()
    lines = ["Event-Name: CHANNEL_CREATE", *(f"{n}: {quote(v, safe='')}" for n, v in values.items())]
    event = parse_plain("\n".join([*lines, f"Content-Length: {len(raw)}"]).encode() + b"\n\n" + raw)
    expected = {n: v.removeprefix("ARRAY::").split("|:") if v.startswith("ARRAY::") else v for n, v in values.items()}
    assert event == {"Event-Name": "CHANNEL_CREATE", **expected, "Content-Length": str(len(raw)), "_body": body}


@given(st.dictionaries(header_name, hostile | st.lists(hostile, max_size=3), max_size=6))
def test_json_says_what_plain_says(values: dict[str, str | list[str]]) -> None:
    assert parse_json(json.dumps(values).encode()) == values


def test_plain_keeps_the_first_of_two_and_reads_arrays() -> None:
    event = parse_plain(b"Unique-ID: real\nUnique-ID: false\nlist: ARRAY::a%20b|:c\nempty: \nnocolon\nbad: %ff\n\n")
    assert event == {"Unique-ID": "real", "list": ["a b", "c"], "empty": "", "bad": "\ufffd"}
    assert text_of(event, "list") is None
    assert text_of(event, "empty") is None
    assert text_of(event, "absent") is None


@pytest.mark.parametrize("length", ["9", "-1", "x"])
def test_inner_length_is_bounded(length: str) -> None:
    with pytest.raises(EventError, match="inner Content-Length"):
        parse_plain(f"Event-Name: BACKGROUND_JOB\nContent-Length: {length}\n\n-ERR x\n".encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"[" * 200_000, b"\x00"])
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(EventError):
        parse_json(body)


def test_raw_control_characters_and_bad_bytes_cost_no_event() -> None:
    assert parse_json(b'{"a":"x\ty\x01","b":"\xc3\x28"}') == {"a": "x\ty\x01", "b": "\ufffd("}


def test_a_frame_without_an_event() -> None:
    with pytest.raises(EventError):
        Frame({"Content-Type": "log/data"}, b"x").event()
