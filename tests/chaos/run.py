"""One run: the house started, calls posted, everything killed and paused in turn, the verdict."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg

from lab.canary import Canary
from store import outbox
from tests.chaos.faults import Fault, Upheaval, plan
from tests.chaos.house import AREAS, Form, build
from tests.chaos.load import Load
from tests.chaos.oracle import HELD_S, Verdict, read_calls, verdict, wait_nothing_held
from tests.chaos.webhooks import Told
from tests.web.receiver import Got, Receiver
from trunkline.stack import Stack

TENANTS = ("acme", "globex")
#: Attempts of an average call, about; by it the calls are posted as fast as the carriers take them.
ATTEMPTS = 1.35
#: The receiver refuses one delivery in so many the first time.
REFUSES = 40
#: s; without an INVITE or an end for so long a run is given up; and after so many times as long as the carriers' CPS allow.
STUCK_S, SLOWEST = 90.0, 6.0
LOOK_S = 0.5
#: s; of the carriers' work that waits at most.
BACKLOG_S = 12.0
#: s; a dispatcher that died keeps its deliveries for three timeouts, a refused one comes again after 5 s.
TOLD_S = 45.0


@dataclass
class Result:
    """``verdict.wrong`` empty: everything held."""

    seed: int
    form: Form
    verdict: Verdict
    faults: list[Fault]
    began_ns: int
    took_s: float
    repeats: int
    longest_pause_s: float
    restarts: dict[str, int] = field(default_factory=dict)


class Customers:
    """Receives webhooks for all tenants; now and then refuses one that it has not seen before."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self.receiver = Receiver(behave=self._status)

    def _status(self, got: Got) -> int:
        name = got.headers["webhook-id"]
        if zlib.crc32(name.encode()) % REFUSES == 0 and name not in self._refused:
            self._refused.add(name)
            return 503
        return 200

    def told(self) -> list[Told]:
        """Everything delivered so far, in the order of arrival, also what was refused; not what its sender died over."""
        whole = (got for got in list(self.receiver.requests) if len(got.body) == int(got.headers["content-length"]))
        return [Told.of(got.headers["webhook-id"], got.json) for got in whole]


def run(form: Form, seed: int, say: Callable[[str], None] = lambda _: None, keep: pathlib.Path | None = None) -> Result:
    """Raises RuntimeError when a call is not accepted. `keep`: a new directory for the logs of the processes and of the
    carriers, whatever comes of the run.
    """
    began_ns, began = time.time_ns(), time.monotonic()
    customers = Customers()
    with customers.receiver, build(form, seed) as stack, kept(stack, keep), Canary(0.02) as canary:
        accounts = [stack.account(name, webhook_url=customers.receiver.url) for name in TENANTS]
        shares = {name: (AREAS[name], form.calls * form.cps[name] // form.total_cps) for name in AREAS}
        shares["large"] = (AREAS["large"], form.calls - sum(n for name, (_, n) in shares.items() if name != "large"))
        load = Load(stack, accounts, shares, seed)
        upheaval = Upheaval(stack, plan(stack, seed), form.settle_s)
        load.start(per_s=form.total_cps / ATTEMPTS)
        try:
            stuck = _drive(stack, form, load, upheaval, say)
        finally:
            load.stop()
        held_s = wait_nothing_held(stack.redis_url, lambda seconds: _tend(stack, seconds))
        _wait_told(stack)
        calls = read_calls(stack, accounts)
        found = verdict(stack, calls, load.accepted.values(), customers.told(), upheaval.done)
        found.held_s = held_s
        if stuck:
            found.wrong.insert(0, stuck)
        if held_s is None:
            found.wrong.append(f"leases are still held {HELD_S:g} s after the last end")
        restarts = {
            name: stack.supervisor.restarts(name) for name in stack.supervisor.names if stack.supervisor.restarts(name)
        }
        took_s = time.monotonic() - began
        return Result(seed, form, found, upheaval.done, began_ns, took_s, load.repeats, canary.longest_s(), restarts)


class Meter:
    """Counts growing arrival logs without reading anything twice."""

    def __init__(self, logs: Sequence[pathlib.Path]) -> None:
        self._read = dict.fromkeys(logs, 0)
        self._invites = self._ends = 0

    def look(self) -> tuple[int, int]:
        """(INVITEs so far, calls up now) in the whole lines of all of them."""
        for log, read in self._read.items():
            with log.open("rb") as file:
                file.seek(read)
                fresh = file.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read[log] = read + len(whole)
            self._invites += whole.count(b'"k":"invite"')
            self._ends += whole.count(b'"k":"end"')
        return self._invites, self._invites - self._ends


@contextlib.contextmanager
def kept(stack: Stack, keep: pathlib.Path | None) -> Iterator[None]:
    """Copies the logs at the end of the block."""
    try:
        yield
    finally:
        if keep is not None:
            shutil.copytree(stack.run / "logs", keep)
            for one in stack.lab_carriers:
                shutil.copy(stack.arrivals(one.name), keep)


def _drive(stack: Stack, form: Form, load: Load, upheaval: Upheaval, say: Callable[[str], None]) -> str:
    """Until every call has ended, or nothing moves any more: what it returns then says so. Tends the stack, upsets it as the
    load gets on.
    """
    expected = form.calls * ATTEMPTS
    deadline = time.monotonic() + SLOWEST * expected / form.total_cps + STUCK_S
    moved, moved_at = (0, 0), time.monotonic()
    meter = Meter([stack.arrivals(one.name) for one in stack.lab_carriers])
    planned, look_at, invites, in_flight, left = len(plan(stack, 0)), 0.0, 0, 0, form.calls
    while True:
        stack.tend()
        now = time.monotonic()
        if now >= look_at:
            look_at = now + LOOK_S
            invites, in_flight = meter.look()
            left = _not_ended(stack, left)
            # On a slow machine too the disturbances find callers at work, and a backlog that is not endless.
            (load.room.set if left < BACKLOG_S * form.total_cps else load.room.clear)()
            if load.refused:
                raise RuntimeError(load.refused[0])
            if load.done and upheaval.over and left == 0:
                return ""
            if (invites, left) != moved:
                moved, moved_at = (invites, left), now
            if now > min(deadline, moved_at + STUCK_S):
                return f"given up: {left} of {len(load.accepted)} accepted calls have not ended, {invites} INVITEs in all"
        before = len(upheaval.done)
        # The first after a twentieth of all, the last well before the end.
        due = expected * (0.05 + 0.75 * before / planned)
        upheaval.step(invites >= due or load.done, in_flight)
        for fault in upheaval.done[before:]:
            took = (fault.end - fault.begin) / 1e9
            say(f"{invites} INVITEs, {left} calls to end: {fault.planned}, back after {took:.1f} s, {fault.in_flight} up")
        time.sleep(0.02)


def _tend(stack: Stack, seconds: float) -> None:
    stack.tend()
    time.sleep(seconds)


def _not_ended(stack: Stack, before: int) -> int:
    """Accepted calls that have not ended; as before while Postgres is away."""
    try:
        with stack.db.connection() as conn:
            row = conn.execute("SELECT count(*) FROM calls WHERE ended_at IS NULL").fetchone()
    except psycopg.Error:
        return before
    return 0 if row is None else int(row[0])


def _wait_told(stack: Stack) -> None:
    """Until nothing is left to be told; what is missing after TOLD_S is the verdict's business."""
    deadline = time.monotonic() + TOLD_S
    while time.monotonic() < deadline and outbox.backlog(stack.db):
        _tend(stack, 0.1)
