"""Reconcile of 5,000 live calls: the longest time for which the controller's hub does nothing else, beside 20 ms.

A process as a controller's is (gevent, the real ESL link, Postgres and Redis) compares 5,000 rows with 5,000 channels and
holds 5,000 leases; a switch by script in a process of its own answers `show channels as json` with rows of the recorded
size. A greenlet that only wants its turn writes down how long it had to wait for it, in CPU time of the process: what
neighbours on the machine take is none of the hub's business. The first pass adopts every lease, the second finds all as it
should be, and the third is that after a lost link: each channel is asked how far it is.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from os import getloadavg
from typing import Any

from bench import Ratio, Report
from bench.events import House
from store import switches
from trunkline import guests
from trunkline.private import free_port
from trunkline.servers import PostgresServer, RedisServer

LIVE = 5_000
LIMIT_MS = 20.0
PASSWORD = "bench"  # noqa: S105  (a switch by script)
CORE = "1142e8e8-df76-4288-91f5-9c9ddd72d6f0"
_LIMIT_S = 200.0


def run() -> Report:
    before = getloadavg()[0]
    server, redis = PostgresServer(), RedisServer()
    try:
        command = "from gevent import monkey; monkey.patch_all(); import runpy; "
        command += "runpy.run_module('bench.reconcile', run_name='__main__')"
        arguments = [sys.executable, "-c", command, "measure", server.url, redis.url]
        done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_S, check=True)
    finally:
        redis.close()
        server.close()
    found = json.loads(done.stdout)
    return Report(
        [Ratio("stall", max(found["stalls_ms"]), LIMIT_MS, f"ms of CPU without a turn, {LIVE:,} channels", "the limit")],
        {
            "adopting, steady, catching up: longest stall ms": str([round(ms, 1) for ms in found["stalls_ms"]]),
            "by the clock, ms": str([round(ms, 1) for ms in found["clock_ms"]]),
            "pass, s": str([round(s, 2) for s in found["passes_s"]]),
            "leases": found["leases"],
            "load_average": f"{before:.1f} to {getloadavg()[0]:.1f}",
        },
    )


def measure(server_url: str, redis_url: str) -> dict[str, Any]:
    """In a process as a controller's is."""
    import gevent

    from budget import epoch, permits
    from budget.connect import connect
    from controller import memory
    from controller.board import Board
    from controller.esl import EslLink
    from controller.reconcile import Reconciler

    with ExitStack() as stack:
        url = guests.create_database(server_url, "reconcile")
        stack.callback(guests.drop_database, server_url, url)
        house = House(url, LIVE)
        stack.enter_context(closing(house.db))
        port = free_port()
        peer = subprocess.Popen([sys.executable, "-m", "bench.reconcile", "switch", str(port)], stdin=subprocess.PIPE)
        stack.callback(peer.kill)
        assert peer.stdin is not None
        peer.stdin.write("\n".join(map(str, house.live)).encode())
        peer.stdin.close()
        settings = house.settings.model_copy(
            update={"redis_url": redis_url, "esl_port": port, "esl_password": PASSWORD, "esl_command_timeout_s": 20.0}
        )
        redis = connect(settings)
        epoch.begin(redis, epoch.marks(redis), 1)
        epoch.open_epoch(redis, 1, epoch.run_id(redis), [])
        switches.seen(house.db, settings.switch, CORE, datetime.now(UTC) - timedelta(hours=1))
        link = EslLink(settings)
        link.start()
        stack.callback(link.stop)
        if not link.wait_up(20):
            raise RuntimeError("no link to the switch by script")
        board = Board(settings, house.db, redis, link, EslLink(settings, role="events"))
        reconciler = Reconciler(board, lambda _: None, lambda _: False)
        reconciler._catch_up = False
        memory.settle()
        found: dict[str, Any] = {"stalls_ms": [], "clock_ms": [], "passes_s": []}
        for catch_up in (False, False, True):
            if catch_up:
                reconciler.now_please()
            stalls: list[tuple[float, float]] = []
            ticker = gevent.spawn(_tick, stalls)
            gevent.sleep(0.05)
            stalls.clear()
            began = time.monotonic()
            reconciler.one_pass()
            found["passes_s"].append(time.monotonic() - began)
            ticker.kill()
            found["stalls_ms"].append(max(cpu for cpu, _ in stalls) * 1000)
            found["clock_ms"].append(max(clock for _, clock in stalls) * 1000)
        found["leases"] = len(permits.leases(redis, [house.carrier]))
        return found


def _tick(stalls: list[tuple[float, float]]) -> None:
    """(CPU, clock) of everything that ran between two turns."""
    import gevent

    while True:
        cpu, clock = time.process_time(), time.perf_counter()
        gevent.sleep(0)
        stalls.append((time.process_time() - cpu, time.perf_counter() - clock))
        gevent.sleep(0.001)


def switch(port: int) -> None:
    """A switch by script with the channels that are named on standard input, all of them talking."""
    ids = sys.stdin.read().split()
    rows = [_row(id_) for id_ in ids]
    listing = json.dumps({"row_count": len(rows), "rows": rows}, separators=(",", ":"))
    server = socket.create_server(("127.0.0.1", port))
    while True:
        peer, _ = server.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as mod_event_socket does
        threading.Thread(target=_serve, args=(peer, listing), daemon=True).start()


def _row(attempt: str) -> dict[str, str]:
    """As FreeSWITCH 1.10 tells it; the recorded row is 920 bytes."""
    known = {
        "uuid": attempt, "direction": "outbound", "created": "2026-11-20 23:31:01", "created_epoch": "1795217461",
        "name": "sofia/carriers/+14155550120", "state": "CS_EXECUTE", "cid_num": "+14155550120", "callstate": "ACTIVE",
        "dest": "+14155550120", "application": "park", "context": "default", "read_codec": "PCMU", "read_rate": "8000",
        "presence_data": f"call_{attempt}", "accountcode": "bench", "call_uuid": attempt,
    }  # fmt: skip
    return {**known, **{f"initial_{n}": "default" for n in range(18)}}


def _serve(peer: socket.socket, listing: str) -> None:
    peer.sendall(b"Content-Type: auth/request\n\n")
    with peer, peer.makefile("rb") as lines:
        command = b""
        for line in lines:
            if line != b"\n":
                command = command or line.strip()
                continue
            text, command = command.decode(), b""
            if text.startswith("api show channels"):
                _answer(peer, listing)
            elif text.startswith("api uuid_exists"):
                _answer(peer, "true")
            elif text.startswith("api uuid_dump"):
                id_ = text.split()[2]
                _answer(
                    peer, f"Event-Name: CHANNEL_DATA\nUnique-ID: {id_}\nCaller-Channel-Progress-Time: 1795217461000000\n"
                )
            elif text.startswith("api global_getvar"):
                _answer(peer, CORE)
            elif text.startswith("api hash select"):
                _answer(peer, "1")
            elif text.startswith("api"):
                _answer(peer, "+OK\n")
            else:
                peer.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")


def _answer(peer: socket.socket, text: str) -> None:
    body = text.encode()
    peer.sendall(b"Content-Type: api/response\nContent-Length: %d\n\n" % len(body) + body)


if __name__ == "__main__":
    if sys.argv[1] == "switch":
        switch(int(sys.argv[2]))
    else:
        print(json.dumps(measure(sys.argv[2], sys.argv[3])))
