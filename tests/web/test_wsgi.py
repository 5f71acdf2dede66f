"""The process that serves: gunicorn with gevent, on real sockets."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.web.conftest import World
from tests.web.served import ROOT, Server


def test_a_call_through_the_whole_server(serve: Callable[..., Server], world: World, order: Callable[..., Any]) -> None:
    server = serve()
    key = {"Authorization": f"Bearer {world.our_key}"}
    json_key = {**key, "Content-Type": "application/json"}
    status, headers, call = server.ask("POST", "/v1/calls", json.dumps(order()).encode(), **json_key)
    assert (status, headers["location"]) == (202, f"/v1/calls/{call['id']}")
    assert server.ask("GET", headers["location"], **key)[2] == call
    status, _, problem = server.ask("GET", "/readyz")
    assert (status, problem["missing"]) == (503, ["budget", "switch"])
    # Without a Content-Length the size is only known when it has been read.
    status, headers, problem = server.ask("POST", "/v1/calls", (b"x" * 1000 for _ in range(100)), **json_key)
    assert (status, headers["content-type"], problem["code"]) == (413, "application/problem+json", "body_too_large")
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    posted = [line for line in lines if line.get("method") == "POST" and line["status"] == 202]
    assert len(posted) == 1
    assert world.our_key not in server.log.read_text()
    assert "Warning" not in server.log.read_text()


def test_a_request_that_waits_for_postgres_holds_nobody_up(serve: Callable[..., Server], world: World) -> None:
    server = serve()
    key = {"Authorization": f"Bearer {world.our_key}"}
    with ThreadPoolExecutor(1) as pool:
        with world.database.connection() as conn:
            conn.execute("LOCK TABLE agents IN ACCESS EXCLUSIVE MODE")
            waiting = pool.submit(server.ask, "GET", "/v1/agents", **key)
            # Asked only once the other one is known to wait.
            _until_one_waits(world)
            assert server.ask("GET", "/v1/calls", **key)[0] == 200
            assert not waiting.done()
        assert waiting.result(timeout=90)[0] == 200


def test_when_it_stops_it_waits_for_requests_and_not_for_kept_connections(
    serve: Callable[..., Server], world: World
) -> None:
    # As long as a slow machine may take for what is done below.
    server = serve(GUNICORN_CMD_ARGS="--graceful-timeout 90")
    key = {"Authorization": f"Bearer {world.our_key}"}
    kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    begun = socket.create_connection(("127.0.0.1", server.port), timeout=90)
    # Connections are taken in their order, and what has come is read at once: before the request below is.
    begun.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
    with begun, ThreadPoolExecutor(1) as pool, world.database.connection() as conn:
        conn.execute("LOCK TABLE agents IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(server.ask, "GET", "/v1/agents", **key)
        _until_one_waits(world)
        server.process.terminate()
        assert kept.sock.recv(1) == b""  # closed, and said nothing
        assert not waiting.done()
        begun.sendall(b"localhost\r\n\r\n")
        answer = http.client.HTTPResponse(begun)
        answer.begin()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        conn.rollback()
        assert waiting.result(timeout=90)[0] == 200
    server.process.wait(timeout=90)
    assert "graceful timeout" not in server.log.read_text()


def _until_one_waits(world: World) -> None:
    """A request of the server waits for a lock."""
    until = time.monotonic() + 90
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'web%'"
    while True:
        # A transaction sees one snapshot of the activity for its whole life, so each look is one of its own.
        with world.database.connection() as looker:
            row = looker.execute(waits).fetchone()
        if row is not None and row[0] > 0:
            return
        assert time.monotonic() < until
        time.sleep(0.02)


def test_without_postgres_it_lives_and_says_so(serve: Callable[..., Server], world: World) -> None:
    server = serve(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", TRUNKLINE_DB_POOL_TIMEOUT_S="0.5")
    status, headers, problem = server.ask("GET", "/v1/calls", Authorization=f"Bearer {world.our_key}")
    assert (status, headers["retry-after"], problem["code"]) == (503, "1", "database_unavailable")
    status, _, problem = server.ask("GET", "/readyz")
    assert status == 503
    assert "postgres" in problem["missing"]
    assert "redis" not in problem["missing"]


def test_the_order_of_patching_is_asserted(postgres_url: str) -> None:
    """psycopg before the patch would stop the whole process at every query; start-up refuses."""
    done = subprocess.run(
        [sys.executable, "-c", "import psycopg; import web.wsgi"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": postgres_url},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode != 0
    assert b"NotCooperative" in done.stderr


def test_it_does_not_start_where_row_level_security_would_not_hold(
    postgres_url: str, redis_url: str, world: World, tmp_path: Path
) -> None:
    # The owner's own address in the place of a login that may nothing else.
    environment = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "WEB_DATABASE_URL": postgres_url}
    server = Server(environment, tmp_path / "web.log")
    try:
        assert server.process.wait(timeout=90) != 0
    finally:
        server.close()
    assert "WEB_DATABASE_URL's login has the rights of the tables' owner" in server.log.read_text()
