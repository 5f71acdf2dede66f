"""How fast a receiver may be sent to, who goes first, and what the small HTTP client makes of odd answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from jobs.webhook_http import encode
from jobs.webhook_pace import FAILURES, REST_MAX_S, REST_S, RETRY_AFTER_MAX_S, WINDOW_S, Pace
from jobs.webhook_post import Poster, _seconds
from jobs.webhook_receivers import Receivers
from jobs.webhook_schedule import next_wait
from tests.web.test_webhook_parts import delivery


def failing(pace: Pace, at: float, times: int = FAILURES, every: float = 1.0) -> float:
    """So many failures in a row; when the last of them was."""
    for turn in range(times):
        pace.failed(at + turn * every, 500, None)
    return at + (times - 1) * every


def test_five_failures_and_nothing_else_make_it_rest_and_one_goes_ahead_after_that() -> None:
    pace = Pace(4)
    last = failing(pace, 100.0, FAILURES - 1)
    assert pace.places(last) == 4
    pace.failed(last + 1, None, None)
    assert (pace.places(last + 1), pace.rest(last + 1)) == (0, REST_S)
    assert pace.places(last + 1 + REST_S) == 1
    pace.failed(last + 1 + REST_S, 500, None)
    assert pace.rest(last + 1 + REST_S) == 2 * REST_S
    pace.succeeded(last + 1 + 3 * REST_S)
    assert pace.places(last + 1 + 3 * REST_S) == 4
    last = failing(pace, 1000.0)
    assert pace.rest(last) == REST_S


def test_failures_far_apart_or_among_successes_are_no_reason() -> None:
    pace = Pace(4)
    last = failing(pace, 0.0, 20, every=WINDOW_S / (FAILURES - 1) + 0.1)
    assert pace.places(last) == 4
    for turn in range(40):  # two in three fail
        failing(pace, 1000.0 + turn, 2, every=0.1)
        pace.succeeded(1000.5 + turn)
    assert pace.places(1041.0) == 4
    # Once it is dead, what it took before does not speak for it for long.
    for turn in range(16):
        assert pace.places(1041.0 + turn) == 4
        pace.failed(1041.0 + turn, None, None)
        if pace.rest(1041.0 + turn):
            break
    assert 5 <= turn < 16


def test_the_longest_rest_is_bounded_and_so_is_what_a_receiver_asks_for() -> None:
    pace, at = Pace(4), failing(Pace(4), 0.0)
    failing(pace, 0.0)
    for _ in range(12):
        at += pace.rest(at)
        pace.failed(at, 500, None)
    assert pace.rest(at) == REST_MAX_S
    pace = Pace(4)
    pace.failed(0.0, 503, 10.0**9)
    assert (pace.places(0.0), pace.rest(0.0)) == (0, RETRY_AFTER_MAX_S)
    assert pace.places(RETRY_AFTER_MAX_S) == 1


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_one_that_is_overloaded_gets_fewer_at_once_and_slowly_more(code: int) -> None:
    pace = Pace(4)
    pace.failed(0.0, code, None)
    assert pace.places(0.0) == 2
    pace.failed(0.0, code, None)
    pace.failed(0.0, code, None)
    assert pace.places(0.0) == 1
    for places in (2, 3, 4, 4):
        pace.succeeded(0.0)
        assert pace.places(0.0) == places
    pace.failed(0.0, 500, None)
    assert pace.places(0.0) == 4


def test_what_waits_for_one_that_rests_is_handed_back_until_then() -> None:
    receivers = Receivers(total=16, per_url=4)
    for _ in range(10):
        receivers.add(delivery("https://dead.example/"))
    receivers.add(delivery("https://well.example/"))
    for one in list(receivers.start(0.0)):
        if "dead" in one.url:
            receivers.finished(one, ok=False, now=1.0, code=500)
    for one in list(receivers.start(1.0)):
        receivers.finished(one, ok=False, now=1.0, code=500)
    handed_back = list(receivers.excess(1.0))
    assert {one.rest_s for one in handed_back} == {REST_S}
    receivers.add(delivery("https://dead.example/"))
    assert list(receivers.start(2.0)) == []
    assert len(list(receivers.start(1.0 + REST_S))) == 1


def test_endpoints_of_one_host_do_not_slow_each_other() -> None:
    receivers = Receivers(total=16, per_url=1)
    for endpoint_id in (UUID(int=1), UUID(int=2)):
        receivers.add(replace(delivery("https://one.example/"), endpoint_id=endpoint_id))
    assert len(list(receivers.start(0.0))) == 2


def test_ends_go_first_and_have_places_of_their_own() -> None:
    receivers = Receivers(total=8, per_url=8)
    others = [delivery("https://a.example/") for _ in range(20)]
    for one in others:
        receivers.add(one)
    assert len(list(receivers.start(0.0))) == 6
    assert (receivers.room, receivers.ends_room) == (0, 16)
    ends = [replace(delivery("https://b.example/", uuid4()), lane=0) for _ in range(3)]
    for one in ends:
        receivers.add(one)
    assert list(receivers.start(0.0)) == ends[:2]
    receivers.finished(others[0], ok=True, now=0.1)
    assert list(receivers.start(0.1)) == ends[2:]
    # Behind a slow receiver the others are handed back before any end is.
    receivers = Receivers(total=8, per_url=1)
    for one in (
        delivery("https://c.example/"),
        delivery("https://c.example/"),
        replace(ends[0], id=uuid4(), url="https://c.example/", tenant_id=others[0].tenant_id),
    ):
        receivers.add(one)
    list(receivers.start(0.0))
    assert [one.delivery.lane for one in receivers.excess(5.0)] == [1]


def test_what_is_not_on_record_is_bounded_at_each_receiver() -> None:
    receivers = Receivers(total=32, per_url=2)
    for _ in range(20):
        receivers.add(delivery("https://fast.example/"))
    answered = []
    while batch := list(receivers.start(0.0)):
        for one in batch:
            receivers.finished(one, ok=True, now=0.0, written=False)
        answered += batch
    assert len(answered) == 4
    receivers.written(answered[0], 0.0)
    assert len(list(receivers.start(0.0))) == 1


def test_a_receiver_is_never_asked_earlier_than_it_said() -> None:
    for chance in (0.0, 0.5, 0.999):
        wait = next_wait(1, chance, (0, 5, 300), 60.0)
        assert wait is not None
        assert 60 <= wait.total_seconds() <= 72
    assert next_wait(3, 0.5, (0, 5, 300), 60.0) is None


def test_both_forms_of_retry_after() -> None:
    assert _seconds("120", 0.0) == 120
    assert _seconds("Thu, 01 Jan 1970 00:01:00 GMT", 10.0) == 50
    assert _seconds("Thu, 01 Jan 1970 00:00:01 GMT", 10.0) == 0
    assert [_seconds(text, 0.0) for text in (None, "", "soon", "-5", "1.5")] == [None] * 5


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[int]]]:
    """A server that sends these bytes, one after each request; connections are counted."""
    listener = socket.create_server(("127.0.0.1", 0))
    left, connections = list(answers), [0]

    def serve() -> None:
        while left:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            connections[0] += 1
            with peer:
                while left and peer.recv(65_536):
                    said = left.pop(0)
                    peer.sendall(said)
                    if b"content-length" not in said.lower() and b"chunked" not in said.lower() and b" 204 " not in said:
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", connections
    finally:
        listener.close()


def poster() -> Poster:
    return Poster(timeout_s=5.0, per_url=2, allow_private=True)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
        (CHUNKED, 200, "abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, ""),
        (b"HTTP/1.1 204 \r\nconnection: keep-alive\r\n\r\n", 204, ""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\n\xff\x00a", 500, "\ufffd\x00a"),
    ],
)
def test_an_answer_is_read_as_http_says(answer: bytes, code: int, said: str) -> None:
    with answering(answer) as (url, _):
        found = poster().post(url, {}, b"{}")
        assert (found.code, found.reply) == (code, said)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[:20], b"",
        b"HTTP/1.1 100 C\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        CHUNKED[:-2] + b"A: b\r\n" * 8000 + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_no_answer_is_no_delivery(answer: bytes) -> None:
    with answering(answer) as (url, _):
        found = poster().post(url, {}, b"{}")
        assert (found.code, found.delivered) == (None, False)
        assert found.error


def test_a_peer_that_always_has_something_to_say_is_cut_off_by_the_clock() -> None:
    """Without a hub's help: no wait for the socket ever ends late, so only the clock between two reads ends it."""
    listener, ended = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65_536)
            for byte in b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100 + b"\r\nContent-Length: 0\r\n\r\n":
                try:
                    peer.sendall(bytes([byte]))
                except OSError:
                    return
                ended.wait(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        answer = Poster(timeout_s=0.3, per_url=2, allow_private=True).post(url, {}, b"{}")
        assert (answer.code, answer.error) == (None, "no complete answer within 0.3 s")
    finally:
        ended.set()
        thread.join()
        listener.close()


def test_a_connection_is_kept_only_where_the_answers_end_is_known() -> None:
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with answering(good, CHUNKED, b"HTTP/1.1 204 No\r\n\r\n", good) as (url, connections):
        ours = poster()
        assert all(ours.post(url, {}, b"{}").delivered for _ in range(4))
        assert connections == [1]
    # More than was asked for may be the answer to a question that nobody has put yet.
    with answering(good + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", good) as (url, connections):
        ours = poster()
        assert [ours.post(url, {}, b"{}").reply for _ in range(1)] == ["ok"]
        assert not ours._connections._idle[("http", "127.0.0.1", int(url.split(":")[2][:-1]), "127.0.0.1")]


def test_nothing_of_a_receivers_becomes_a_header() -> None:
    from jobs.webhook_address import Target

    target = Target("http", "a.example", 80, "127.0.0.1", "/x")
    assert encode(target, {"webhook-id": "1"}, b"{}").startswith(
        b"POST /x HTTP/1.1\r\nhost: a.example\r\ncontent-length: 2\r\n"
    )
    for wrong, headers in (
        (target, {"a": "b\r\nc: d"}),
        (target, {"a\r\nb": "c"}),
        (replace(target, path="/x HTTP/1.1\r\nx: y"), {}),
        (replace(target, host="a\r\nb"), {}),
    ):
        with pytest.raises(ValueError, match="characters"):
            encode(wrong, headers, b"{}")
