"""Datagrams in any one second at a carrier's socket: four dialers under our permits, beside the limit and two libraries.

Four processes ask for permission to send and send one datagram for each; a sink writes down the kernel's receive stamps,
lab.judge counts them. Demand is there all the time, or comes and goes; the dialers' wall clocks are right, or wrong by up to
five minutes. Ours reserves a slot with J = 3 ms and burns what it cannot use in time; the libraries are asked again every
5 ms when they refuse. All run at real-time priority where the system allows it: the question is not what else the machine
does. A run of ours during which a process of it stood still for longer than J is repeated, and that is said.
"""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import UUID, uuid4

from redis import Redis

from bench import Ratio, Report
from bench._dialer import Order, Tale
from bench._limiters import CARRIER, LIBRARIES, OURS
from budget import epoch, lanes, scopes
from budget.connect import connect
from budget.lanes import LaneSpec, Serving
from budget.push import push
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, interval_us
from lab.canary import run_before_others
from lab.host import LabProcess
from lab.judge import Verdict, judge
from settings import Settings
from trunkline.servers import RedisServer

RATE = 50
DIALERS = 4
J_MS = 3.0
TENANT = UUID(int=2)
#: ms; G + R = J: nothing is left for a switch, because there is none.
SETTINGS = {
    "slot_grace_ms": 1.0,
    "round_trip_ms": 2.0,
    "switch_jitter_ms": 0.0,
    "jitter_ms": J_MS,
    "slot_lead_ms": 6.0,
    "slot_lead_min_ms": 5.0,
    "claim_lead_ms": 5.0,
}
#: s; how wrong each dialer's wall clock is.
SKEWS_S = (0.0, 0.37, 0.74, 300.0)
#: s; how long each call keeps its dialer, so that four of them want four times the limit.
BUSY_S = 0.02
#: s; 2,000 datagrams at 50 a second, and some.
LONG_S, SHORT_S, PEER_S = 42.0, 12.0, 7.0
TRIES = 5
#: s; until all dialers have been started and wait.
START_S = 3.0


def on_off(seed: int, count: int = 40) -> tuple[float, ...]:
    """Seconds with demand and without, in turns: 50 ms to 0.9 s each."""
    rng = random.Random(seed)
    return tuple(rng.uniform(0.05, 0.9) for _ in range(2 * count))


@dataclass(frozen=True)
class Demand:
    """`phases`: seconds with demand and without, in turns. `skews_s`: how wrong each dialer's clock is."""

    name: str
    phases: tuple[float, ...] = (1.0,)
    skews_s: tuple[float, ...] = (0.0,) * DIALERS


SATURATED = Demand("saturated")
ON_OFF = Demand("on/off", on_off(3))
WRONG_CLOCKS = Demand("clocks wrong", skews_s=SKEWS_S)


@dataclass(frozen=True)
class Run:
    """What arrived, and what the dialers say of it. `repeated`: how often the machine stood still and it was done again;
    `disturbed_ms`: the standstill of the last try, 0 when there was none over J.
    """

    verdict: Verdict
    tales: tuple[Tale, ...]
    repeated: int
    disturbed_ms: float

    @property
    def asked(self) -> int:
        return sum(tale.asked for tale in self.tales)

    @property
    def granted(self) -> int:
        return sum(tale.granted for tale in self.tales)

    @property
    def burned(self) -> int:
        return sum(tale.burned for tale in self.tales)

    def __str__(self) -> str:
        verdict = self.verdict
        asked = self.asked / max(1, verdict.invites)
        text = (
            f"most in 1 s {verdict.peak_invites / RATE:.2f} N, over {verdict.invites_over} of {verdict.invites}, achieved "
            f"{verdict.rate / RATE:.3f} N, asked {asked:.2f} times for each, burned {self.burned}"
        )
        if self.repeated:
            text += f"; repeated {self.repeated} times because the machine stood still"
        if self.disturbed_ms:
            text += f"; a process stood still for {self.disturbed_ms:.1f} ms"
        return text


def run() -> Report:
    server = RedisServer()
    try:
        quiet = run_before_others(server.pid or 0)
        ours = {
            demand.name: undisturbed(server.url, OURS, demand, seconds)
            for demand, seconds in ((SATURATED, LONG_S), (ON_OFF, SHORT_S), (WRONG_CLOCKS, SHORT_S))
        }
        peers = {
            (name, demand.name): once(server.url, name, demand, PEER_S)
            for name in LIBRARIES
            for demand in (SATURATED, ON_OFF, WRONG_CLOCKS)
        }
    finally:
        server.close()
    long = ours[SATURATED.name]
    worst = max(one.verdict.peak_invites for one in ours.values())
    return Report(
        [
            Ratio("use", long.verdict.rate, RATE, "datagrams per second, saturated", "the limit"),
            Ratio("peak", worst, RATE, "datagrams in the fullest second of all runs", "the limit"),
            Ratio("calls", long.asked, long.granted, "requests", "permits, one each"),
        ],
        {
            "real-time priority": "yes" if quiet else "no: the system does not allow it",
            **{f"{OURS}, {name}": str(one) for name, one in ours.items()},
            **{f"{name}, {demand}": str(one) for (name, demand), one in peers.items()},
        },
    )


def undisturbed(url: str, limiter: str, demand: Demand, seconds: float) -> Run:
    """The first run in which no process of it stood still for longer than J; the last of TRIES when all were disturbed."""
    for repeated in range(TRIES):
        found = once(url, limiter, demand, seconds, repeated)
        if not found.disturbed_ms:
            break
    return found


def once(url: str, limiter: str, demand: Demand, seconds: float, repeated: int = 0) -> Run:
    with tempfile.TemporaryDirectory(prefix="bench-pacing-") as place, Redis.from_url(url) as redis:
        redis.flushall()
        if limiter == OURS:
            fill(url, int(seconds * RATE * 1.1) + RATE)
        log = pathlib.Path(place) / "arrivals.jsonl"
        with sink(log) as address:
            tales = _dial(url, limiter, demand, seconds, address)
        verdict = judge(log, cps=RATE)
    longest_ms = max(verdict.longest_pause_ms, *(tale.longest_pause_s * 1000 for tale in tales))
    if verdict.invites != sum(tale.sent for tale in tales) or verdict.duplicate_call_ids:
        raise RuntimeError(f"{limiter}: {sum(tale.sent for tale in tales)} sent, arrived: {verdict}")
    return Run(verdict, tuple(tales), repeated, longest_ms)


@contextmanager
def sink(log: pathlib.Path) -> Iterator[tuple[str, int]]:
    """A sink process that logs to `log`; its address."""
    with LabProcess(
        "lab.sink", ["--log", str(log), "--cps", str(RATE), "--pause-ms", f"{J_MS:g}", "--before-others"]
    ) as process:
        host, _, port = process.ready["udp"].rpartition(":")
        yield host, int(port)


def _dial(url: str, limiter: str, demand: Demand, seconds: float, address: tuple[str, int]) -> Sequence[Tale]:
    begin = time.monotonic() + START_S
    orders = [
        Order(
            limiter=limiter,
            name=f"fs{number + 1}",
            redis=url,
            rate=RATE,
            sink=address,
            begin=begin,
            seconds=seconds,
            phases=demand.phases,
            busy_s=BUSY_S,
            skew_s=demand.skews_s[number],
            pause_s=J_MS / 1000,
            settings=SETTINGS if limiter == OURS else {},
        )
        for number in range(DIALERS)
    ]
    children = [
        subprocess.Popen([sys.executable, "-m", "bench._dialer", json.dumps(asdict(order))], stdout=subprocess.PIPE)
        for order in orders
    ]
    try:
        return [Tale(**json.loads(child.communicate(timeout=seconds + 30)[0])) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()


def fill(url: str, count: int) -> None:
    """An open epoch, one carrier of RATE, one lane with `count` attempts."""
    settings = Settings.model_validate({"redis_url": url, **SETTINGS})
    redis = connect(settings)
    epoch.begin(redis, epoch.marks(redis), 1)
    epoch.open_epoch(redis, 1, epoch.run_id(redis), [])
    limits = ScopeLimits(carrier_scope(CARRIER), 1_000_000, interval_us(RATE, 1000, settings.jitter_ms))
    scopes.set_carriers(redis, [CarrierSpec(limits)])
    lane = f"dial.normal.{TENANT.hex}.all"
    lanes.set_lanes(redis, [LaneSpec(lane, TENANT, "normal", 1, (Serving(CARRIER),))])
    push(redis, [(uuid4(), lane) for _ in range(count)])
    redis.close()
