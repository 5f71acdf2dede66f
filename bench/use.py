"""How much of a carrier's CPS and channels is used through the lab switch while calls wait, and never more.

CPS: one switch, one carrier that only its CPS limits, a backlog of calls that are soon busy, J = 20 ms; the pacing itself
costs 1 - 1/(1 + J). Channels: two switches, one carrier of 50 channels, calls that talk for half a minute and more, and each
controller is killed (kill -9) once; 3 s after each kill are left out. Read from the carriers' raw arrivals. The first part
is repeated when the machine stood still for longer than J, and that is said.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench import Ratio, Report
from bench._campaign import ENVIRON, PATIENCE_S, Campaign, Fault, kept, timeline
from bench.carriers import ROOT
from budget.scopes import interval_us
from lab.canary import Canary
from lab.judge import Verdict, dialogs, judge, mean_overlap
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

J_MS = 20
#: ms; the grace and the round trip that leave 10 ms of J to the switch.
PACING = {
    "TRUNKLINE_JITTER_MS": f"{J_MS}",
    "TRUNKLINE_SLOT_GRACE_MS": "5",
    "TRUNKLINE_ROUND_TRIP_MS": "5",
    "TRUNKLINE_SWITCH_JITTER_MS": "10",
}
CPS = 20
#: s of backlog.
PACED_S = 45.0
CHANNELS = 50
#: s; a call of the channels' part: `ring` and `talk` together are never under 30.
RING, TALK = "0.2:0.5", "30:42"
#: s; how long the channels are kept full, the kills, and what is left out after each.
FULL_S, KILLS_S, LEFT_OUT_S = 70.0, (12.0, 34.0), 3.0
AREA = "415"
TRIES = 3


@dataclass(frozen=True)
class Paced:
    """A saturated carrier. `slots`: how many its pacing offers between the first INVITE and the last."""

    verdict: Verdict
    slots: int
    told: dict[str, int]
    standstill_s: float


@dataclass(frozen=True)
class Filled:
    """`mean`: channels in use on average from the moment all were, while calls waited."""

    verdict: Verdict
    mean: float
    seconds: float
    kills: list[Fault]


def run() -> Report:
    paced, repeated = cps(CPS, PACED_S), 0
    while paced.standstill_s and repeated + 1 < TRIES:
        paced, repeated = cps(CPS, PACED_S), repeated + 1
    filled = channels(CHANNELS, TALK, FULL_S, KILLS_S)
    return Report(
        [
            Ratio("cps", paced.verdict.rate, CPS, "INVITEs per second, saturated, J = 20 ms", "the limit"),
            Ratio("cps_peak", paced.verdict.peak_invites, CPS, "INVITEs in the fullest second", "the limit"),
            Ratio("channels", filled.mean, CHANNELS, "channels in use on average while calls waited", "the limit"),
            Ratio("channels_peak", filled.verdict.peak_channels, CHANNELS, "channels at once", "the limit"),
        ],
        {
            **kept({"cps": paced.verdict}, int(paced.verdict.first_at * 1e9)),
            **kept({"channels": filled.verdict}, int(filled.verdict.first_at * 1e9)),
            "slots offered": paced.slots,
            "slots not used": paced.slots - paced.verdict.invites,
            **{f"controller's log, {what}": count for what, count in sorted(paced.told.items())},
            "repeated because the machine stood still": repeated,
            **({"it did in the last try as well, ms": paced.standstill_s * 1000} if paced.standstill_s else {}),
            "channels were kept full for s": round(filled.seconds, 1),
            "kills": timeline(filled.kills, int(filled.verdict.first_at * 1e9)),
        },
    )


def cps(rate: int, seconds: float) -> Paced:
    """A backlog of so many seconds, let go at once."""
    carrier = LabCarrier("paced", channels=20 * rate, cps=rate, mix="busy=1", ring="0.05")
    with Stack(ROOT, [carrier], [_all(carrier)], environ={**ENVIRON, **PACING}, private=True) as stack:
        calls = Campaign(stack, {carrier.name: AREA})
        with calls.held():
            calls.post({carrier.name: int(rate * seconds)})
        with Canary(J_MS / 1000) as canary:
            calls.wait_dialed(2 * seconds + PATIENCE_S)
        calls.wait_ended()
        verdict = judge(stack.arrivals(carrier.name), cps=rate, channels=carrier.channels)
        _nothing_wrong(calls)
        slots = int((verdict.last_at - verdict.first_at) / (interval_us(rate, 1000, J_MS) / 1e6)) + 1
        for place in stack.places:
            stack.supervisor.stop(place.process("controller"))  # it tells its permits at its end
        return Paced(verdict, slots, told(stack), canary.longest_s())


def channels(limit: int, talk: str, seconds: float, kills_s: tuple[float, ...]) -> Filled:
    """More calls than fit, kept coming for `seconds` from the moment all channels are in use."""
    carrier = LabCarrier(
        "full", channels=limit, cps=10, mix="answered_hangup=1", ring=RING, talk=talk, options=("--speech", "silent")
    )
    with Stack(ROOT, [carrier], [_all(carrier)], environ=ENVIRON, private=True, switches=2, restart=True) as stack:
        calls = Campaign(stack, {carrier.name: AREA})
        calls.post({carrier.name: 2 * limit + int(2 * limit * seconds / float(talk.partition(":")[0]))})
        log = stack.arrivals(carrier.name)

        def level() -> int:
            return sum(end is None for _, end in dialogs(log))

        wait_until("all channels to be in use", lambda: level() == limit, timeout_s=PATIENCE_S, every_s=0.05)
        since, kills = time.time_ns(), []
        for number, at_s in enumerate(kills_s):
            _tend_until(stack, lambda at_s=at_s: (time.time_ns() - since) / 1e9 >= at_s)  # type: ignore[misc]
            name = stack.places[number % len(stack.places)].process("controller")
            kills.append(Fault(f"kill -9 of {name}", time.time_ns(), time.time_ns()))
            stack.supervisor.kill(name)
        _tend_until(stack, lambda: (time.time_ns() - since) / 1e9 >= seconds)
        until = time.time_ns()
        if calls.invites(carrier.name) >= calls.posted[carrier.name]:
            raise RuntimeError("nothing waited any more at the end: no measurement")
        left_out = [(kill.begin, kill.begin + int(LEFT_OUT_S * 1e9)) for kill in kills]
        mean = mean_overlap(dialogs(log), since, until, left_out)
        return Filled(judge(log, cps=carrier.cps, channels=limit), mean, (until - since) / 1e9, kills)


def told(stack: Stack) -> dict[str, int]:
    """What the controllers' logs say in all: permits asked for, granted and burned, and each result of a dial.

    A controller tells its permits every ten seconds and at its end: those of one that was killed are those last told.
    """
    found: Counter[str] = Counter()
    for place in stack.places:
        permits: dict[str, int] = {}
        for line in (stack.supervisor.logs / f"{place.process('controller')}.log").read_text(errors="replace").splitlines():
            if '"message": "dial"' in line:
                found[str(json.loads(line)["result"])] += 1
            elif '"message": "permits"' in line:
                said = json.loads(line)
                permits = {f"permits {name}": int(said[name]) for name in ("asked", "granted", "burned")}
        found.update(permits)
    return dict(found)


def _all(carrier: LabCarrier) -> Route:
    return Route("all", ("",), (carrier.name,))


def _tend_until(stack: Stack, over: Callable[[], bool]) -> None:
    while not over():
        stack.tend()
        time.sleep(0.05)


def _nothing_wrong(calls: Campaign) -> None:
    if wrong := calls.wrong(calls.verdicts()):
        raise RuntimeError("; ".join(wrong))
