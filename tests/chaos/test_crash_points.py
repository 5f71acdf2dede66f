"""A process dies exactly where it hurts, is started again, and everything is true at the end.

One house for all points; what dies at each is in tests/chaos/points.py. Judged as a run of ``python -m tests.chaos`` is: by
the carrier's raw log, the webhook receiver's log and the API. Every point: ``TRUNKLINE_CHAOS=all`` (``make chaos``).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import time
from collections.abc import Iterator, Mapping

import pytest

from crashpoint import VARIABLE
from store import outbox
from tests.chaos.faults import Fault, Planned
from tests.chaos.house import environ
from tests.chaos.oracle import verdict, wait_nothing_held
from tests.chaos.points import POINTS, Point, Scene
from tests.chaos.webhooks import Told
from tests.jobs.test_recordings import POINTS as RECORDING_POINTS
from tests.system.house import PATIENCE_S, House
from tests.system.switch_words import ask
from tests.web.receiver import Receiver
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("agents", "budget", "calls", "controller", "jobs", "store", "web")
EVERY = os.environ.get("TRUNKLINE_CHAOS") == "all"
CARRIER = LabCarrier("lab_a", channels=8, cps=10, ring="0.3:0.5", talk="0.3:0.6", options=("--max-ring 15",))
SHORT = {
    "TRUNKLINE_PDD_S": "6",
    # The watchdog's word on a silent ring is no unknown end: whoever died must be back before it, also where time is short.
    "TRUNKLINE_RING_TIMEOUT_S": "20",
    "TRUNKLINE_PROBE_GRACE_S": "2",
    "TRUNKLINE_POPPED_DEADLINE_S": "1",
    "TRUNKLINE_ESL_GRACE_S": "1",
    "TRUNKLINE_ESL_BACKOFF_MAX_S": "1",
    "TRUNKLINE_RECONCILE_INTERVAL_S": "1",
    "TRUNKLINE_AUDIT_INTERVAL_S": "1",
    "TRUNKLINE_WEBHOOK_TIMEOUT_S": "1",
}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def house(receiver: Receiver) -> Iterator[House]:
    route = Route("all", ("",), (CARRIER.name,))
    # Without CDRs: with them it is a race which process hears of an end first, and passes the points behind it.
    with Stack(ROOT, [CARRIER], [route], environ=environ(SHORT), private=True, standby=True, cdrs=False) as stack:
        stack.supervisor.stop("standby")  # a controller that dies is missed; those points that want a standby start it
        yield House(stack, webhook_url=receiver.url)


class Doomed:
    """One process, started so that it dies at a point."""

    def __init__(self, stack: Stack, point: Point) -> None:
        self._supervisor, self._point = stack.supervisor, point
        self._log = stack.supervisor.logs / f"{point.process}.log"
        self._read = self._log.stat().st_size
        if point.first:
            self._arm("controller", point.first, b'"on duty"', point.environ)
        self._arm(point.process, point.name, b'"link up"' if point.first else b"", point.environ)
        if point.process == "web":
            stack.wait_ready()

    def _arm(self, process: str, at: str, until: bytes, environ: Mapping[str, str] | None = None) -> None:
        """Started anew; returns when it has said `until`."""
        log = self._supervisor.logs / f"{process}.log"
        self._supervisor.kill(process)
        read = log.stat().st_size
        self._supervisor.start(process, {VARIABLE: at, **(environ or {})})
        wait_until(f"{until!r} of {process}", lambda: until in log.read_bytes()[read:], timeout_s=PATIENCE_S)

    def died(self) -> bool:
        """It says so itself with its last breath. Of the API a worker dies, and its master lives."""
        said = f"crash point {self._point.name}\n".encode() in self._log.read_bytes()[self._read :]
        if not said or self._point.process == "web":
            return said
        return self._supervisor.returncode(self._point.process) == -signal.SIGKILL

    def start_again(self) -> None:
        for process in ("controller", self._point.process) if self._point.first else (self._point.process,):
            self._supervisor.kill(process)
            self._supervisor.start(process)

    def close(self) -> None:
        """As it was before: without a standby."""
        if self._point.first:
            self._supervisor.kill("standby")
            self._supervisor.stop("standby")


@pytest.mark.parametrize("point", [p for p in POINTS if p.ci or EVERY], ids=lambda point: point.name)
def test_everything_is_true_after_a_death_at(point: Point, house: House, receiver: Receiver) -> None:
    stack, since = house.stack, time.time_ns()
    with contextlib.closing(Doomed(stack, point)) as doomed:
        scene = Scene(house, lambda words: ask(stack, words), doomed.died)
        point.provoke(scene)
        scene.wait_died()
        died = time.time_ns()
        doomed.start_again()
        stack.wait_ready()
        for step in scene.owed:
            step()
        house.wait_ended(scene.ids)
        held_s = wait_nothing_held(stack.redis_url)
        wait_until("every webhook to be told", lambda: not outbox.backlog(stack.db), timeout_s=PATIENCE_S)
    fault = excuse(point, since, died)
    told = [one for got in receiver.requests if (one := Told.of(got.headers["webhook-id"], got.json)).call in scene.ids]
    calls = [house.see(call) for call in scene.ids]
    found = verdict(stack, calls, scene.ids, told, [fault], since)
    assert not found.wrong, "\n".join(found.wrong)
    assert held_s is not None, "a lease is left"
    assert point.unknown or not found.unknown, calls


def excuse(point: Point, since: int, died: int) -> Fault:
    """What the calls of a point may be excused by: all of it where events were lost on purpose, else the death alone."""
    return Fault(Planned("controller" if point.unknown else point.process), since if point.unknown else died, time.time_ns())


def test_every_point_in_the_code_has_a_test_and_every_test_a_point() -> None:
    found: list[str] = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            found += re.findall(r"crash_point\(\"([a-z_.]+)\"\)", path.read_text())
    assert sorted(found) == sorted({point.name for point in POINTS} | set(RECORDING_POINTS))
    assert len(found) >= 20
