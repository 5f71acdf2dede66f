"""The sink's log as the judge reads it; the canary; a wrong wall clock."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab import wrong_clock
from lab.canary import Canary
from lab.host import LabProcess
from lab.judge import judge, read_log
from lab.sink import datagram
from trunkline.children import wait_until


def sink(log: Path, *more: str) -> LabProcess:
    return LabProcess("lab.sink", ["--log", str(log), "--cps", "2", *more])


def address(process: LabProcess) -> tuple[str, int]:
    host, _, port = process.ready["udp"].rpartition(":")
    return host, int(port)


def test_what_arrives_at_the_sink_is_judged(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    with sink(log) as process, socket.socket(type=socket.SOCK_DGRAM) as wire:
        wire.connect(address(process))
        before = time.time_ns()
        for number in range(3):
            wire.send(datagram(f"call-{number}", f"fs{number % 2}"))
        after = time.time_ns()
        wire.send(b"nonsense")
        wait_until("four records", lambda: len(list(read_log(log))) == 5, timeout_s=10)
    verdict = judge(log)
    assert (verdict.invites, verdict.peak_invites, verdict.invites_over, verdict.cps_limit) == (3, 3, 1, 2)
    assert verdict.sources == {"fs0": 2, "fs1": 1}
    assert not verdict.ok
    kinds = [record["k"] for record in read_log(log)]
    assert kinds == ["start", *["datagram"] * 3, "strange"]
    if next(read_log(log))["stamps"] == "kernel":
        assert all(before <= record["t"] <= after for record in read_log(log) if record["k"] == "datagram")


def test_a_sink_that_stood_still_says_so_and_its_stamps_are_those_of_arrival(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    with sink(log, "--pause-ms", "40") as process, socket.socket(type=socket.SOCK_DGRAM) as wire:
        wire.connect(address(process))
        wire.send(datagram("first", "fs1"))
        wait_until("the first", lambda: judge(log).invites == 1, timeout_s=10)
        process.send_signal(signal.SIGSTOP)
        sent = time.time_ns()
        wire.send(datagram("second", "fs1"))
        time.sleep(0.3)
        process.send_signal(signal.SIGCONT)
        wait_until("the pause", lambda: any(r["k"] == "pause" for r in read_log(log)), timeout_s=10)
        wire.send(datagram("third", "fs1"))
        wait_until("the third", lambda: judge(log).invites == 3, timeout_s=10)
    assert judge(log).longest_pause_ms >= 200
    records = list(read_log(log))
    second = next(r["t"] for r in records if r.get("call_id") == "second")
    if records[0]["stamps"] == "kernel":
        assert 0 <= second - sent < 200_000_000


def test_the_canary_notices_a_pause_and_only_a_pause() -> None:
    words = [sys.executable, "-c", CANARY]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"watching\n"
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(child.pid, signal.SIGCONT)
        (longest, naps) = json.loads(child.communicate(b"\n", timeout=10)[0])
    assert longest >= 0.4
    assert naps >= 1
    with Canary(limit_s=3600) as canary:
        time.sleep(0.01)
    assert canary.pauses == []
    assert canary.longest_s() == 0.0


CANARY = """
import json, sys
from lab.canary import Canary
with Canary(0.25) as canary:
    print("watching", flush=True)
    sys.stdin.readline()
print(json.dumps([canary.longest_s(), canary.naps]))
"""


def test_pauses_are_those_of_the_time_asked_for() -> None:
    canary = Canary(0.001)
    canary.pauses += [(1.0, 0.5), (2.0, 0.2), (3.0, 0.9)]
    assert canary.longest_s() == 0.9
    assert canary.longest_s(1.5, 2.5) == 0.2


def test_a_wrong_datetime_is_wrong_only_about_now() -> None:
    wrong = wrong_clock.wrong_datetime(timedelta(seconds=300))
    ahead = wrong.now(UTC) - datetime.now(UTC)
    assert timedelta(seconds=299) < ahead < timedelta(seconds=301)
    assert type(wrong.now(UTC)) is datetime
    assert isinstance(datetime.now(UTC), wrong)
    assert wrong.fromisoformat("2026-01-02T03:04:05+00:00") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert type(wrong(2026, 1, 2, tzinfo=UTC)) is datetime


@pytest.mark.parametrize("line", [b"", b"a", b"a b c", b"a\xff b", b"x" * 65 + b" b"])
def test_only_a_datagram_is_one(tmp_path: Path, line: bytes) -> None:
    from lab.carrier.log import ArrivalLog
    from lab.sink import Sink

    log = ArrivalLog(tmp_path / "a.jsonl")
    one = Sink("127.0.0.1", 0, log)
    one._received(line, ("127.0.0.1", 9), 1)
    one.endpoint.close()
    log.close()
    assert [record["k"] for record in read_log(tmp_path / "a.jsonl")] == ["strange"]
