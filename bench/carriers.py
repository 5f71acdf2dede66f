"""INVITEs in any one second and channels at three carriers at once, under everything that can stand still or be forgotten.

Four lab switches with four controllers, one of them on a clock that is wrong by five minutes, one by a third of a second.
Saturated, then on and off; Redis stands still for 30 to 150 ms again and again, controllers and a switch for seconds. Then
Redis forgets everything (FLUSHALL), and is killed and comes back from an old file, while calls wait. Everything is read from
the carriers' raw arrivals.
"""

from __future__ import annotations

import pathlib
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import redis as redis_py

from bench import Ratio, Report
from bench._campaign import ENVIRON, PATIENCE_S, Campaign, Fault, Faults, kept, timeline
from lab.canary import Canary
from lab.judge import Verdict
from trunkline.stack import LabCarrier, Route, Stack

ROOT = pathlib.Path(__file__).resolve().parents[1]
MIX = "busy=4,answered_hangup=1"
CARRIERS = (
    LabCarrier("large", channels=60, cps=15, mix=MIX, ring="0.05:0.4", talk="0.5:2"),
    LabCarrier("middle", channels=20, cps=8, mix=MIX, ring="0.05:0.4", talk="0.5:2"),
    LabCarrier("small", channels=6, cps=4, mix=MIX, ring="0.05:0.4", talk="0.5:2"),
)
AREAS = {"large": "415", "middle": "212", "small": "646"}
SWITCHES = 4
#: Further goes for a machine that filled no second.
GOES = 5
#: s; how wrong the wall clock of each switch's controller is.
SKEWS_S = {"fs2": 0.37, "fs3": -0.74, "fs4": 300.0}
#: The least part of all INVITEs that a switch is to have sent; a quarter would be its share.
LEAST_SHARE = 0.15
#: What stands still while the carriers are saturated, one after the other, and for how many s.
STANDSTILLS = (("controller-fs2", 2.0), ("switch-fs3", 5.0), ("controller-fs1", 0.5), ("switch-fs4", 1.0))
WINDOW_S = 1.0
#: s; beyond a carrier's window and J, until it is dialed again after Redis forgot everything.
BACK_S = 2.0
TRIES = 3


@dataclass(frozen=True)
class Length:
    """Seconds of work for each part, by the carriers' CPS."""

    saturated: float
    bursts: int
    wiped: float


LONG = Length(saturated=42.0, bursts=12, wiped=26.0)


@dataclass
class Result:
    """What the carriers saw. ``back_s``: by fault and carrier, s from when Redis answered again to the next INVITE."""

    verdicts: dict[str, Verdict]
    wrong: list[str]
    shares: dict[str, float]
    statuses: Counter[str]
    faults: list[Fault]
    began_ns: int
    posted: int
    jitter_s: float
    back_s: dict[str, float] = field(default_factory=dict)
    standstill_s: float = 0.0

    @property
    def invites(self) -> int:
        return sum(verdict.invites for verdict in self.verdicts.values())


def run() -> Report:
    for repeated in range(TRIES):
        found = campaign(LONG, seed=repeated + 1)
        if not found.standstill_s:
            break
    worst_rate = max(found.verdicts.values(), key=lambda one: one.peak_invites / one.cps_limit)
    worst_room = max(found.verdicts.values(), key=lambda one: one.peak_channels / one.channel_limit)
    bound = WINDOW_S + found.jitter_s + BACK_S
    return Report(
        [
            Ratio("peak", worst_rate.peak_invites, worst_rate.cps_limit, "INVITEs in the fullest second", "the limit"),
            Ratio("channels", worst_room.peak_channels, worst_room.channel_limit, "channels at once", "the limit"),
            Ratio(
                "share", min(found.shares.values()), LEAST_SHARE, "of all INVITEs, the least switch", "the least it may be"
            ),
            Ratio("wrong", 1 + len(found.wrong), 1, "complaints of carriers and callees, and one", "none"),
            Ratio("ended", found.statuses.total(), found.posted, "calls that ended", "calls accepted"),
            Ratio("back", max(found.back_s.values()), bound, "s from an empty Redis to the next INVITE", "W + J + 2 s"),
        ],
        {
            "invites": found.invites,
            **kept(found.verdicts, found.began_ns),
            **{f"wrong {number}": text for number, text in enumerate(found.wrong, 1)},
            **{f"share of {name}": round(share, 3) for name, share in found.shares.items()},
            **{f"back after {name}": f"{seconds:.2f} s" for name, seconds in found.back_s.items()},
            "statuses": str(dict(found.statuses)),
            "faults": timeline(found.faults, found.began_ns),
            "repeated because the machine stood still": repeated,
            **({"the machine stood still in the last try, ms": found.standstill_s * 1000} if found.standstill_s else {}),
        },
    )


def house(environ: Mapping[str, str] | None = None, seed: int = 1) -> Stack:
    """Three carriers, four switches, some clocks wrong. Not started yet."""
    return Stack(
        ROOT,
        CARRIERS,
        [Route(name, (f"1{area}",), (name,)) for name, area in AREAS.items()],
        environ={**ENVIRON, **(environ or {})},
        commands={f"controller-{switch}": f"python -m lab.wrong_clock {by}" for switch, by in SKEWS_S.items()},
        seed=seed,
        private=True,
        switches=SWITCHES,
    )


def campaign(length: Length, *, seed: int) -> Result:
    """Start a house, do everything to it, return what the carriers saw."""
    with house(seed=seed) as stack:
        calls, faults, rng = Campaign(stack, AREAS), Faults(stack), random.Random(seed)
        began, jitter_s = time.time_ns(), stack.settings.jitter_ms / 1000
        with Canary(jitter_s) as canary:
            saturated(calls, faults, rng, length.saturated)
            on_off(calls, faults, rng, length.bursts)
            back = wiped(calls, faults, length.wiped)
            until_full(calls)
        statuses = calls.wait_ended()
        verdicts = calls.verdicts()
        return Result(
            verdicts, calls.wrong(verdicts), calls.shares(verdicts), statuses, faults.done, began,
            calls.posted.total(), jitter_s, back, canary.longest_s(),
        )  # fmt: skip


def work(seconds: float) -> dict[str, int]:
    """As many calls as the carriers take in so many seconds."""
    return {carrier.name: int(carrier.cps * seconds) for carrier in CARRIERS}


def saturated(calls: Campaign, faults: Faults, rng: random.Random, seconds: float) -> None:
    """A backlog for each carrier; Redis hiccups, controllers and switches stand still."""

    def standstills(stop: threading.Event) -> None:
        for name, for_s in STANDSTILLS:
            if not stop.wait(seconds / (2 * len(STANDSTILLS))):
                faults.pause(name, for_s)

    with calls.held():
        calls.post(work(seconds))
    with faults.in_background(lambda stop: faults.hiccups(rng, stop), standstills):
        calls.wait_dialed(seconds + PATIENCE_S)


def until_full(calls: Campaign) -> None:
    """A machine that is too slow to fill any carrier's second gets a few more goes: without one nothing was tried."""
    for _ in range(GOES):
        verdicts = calls.verdicts()
        if any(verdicts[carrier.name].peak_invites == carrier.cps for carrier in CARRIERS):
            return
        with calls.held():
            calls.post(work(3.0))
        calls.wait_dialed(PATIENCE_S)


def on_off(calls: Campaign, faults: Faults, rng: random.Random, bursts: int) -> None:
    """Bursts of up to two seconds' work, each dialed before the next comes, with gaps of up to 1.5 s."""
    with faults.in_background(lambda stop: faults.hiccups(rng, stop)):
        for _ in range(bursts):
            calls.post(work(rng.uniform(0.3, 2.0)))
            calls.wait_dialed(PATIENCE_S)
            time.sleep(rng.uniform(0.0, 1.5))


def wiped(calls: Campaign, faults: Faults, seconds: float) -> dict[str, float]:
    """A backlog; Redis forgets everything, later it is killed and comes back from a file some seconds old.

    Returns s from when Redis answered (again) to the next INVITE, by fault and carrier.
    """
    marks: dict[str, int] = {}
    server = faults.redis
    old = server.directory / "dump.rdb"

    def after(share: float) -> None:
        """So much of this part's work has been dialed at one carrier: no other has less left."""
        left = {carrier.name: int(carrier.cps * seconds * (1 - share)) for carrier in CARRIERS}
        calls.wait_any({name: calls.posted[name] - count for name, count in left.items()}, seconds + PATIENCE_S)

    with calls.held():
        calls.post(work(seconds))
    with redis_py.Redis.from_url(server.url) as connection:
        after(0.15)
        connection.flushall()
        marks["FLUSHALL"] = time.time_ns()
        faults.done.append(Fault("FLUSHALL", marks["FLUSHALL"], marks["FLUSHALL"]))
        after(0.45)
        connection.save()
        after(0.6)
    try:
        begin = time.time_ns()
        server.kill()
        server.start()
        marks["an old file"] = time.time_ns()
        faults.done.append(Fault("kill -9 of Redis, an old file restored", begin, marks["an old file"]))
        if "DB loaded from disk" not in server.log.read_text(errors="replace"):
            raise RuntimeError("Redis did not read the old file")
    finally:
        old.unlink(missing_ok=True)
    calls.wait_dialed(seconds + PATIENCE_S)
    found: dict[str, float] = {}
    for what, since in marks.items():
        for carrier in CARRIERS:
            took = calls.first_after(carrier.name, since)
            if took is None:
                raise RuntimeError(f"{carrier.name} had nothing left to dial after {what}: no measurement")
            found[f"{what}, {carrier.name}"] = took
    return found
