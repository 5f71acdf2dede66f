"""Calls per second and 202 -> INVITE of the whole path on the lab, beside a bare loop of ``bgapi originate`` there.

One house, one lab carrier without limits that matter, every call busy after 50 ms. J is wide: what slots are burned and
carriers rest for is a limit that nobody comes near here. Both rates are taken from the raw arrivals at the carrier's socket.
Ours: calls posted while the carrier is paused, then let go at once. Bare: one ESL link that writes an originate, waits for
its acknowledgement, writes the next. Event -> row: from the switch's own time of what happened to the commit that put it on
its row, as Postgres noted it, of all calls of our bursts. The latency is that of single calls on an idle house, from the
moment the client has read the 202 to the kernel's receive stamp of the INVITE.
"""

from __future__ import annotations

import os
import pathlib
import random
import socket
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median, quantiles
from typing import Any
from uuid import UUID, uuid4

from redis import Redis

from bench import Ratio, Report
from bench._campaign import ENVIRON
from budget.scripts import PREFIX
from calls.ids import agent_ref, call_ref
from controller import commands
from controller.esl import EslLink
from lab.judge import read_log
from store import carriers
from trunkline.api import Api
from trunkline.stack import LabCarrier, Route, Stack

CALLS = 400
SINGLES = 40
WARM = 30
ROUNDS = 3
#: ms; what a caller may expect of a free budget (p95).
LIMIT_MS = 250.0
#: ms; J, G and R. A window of 1 s and J hold 2000 INVITEs at one a millisecond: more than any machine sends here.
WIDE = {"TRUNKLINE_JITTER_MS": "900", "TRUNKLINE_SLOT_GRACE_MS": "600", "TRUNKLINE_ROUND_TRIP_MS": "200"}
CARRIER = LabCarrier("bench", channels=4000, cps=2000, mix="busy=1", ring="0.05")
ROOT = pathlib.Path(__file__).resolve().parents[1]
#: Whose CPU time is told, with Postgres' and Redis'.
PROCESSES = ("web", "controller", "relay", "feeder", "agent", "switch", f"carrier-{CARRIER.name}")
_LIMIT_S = 60.0
_ROWS = """
SELECT type, extract(epoch FROM pg_xact_commit_timestamp(xmin) - at)::float8 * 1000
FROM call_events WHERE source = 'event' AND recorded_at >= %(since)s
"""


def run() -> Report:
    with Stack(ROOT, [CARRIER], [Route("all", ("",), ("bench",))], environ={**ENVIRON, **WIDE}, private=True) as stack:
        house = _House(stack)
        for _ in range(WARM):  # the first call makes the lane; the next ones show the controller how long its work takes
            house.single()
        latencies = [house.single() for _ in range(SINGLES)]
        rates, bare, writes = [], [], []
        began, before = house.now(), house.usage()
        for _ in range(ROUNDS):
            rates.append(house.burst(CALLS))
        after = house.usage()
        rows = house.event_to_row(began, ROUNDS * CALLS)
        for _ in range(ROUNDS):
            rate, write_ms = house.bare(CALLS)
            bare.append(rate)
            writes += write_ms
    p95 = quantiles(latencies, n=20)[-1]
    made = ROUNDS * CALLS
    return Report(
        [
            Ratio("rate", median(rates), median(bare), "INVITEs per second", "bare bgapi originate loop, same switch"),
            Ratio("latency", p95, LIMIT_MS, "ms from 202 to INVITE, p95", "the limit"),
        ],
        {
            "calls": made,
            "event_to_row_p50_ms": round(median(rows), 1),
            "event_to_row_p99_ms": round(quantiles(rows, n=100)[-1], 1),
            "latency_p50_ms": round(median(latencies), 1),
            "bare_write_to_invite_p50_ms": round(median(writes), 2),
            "bare_write_to_invite_p95_ms": round(quantiles(writes, n=20)[-1], 2),
            **{f"{name}_per_call": round((after[name] - before[name]) / made, 2) for name in after},
        },
    )


class _House:
    """The running stack with one tenant; every figure is read at the carrier's socket or from the kernel."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        account = stack.account("bench")
        self._api = Api(stack.api, account.key)
        self._agent = agent_ref(stack.reference_agent(account))
        self._carrier: UUID = carriers.list_limits(stack.db)[0].id
        (self._gateway,) = (end.gateway for end in carriers.list_endpoints(stack.db) if end.carrier_id == self._carrier)
        self._redis = Redis.from_url(stack.redis_url)
        self._posted = 0
        # The switch's own fuses are not what is measured here.
        self._tell_switch("fsctl sps 5000", "fsctl max_sessions 10000")

    def _tell_switch(self, *orders: str) -> None:
        with socket.create_connection(("127.0.0.1", self._stack.esl_port), timeout=5) as link, link.makefile("rb") as reply:
            link.sendall(f"auth {self._stack.esl_password}\n\n".encode())
            for order in orders:
                link.sendall(f"api {order}\n\n".encode())
                while not reply.readline().startswith(b"+OK"):
                    pass

    def post(self) -> tuple[str, float]:
        """One accepted call: its id and when (s since the epoch) the 202 was here."""
        self._posted += 1
        number = f"+1212555{self._posted % 10_000:04d}"
        body = {"to": number, "from": "+12025550100", "agent_id": self._agent, "max_attempts": 1}
        # The magic endings of the lab would choose other outcomes.
        while number[-4:].startswith("01"):
            self._posted += 1
            number = f"+1212555{self._posted % 10_000:04d}"
            body["to"] = number
        answer = self._api.post("/v1/calls", body)
        if answer.status != 202:
            raise RuntimeError(f"not accepted: {answer}")
        return str(answer.body["id"]), time.time()

    def invites(self, since: float) -> list[tuple[str, float]]:
        """(Call-ID, arrival in s since the epoch) of every INVITE after ``since``."""
        log = read_log(self._stack.arrivals(CARRIER.name))
        return [(r["call_id"], r["t"] / 1e9) for r in log if r["k"] == "invite" and r["t"] / 1e9 >= since]

    def single(self) -> float:
        """ms from 202 to INVITE of one call on an idle house."""
        began = time.time()
        _, accepted = self.post()
        (arrived,) = _until(lambda: self.invites(began), 1)
        time.sleep(0.15)  # the call ends, the slot passes: the next one meets a free budget again
        return float(arrived[1] - accepted) * 1000

    def burst(self, count: int) -> float:
        """INVITEs per second of ``count`` waiting calls that are let go at once."""
        carriers.set_paused(self._stack.db, self._carrier, True)
        _until(lambda: ["paused"] if self._redis.hget(f"{PREFIX}s:carrier:{self._carrier}", "paused") == b"1" else [], 1)
        for _ in range(count):
            self.post()
        began = time.time()
        carriers.set_paused(self._stack.db, self._carrier, False)
        return _rate(_until(lambda: self.invites(began), count))

    def bare(self, count: int) -> tuple[float, list[float]]:
        """The same by hand: INVITEs per second, and ms from each write to its INVITE."""
        began = time.time()
        written: dict[str, float] = {}
        with EslLink(self._stack.settings, role="commands", rng=random.Random(1)) as link:
            for index in range(count):
                attempt = uuid4()
                number = f"+1212555{2000 + index % 7000:04d}"
                order = commands.originate(
                    attempt_id=attempt, call_ref=call_ref(attempt), tenant="bench", gateway=self._gateway, to_number=number,
                    from_number="+12025550100", originate_timeout_s=30, max_duration_s=60,
                )  # fmt: skip
                written[str(attempt)] = time.time()
                link.call(order)
            arrived = _until(lambda: [i for i in self.invites(began) if i[0] in written], count)
        return _rate(arrived), [(at - written[call]) * 1000 for call, at in arrived]

    def now(self) -> datetime:
        """Postgres' time."""
        with self._stack.db.connection() as conn:
            (moment,) = conn.execute("SELECT clock_timestamp()").fetchone() or (None,)
        assert isinstance(moment, datetime)
        return moment

    def event_to_row(self, since: datetime, ended: int) -> list[float]:
        """ms from each of the switch's events to the commit of its row, once so many calls have ended."""

        def look() -> list[tuple[str, float]]:
            with self._stack.db.connection() as conn:
                return conn.execute(_ROWS, {"since": since}).fetchall()

        def ends() -> list[tuple[str, float]]:
            return [row for row in look() if row[0] == "attempt.ended"]

        _until(ends, ended)
        return [took for _, took in look()]

    def usage(self) -> dict[str, float]:
        """Redis commands and CPU milliseconds of the processes so far: ours, and those that both ways share."""
        used = {"redis_commands": float(self._redis.info("stats")["total_commands_processed"])}
        pids = {name: self._stack.supervisor.pid(name) for name in PROCESSES}
        pids["redis"] = int(self._redis.info("server")["process_id"])
        with self._stack.db.connection() as conn:
            backend = conn.info.backend_pid
        pids["postgres"] = int(pathlib.Path(f"/proc/{backend}/stat").read_text().rsplit(")", 1)[1].split()[1])
        return used | {f"{name}_cpu_ms": _cpu_ms(pid) for name, pid in pids.items() if pid is not None}


def _rate(arrived: list[tuple[str, float]]) -> float:
    times = sorted(at for _, at in arrived)
    return (len(times) - 1) / (times[-1] - times[0])


def _until(look: Callable[[], list[Any]], count: int) -> list[Any]:
    deadline = time.monotonic() + _LIMIT_S
    while len(found := look()) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(found)} of {count} after {_LIMIT_S:g} s")
        time.sleep(0.02)
    return found


def _cpu_ms(pid: int) -> float:
    """CPU time of a process and its children, in ms."""
    tick = os.sysconf("SC_CLK_TCK")
    total, pids = 0.0, [pid]
    while pids:
        current = pids.pop()
        fields = pathlib.Path(f"/proc/{current}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) * 1000 / tick
        pids += [int(c) for c in pathlib.Path(f"/proc/{current}/task/{current}/children").read_text().split()]
    return total
