"""What the reference agent hands in, and whom it asks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agents.reference.report import Report
from agents.reference.runtime import Runtime, runtime_of

CALL = "call_" + "0" * 32


def test_times_count_from_the_answer_and_are_never_less_than_nothing() -> None:
    report = Report()
    report.took("runtime_config", 0.012)
    report.said("Hello.", 99.0)
    assert not report.talked
    report.answered(100.0)
    report.heard("callee", 400, 101.5)
    report.outcome = "goodbye"
    assert report.talked
    assert report.result("hangup") == {
        "outcome": "goodbye",
        "summary": "1 utterance heard and repeated.",
        "data": {"reason": "hangup"},
        "transcript": [
            {"speaker": "agent", "text": "Hello.", "at_ms": 0},
            {"speaker": "callee", "text": "(speech)", "at_ms": 1100, "duration_ms": 400},
        ],
        "latencies": [{"name": "runtime_config", "ms": 12}],
    }


def test_a_talk_of_hours_is_told_in_part() -> None:
    report = Report()
    report.answered(0.0)
    for second in range(10_000):
        report.heard("callee", 400, float(second))
    assert len(report.result("hangup")["transcript"]) == 500


@pytest.mark.parametrize(
    "start",
    [
        {},
        {"call": {"id": CALL}},
        {"call": {"id": CALL}, "runtime": None},
        {"call": {"id": CALL}, "runtime": {"token": 7}},
        {"call": {"id": "call_../../admin"}, "runtime": {"token": "t"}},
        {"call": "x", "runtime": {"token": "t"}},
    ],
)
def test_who_is_told_nothing_asks_nothing(start: dict[str, Any]) -> None:
    assert runtime_of("http://127.0.0.1:1", start) is None


def test_only_the_address_it_was_started_with_is_asked() -> None:
    start = {"call": {"id": CALL}, "runtime": {"token": "t", "config_url": "http://169.254.169.254/"}}
    assert runtime_of(None, start) is None
    found = runtime_of("http://127.0.0.1:1", start)
    assert found == Runtime("http://127.0.0.1:1", CALL, "t")
    assert "t'" not in repr(found), "the token is not shown"


class Plane:
    """A runtime plane that answers as it is told: (status, body) each, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, str | None, Any]] = []
        plane = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                plane.asked.append((self.command, self.path, self.headers["Authorization"], body))
                status, said = plane.answers.pop(0) if len(plane.answers) > 1 else plane.answers[0]
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _serve

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def plane() -> Iterator[Plane]:
    made = Plane()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_what_is_told_is_taken_and_what_is_not_good_is_nothing(plane: Plane) -> None:
    runtime = Runtime(plane.base, CALL, "t0ken")
    plane.answers = [(200, {"variables": {"a": 1}}), (404, {}), (302, {}), (200, ["no object"])]
    told = [asyncio.run(runtime.config()) for _ in range(4)]
    assert told == [{"variables": {"a": 1}}, {}, {}, {}]
    assert {one[:3] for one in plane.asked} == {("GET", f"/internal/calls/{CALL}/runtime-config", "Bearer t0ken")}
    assert asyncio.run(Runtime("http://127.0.0.1:1", CALL, "t").config()) == {}


def test_a_result_is_sent_again_until_it_is_answered(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.reference.runtime._AGAIN_S", (0.0, 0.0))
    runtime = Runtime(plane.base, CALL, "t0ken")
    plane.answers = [(503, {}), (500, {}), (201, {})]
    assert asyncio.run(runtime.hand_in({"outcome": "done"}))
    assert plane.asked == [("POST", f"/internal/calls/{CALL}/result", "Bearer t0ken", {"outcome": "done"})] * 3
    plane.answers = [(409, {})]
    assert not asyncio.run(runtime.hand_in({"outcome": "done"}))
    assert len(plane.asked) == 4, "what was refused is not sent again"
    plane.answers = [(503, {})]
    assert not asyncio.run(runtime.hand_in({"outcome": "done"}))
    assert len(plane.asked) == 7
