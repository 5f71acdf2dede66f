"""What a callee's phone measures, the agent far away: its first RTP, barge-in, a controller killed in mid-call.

The whole house; the agent speaks TLS and is 40 ms (RTT) away (bench/_far_agent.py). Every time is between two facts of the
lab carrier's log, which speaks RTP with the switch: the 200 OK it sent, packets as the kernel received them, the callee's
first loud packet. The callee speaks from the 200 OK on, noise that does not repeat; the agent says which of its first ten
frames of 20 ms it got, to the bit. With FREESWITCH_ESL set the switch is that FreeSWITCH (docs/real-freeswitch.md).
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

import trustme

from bench import Ratio, Report
from bench._campaign import ENVIRON, PATIENCE_S
from calls.ids import agent_ref
from lab.audio import pcm
from lab.carrier.media import PACKET
from lab.judge import read_log
from store import agents
from trunkline.api import Api
from trunkline.children import wait_until
from trunkline.given_switch import from_environ
from trunkline.stack import LabCarrier, Route, Stack

RTT_MS = 40
SINGLES, READY, BARGES, KILLS = 40, 10, 20, 4
AT_ONCE = 4  # of barge-ins
#: ms; from the 200 OK to the agent's first RTP, and from the callee's first loud packet to silence (p95).
FIRST_MS, BARGE_MS = 150.0, 300.0
#: Of 20 ms: the first 200 ms that the callee says. The lab's callee begins with its frame 1.
SPOKEN, NEXT = range(1, 11), range(11, 21)
TALK_MS = 8000
#: The lab's callee that is silent for 2 s and then beeps for 1 s.
BEEPS = "0127"
CARRIER = LabCarrier("lab_a", channels=20, cps=10, talk="60", options=("--speech noise:1",))
ROOT = pathlib.Path(__file__).resolve().parents[1]


def run() -> Report:
    with _house() as house:
        for _ in range(3):
            house.end(house.call(speak="answered", say_ms=200))
        late = house.firsts("answered", SINGLES)
        early = house.firsts("ready", READY)
        speech, later = house.spoken(SPOKEN), house.spoken(NEXT)
        barges, vads = house.barges()
        missing, longest_ms, untrue = house.killed()
        paced = house.lost_while_it_talks(paced=True)
        ahead = house.lost_while_it_talks(paced=False)
    first, barge = _p95(late), _p95(barges)
    return Report(
        [
            Ratio("first", first, FIRST_MS, "ms from the 200 OK to the agent's first RTP, p95", "the limit"),
            Ratio("speech", min(speech), len(SPOKEN), "first frames of the callee at the agent, the worst call", "all ten"),
            Ratio("barge_in", barge, BARGE_MS, "ms from the callee's first loud RTP to silence, p95", "the limit"),
            Ratio(
                "killed", 1 + missing + untrue, 1, "1, frames missing, untrue ends", "a controller killed (-9) in mid-call"
            ),
        ],
        {
            "switch": "lab" if not os.environ.get("FREESWITCH_ESL") else "FreeSWITCH",
            "calls": len(late) + len(early) + len(barges) + KILLS,
            "first_p50_ms": round(median(late), 1),
            "first_max_ms": round(max(late), 1),
            "first_words_sent_before_answer_p50_ms": round(median(early), 1),
            "first_words_sent_before_answer_p95_ms": round(_p95(early), 1),
            "calls_with_all_first_speech": f"{sum(count == len(SPOKEN) for count in speech)} of {len(speech)}",
            "first_speech_median": median(speech),
            "next_200_ms_median": median(later),
            "next_200_ms_worst": min(later),
            "barge_in_p50_ms": round(median(barges), 1),
            "barge_in_max_ms": round(max(barges), 1),
            "vad_p50_ms": round(median(vads), 1),
            "barge_in_without_vad_p95_ms": round(_p95([b - v for b, v in zip(barges, vads, strict=True)]), 1),
            "killed_missing_frames": missing,
            "killed_longest_between_packets_ms": round(longest_ms, 1),
            "callee_frames_lost_while_the_agent_talks": f"{ahead:.1%} (sent ahead), {paced:.1%} (at the pace of speech)",
            "load_average": round(os.getloadavg()[0], 1),
        },
    )


@contextmanager
def _house() -> Iterator[House]:
    """The stack and the far agent, whose certificate only its own authority vouches for."""
    switch = from_environ(os.environ)
    environ = dict(ENVIRON)
    stack = Stack(ROOT, [CARRIER], [Route("all", ("",), ("lab_a",))], environ=environ, private=True, switch=switch, rtp=True)
    authority = trustme.CA()
    with authority.cert_pem.tempfile() as trusted:
        environ["TRUNKLINE_AGENT_CA_FILE"] = trusted
        with stack:
            certificate = stack.run / "agent.pem"
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
            log = stack.run / "far_agent.jsonl"
            line = [sys.executable, "-m", "bench._far_agent", str(certificate), str(log), str(RTT_MS)]
            with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as agent:
                try:
                    assert agent.stdout is not None
                    yield House(stack, json.loads(agent.stdout.readline())["port"], log)
                finally:
                    agent.kill()


class House:
    """One tenant whose agent is far away."""

    def __init__(self, stack: Stack, port: int, log: pathlib.Path) -> None:
        self._stack, self._log = stack, log
        account = stack.account("far")
        self._api = Api(stack.api, account.key)
        made = agents.create(
            stack.db, tenant_id=account.id, name="far", kind="websocket", url=f"wss://127.0.0.1:{port}/talk"
        )
        self._agent = agent_ref(made.id)
        self._posted = 0

    def call(self, ending: str = "", **wants: object) -> tuple[str, str]:
        """An accepted call: its id and its attempt's."""
        self._posted += 1
        to = f"+1415{300 + self._posted}{ending or '4000'}"
        body = {"to": to, "from": "+14155550100", "agent_id": self._agent, "max_attempts": 1, "agent_variables": wants}
        answer = self._api.post("/v1/calls", body)
        if answer.status != 202:
            raise RuntimeError(f"not accepted: {answer}")
        call = str(answer.body["id"])
        rows: list[dict[str, Any]] = self._api.get(f"/v1/calls/{call}/attempts").body["data"]
        return call, str(rows[0]["id"])

    def end(self, call: tuple[str, str], *, hang_up: bool = False) -> dict[str, Any]:
        """The call once it has ended, which it must do as ``completed``."""
        if hang_up:
            self._api.post(f"/v1/calls/{call[0]}/actions/hangup", {})
        see = f"/v1/calls/{call[0]}"
        ended = ("completed", "failed", "no_answer", "busy", "canceled")
        wait_until(f"the end of {call}", lambda: self._api.get(see).body["status"] in ended, timeout_s=PATIENCE_S)
        told: dict[str, Any] = self._api.get(see).body
        if told["status"] != "completed":
            raise RuntimeError(f"{told['status']}, {told['end_reason']}: {self._stack.supervisor.tail('relay', 15)}")
        return told

    def facts(self, attempt: str) -> dict[str, int]:
        """The first stamp (ns) of each kind of fact at the carrier."""
        found: dict[str, int] = {}
        for fact in read_log(self._stack.arrivals("lab_a")):
            if fact.get("call_id") == attempt:
                found.setdefault(fact["k"], int(fact["t"]))
        return found

    def told(self, kind: str) -> dict[str, dict[str, Any]]:
        """What the agent says of each attempt, the first of that kind."""
        found: dict[str, dict[str, Any]] = {}
        for line in self._log.read_text().splitlines():
            fact = json.loads(line)
            if fact["k"] == kind:
                found.setdefault(fact["attempt"], fact)
        return found

    def firsts(self, speak: str, count: int) -> list[float]:
        """ms from the 200 OK to the agent's first sound, of calls one after the other."""
        spans = []
        for _ in range(count):
            call = self.call(speak=speak, say_ms=800)
            self.end(call)
            seen = self.facts(call[1])
            spans.append((seen["heard"] - seen["answer"]) / 1e6)
        return spans

    def spoken(self, frames: range) -> list[int]:
        """How many of these frames of the callee's each call's agent got."""
        told = self.told("first")
        if len(told) != SINGLES + READY:
            raise RuntimeError(f"{len(told)} of {SINGLES + READY} agents heard the callee")
        return [len(set(frames) & set(one["found"])) for one in told.values()]

    def barges(self) -> tuple[list[float], list[float]]:
        """ms from the callee's first loud packet to silence; the agent's own part of it."""
        spans, vads = [], []
        for _ in range(BARGES // AT_ONCE):
            calls = [self.call(BEEPS, speak="ready", say_ms=20_000, vad=True) for _ in range(AT_ONCE)]
            for call in calls:
                wait_until("the agent's silence", lambda a=call[1]: "quiet" in self.facts(a), timeout_s=PATIENCE_S)  # type: ignore[misc]
                self.end(call, hang_up=True)
            for _, attempt in calls:
                seen, onset, clear = self.facts(attempt), self.told("onset")[attempt], self.told("clear")[attempt]
                spans.append((seen["quiet"] - seen["speaks"]) / 1e6)
                vads.append((clear["t"] - onset["t"]) / 1e6)
        return spans, vads

    def killed(self) -> tuple[int, float, int]:
        """(frames missing at the callees, the longest time between two packets (ms), ends that are not what happened)."""
        calls = [self.call(speak="answered", say_ms=TALK_MS) for _ in range(KILLS)]
        for _, attempt in calls:
            wait_until("the agent's voice", lambda a=attempt: "heard" in self.facts(a), timeout_s=PATIENCE_S)  # type: ignore[misc]
        time.sleep(1.0)
        self._stack.supervisor.kill("controller")
        self._stack.supervisor.wait_gone("controller", 10)
        at = time.time_ns()
        self._stack.supervisor.start("controller")
        told = [self.end(call) for call in calls]
        if any(self.facts(attempt)["end"] < at for _, attempt in calls):
            raise RuntimeError("a call was over before the controller was gone")
        untrue = sum((one["end_reason"], one["hangup_by"]) != ("hangup", "agent") for one in told)
        heard = [self._packets(attempt) for _, attempt in calls]
        return sum(missing for missing, _ in heard), max(longest for _, longest in heard), untrue

    def lost_while_it_talks(self, *, paced: bool) -> float:
        """The part of what the callee says meanwhile that does not reach the agent."""
        calls = [self.call(speak="answered", say_ms=TALK_MS, paced=paced) for _ in range(KILLS)]
        for call in calls:
            self.end(call)
        of = {attempt for _, attempt in calls}
        wait_until("the agent's word on what it heard", lambda: of <= set(self.told("during")), timeout_s=PATIENCE_S)
        told = self.told("during")
        return 1 - sum(int(told[attempt]["found"]) for _, attempt in calls) / (200 * len(calls))

    def _packets(self, attempt: str) -> tuple[int, float]:
        """(frames of the agent's that did not come, or not within 40 ms of the one before; the longest such time, ms)."""
        stamps = PACKET.iter_unpack((self._stack.recordings / f"{attempt}.packets").read_bytes())
        sounds = pcm.frames((self._stack.recordings / f"{attempt}.s16").read_bytes())
        packets = [stamp for stamp, sound in zip(stamps, sounds, strict=True) if any(sound)]  # a silence is packets too
        apart = [(at - before) / 1e6 for (before, _, _), (at, _, _) in pairwise(packets)]
        late = sum(round(ms / 20) - 1 for ms in apart if ms > 40)
        return max(0, TALK_MS // 20 - len(packets)) + late, max(apart)


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]
