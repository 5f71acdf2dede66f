"""Accepting calls: POST /v1/calls beside bare Flask and one INSERT, a batch beside single calls, and single calls meanwhile.

One whole house on private servers; its carrier is slow, so what is accepted waits, and is dialed while single calls are
timed. The rate is measured twice: while the house dials, on the same cores, and with its carrier paused. Bare: the same
gunicorn with one gevent worker, the same pool on the same Postgres, a handler that keeps the body in one INSERT. A single
call is one POST over a connection that is kept, the next one when it is answered. ``bulk_store`` leaves HTTP out:
``store.accept_call`` again and again, one transaction each, beside one ``store.accept_batch`` of many rows.
"""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any, NamedTuple

from bench import Ratio, Report, alternate
from bench._campaign import ENVIRON, numbers
from bench.dial import _cpu_ms as cpu_ms
from calls.ids import agent_ref
from store import batches, calls, carriers
from store.batches import NewBatch
from store.calls import NewCall
from store.request_keys import Remembered
from trunkline.children import wait_until
from trunkline.private import free_port
from trunkline.stack import Account, LabCarrier, Route, Stack

ROOT = pathlib.Path(__file__).resolve().parents[1]
CARRIER = LabCarrier("slow", channels=40, cps=20, mix="busy=1", ring="0.05")
BATCH, AT_ONCE = 10_000, 16
ROUNDS = int(os.environ.get("TRUNKLINE_BENCH_ROUNDS", "3"))
#: Requests of one round; before the first one; single ones that are timed idle, and while a batch is drained.
OURS, BARE, WARM, SINGLES = 300, 600, 300, 200
_DIALING = """
SELECT count(*) FROM attempts WHERE state NOT IN ('queued', 'ended') OR claimed_at > clock_timestamp() - interval '1 second'
"""
#: s between two timed ones.
PACE_S = 0.03
STORE_SINGLES, STORE_BATCH = 300, 5_000


def run() -> Report:
    with Stack(ROOT, [CARRIER], [Route("all", ("",), ("slow",))], environ=ENVIRON, private=True) as stack:
        house = _House(stack)
        for port in (house.ours, house.bare):
            house.rate(port, WARM, AT_ONCE)
        dialing = house.compare()
        with house.paused():
            paused = house.compare()
        one_by_one = median(house.rate(house.ours, OURS) for _ in range(ROUNDS))
        house.rested()
        idle = [house.timed() for _ in range(SINGLES)]
        bulk = max(house.batch() for _ in range(2))
        house.rested()
        meanwhile = house.timed_during_batches()
        waits = house.queued()
        house.rested()
        drained = [house.timed() for _ in range(SINGLES)]
        store_single, store_bulk = house.store()
    idle_p99 = quantiles(idle, n=100)[-1]
    return Report(
        [
            Ratio(
                "rate",
                dialing.ours,
                dialing.bare,
                "accepted calls per second, 16 at once, while the house dials",
                "bare Flask and one INSERT",
            ),
            Ratio("rate_paused", paused.ours, paused.bare, "the same, the carrier paused", "bare Flask and one INSERT"),
            Ratio("bulk", bulk, one_by_one, "calls per second, a batch of 10,000", "single POSTs, one by one"),
            Ratio("bulk_store", store_bulk, store_single, "calls per second, no HTTP", "one transaction each"),
            Ratio(
                "p99_batch",
                quantiles(meanwhile, n=100)[-1],
                idle_p99,
                "ms of a single POST, p99, while a batch is accepted",
                "idle",
            ),
            Ratio("p99_drain", quantiles(drained, n=100)[-1], idle_p99, "ms of a single POST, p99, while it drains", "idle"),
        ],
        {
            "web_cpu_ms_a_call": round(dialing.ours_ms, 2),
            "bare_cpu_ms_a_call": round(dialing.bare_ms, 2),
            "web_cpu_ms_a_call_paused": round(paused.ours_ms, 2),
            "bare_cpu_ms_a_call_paused": round(paused.bare_ms, 2),
            "batch_s": round(BATCH / bulk, 2),
            "queued_when_drained": waits,
            "idle_p50_ms": round(median(idle), 1),
            "batch_p50_ms": round(median(meanwhile), 1),
            "drain_p50_ms": round(median(drained), 1),
        },
    )


class _Rates(NamedTuple):
    """Requests per second, the best round of each; ms of CPU of its web process a request, of all rounds."""

    ours: float
    bare: float
    ours_ms: float
    bare_ms: float


class _House:
    """The running stack with one tenant, and the bare server beside it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.ours, self.bare = stack.web_port, free_port()
        self._account: Account = stack.account("bench")
        self._agent_id = stack.reference_agent(self._account)
        self._order = {"from": "+14155550100", "agent_id": agent_ref(self._agent_id), "max_attempts": 1}
        self._numbers = numbers("415")
        with stack.db.connection() as conn:
            conn.execute("CREATE TABLE bare_calls (id uuid PRIMARY KEY, body jsonb NOT NULL)")
        environ = {"DATABASE_URL": stack.database_url, "TRUNKLINE_WEB_PORT": str(self.bare)}
        stack.supervisor.add(
            "bare", "gunicorn --no-control-socket -c python:web.gunicorn_conf bench._bare:app", environ=environ
        )
        stack.supervisor.start("bare")
        wait_until("the bare server", lambda: self._answers(self.bare), timeout_s=30)
        self._line = http.client.HTTPConnection("127.0.0.1", self.ours, timeout=60)

    def _answers(self, port: int) -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as line:
            try:
                self._post(line)
            except OSError:
                return False
            return True

    def _post(self, line: http.client.HTTPConnection, path: str = "/v1/calls", body: Any = None) -> Any:
        asked = {**self._order, "to": next(self._numbers)} if body is None else body
        headers = {"Authorization": f"Bearer {self._account.key}", "Content-Type": "application/json"}
        try:
            line.request("POST", path, json.dumps(asked), headers)
            reply = line.getresponse()
            text = reply.read()
        except http.client.HTTPException as error:
            raise RuntimeError(f"no answer; the web process said: {self._stack.supervisor.tail('web', 20)}") from error
        if reply.status != 202:
            raise RuntimeError(f"not accepted: {reply.status} {text[:300]!r}")
        return json.loads(text)

    def rate(self, port: int, count: int, at_once: int = 1) -> float:
        """Requests answered per second, ``at_once`` of them under way."""
        left, failed = iter(range(count)), list[Exception]()
        lock = threading.Lock()

        def poster() -> None:
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as line:
                    while True:
                        with lock:
                            if next(left, None) is None:
                                return
                        self._post(line)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                failed.append(error)

        threads = [threading.Thread(target=poster) for _ in range(at_once)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return count / (time.monotonic() - began)

    def compare(self) -> _Rates:
        """Ours and the bare one in turns."""
        before = self.cpu_ms()
        ours, bare = alternate(
            ROUNDS, lambda: self.rate(self.ours, OURS, AT_ONCE), lambda: self.rate(self.bare, BARE, AT_ONCE)
        )
        used = [after - earlier for after, earlier in zip(self.cpu_ms(), before, strict=True)]
        return _Rates(ours, bare, used[0] / (ROUNDS * OURS), used[1] / (ROUNDS * BARE))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is dialed inside the block, and what was dialed before it is over."""
        db = self._stack.db
        (carrier,) = carriers.list_limits(db)
        carriers.set_paused(db, carrier.id, True)
        try:
            wait_until("the house to be still", lambda: self._dialing() == 0, timeout_s=60)
            yield
        finally:
            carriers.set_paused(db, carrier.id, False)

    def _dialing(self) -> int:
        """Attempts that were begun within the last second or are not over."""
        with self._stack.db.connection() as conn:
            row = conn.execute(_DIALING).fetchone()
        assert row is not None
        return int(row[0])

    def rested(self) -> None:
        """The line of the timed calls is made anew: the server closes one that nothing was asked on for long."""
        self._line.close()

    def timed(self) -> float:
        """ms of one single call, a little after the one before."""
        time.sleep(PACE_S)
        began = time.monotonic()
        self._post(self._line)
        return (time.monotonic() - began) * 1000

    def batch(self) -> float:
        """Calls per second of a batch, nothing else going on."""
        body, began = self._batch(), time.monotonic()
        with closing(http.client.HTTPConnection("127.0.0.1", self.ours, timeout=120)) as line:
            if self._post(line, "/v1/batches", body)["accepted"] != BATCH:
                raise RuntimeError("the batch was not accepted whole")
        return BATCH / (time.monotonic() - began)

    def _batch(self) -> dict[str, Any]:
        rows = [{"to": next(self._numbers), "client_reference": f"row-{index}"} for index in range(BATCH)]
        return {"defaults": self._order, "calls": rows}

    def timed_during_batches(self) -> list[float]:
        """ms of single calls while a batch is accepted, and another, until there are as many as were timed idle."""
        took: list[float] = []
        while len(took) < SINGLES:
            thread = threading.Thread(target=self.batch)
            thread.start()
            while thread.is_alive():
                took.append(self.timed())
            thread.join()
        return took

    def queued(self) -> int:
        """Calls that wait, of all that were accepted."""
        with self._stack.db.connection() as conn:
            row = conn.execute("SELECT count(*) FROM attempts WHERE state = 'queued'").fetchone()
        assert row is not None
        return int(row[0])

    def cpu_ms(self) -> list[float]:
        """Of our web process and the bare one."""
        pids = [self._stack.supervisor.pid(name) for name in ("web", "bare")]
        return [cpu_ms(pid) for pid in pids if pid is not None]

    def store(self) -> tuple[float, float]:
        """Calls per second, no HTTP: one transaction each, and one for all."""
        db, now = self._stack.db, datetime.now(UTC)

        def asked(count: int) -> Iterator[NewCall]:
            for _ in range(count):
                yield NewCall(
                    tenant_id=self._account.id,
                    agent_id=self._agent_id,
                    to_number=next(self._numbers),
                    from_number="+14155550100",
                    route="all",
                    due_at=now + timedelta(days=1),
                    expires_at=now + timedelta(days=2),
                    max_attempts=1,
                    ring_timeout_s=30,
                    max_duration_s=60,
                )

        def single() -> float:
            news, began = list(asked(STORE_SINGLES)), time.monotonic()
            for new in news:
                calls.accept_call(db, new, idempotency=None, now=now)
            return STORE_SINGLES / (time.monotonic() - began)

        def bulk() -> float:
            new, began = NewBatch(self._account.id, list(asked(STORE_BATCH)), 0), time.monotonic()
            batches.accept_batch(
                db, new, under=None, now=now, respond=lambda _: Remembered(202, None, b""), max_queued=1_000_000
            )
            return STORE_BATCH / (time.monotonic() - began)

        return alternate(ROUNDS, single, bulk)
