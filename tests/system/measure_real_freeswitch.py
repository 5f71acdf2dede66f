"""The figures of docs/real-freeswitch.md: one house around the FreeSWITCH of FREESWITCH_ESL, calls on loopback.

    FREESWITCH_ESL=127.0.0.1:8021 FREESWITCH_PASSWORD=... python -m tests.system.measure_real_freeswitch

Every time is between two facts of the lab carrier's raw log (the kernel's stamps for what it received), except the 202,
which is when the client has read it. Bounded: 40 single calls, 12 interrupted ones, then 200 at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from lab.judge import judge, read_log
from tests.system.conftest import CHECKOUT
from tests.system.test_one_call import GREETING_HZ, SILENT_CALLEE, Caller
from tests.system.test_real_freeswitch import BEEPING_CALLEE, attempt_of, given_switch
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

SINGLE, INTERRUPTED, BURST = 40, 12, 200
CPS, CHANNELS = 20, 25
ENDED = ("completed", "failed", "no_answer", "busy", "canceled")


def facts(stack: Stack) -> dict[str, dict[str, int]]:
    """By attempt: the first stamp (ns) of each kind of fact."""
    found: dict[str, dict[str, int]] = {}
    for fact in read_log(stack.arrivals("lab_a")):
        if "call_id" in fact:
            found.setdefault(fact["call_id"], {}).setdefault(fact["k"], int(fact["t"]))
    return found


def show(what: str, spans_ns: Iterable[int]) -> None:
    spans = sorted(span / 1e6 for span in spans_ns)

    def share(part: float) -> float:
        return spans[min(len(spans) - 1, int(part * len(spans)))]

    print(f"{what} (n={len(spans)}): p50 {share(0.5):.1f}, p95 {share(0.95):.1f}, max {spans[-1]:.1f} ms", flush=True)


def single_calls(stack: Stack, caller: Caller) -> None:
    accepted: dict[str, int] = {}
    variables = {"tone_hz": GREETING_HZ, "tone_ms": 1000, "hangup_after_s": 1.2}
    for _ in range(SINGLE):
        call = caller.post(SILENT_CALLEE, agent_variables=variables, max_attempts=1)
        at = time.time_ns()
        accepted[attempt_of(caller, call)] = at
        caller.wait_status(call, *ENDED)
    seen = facts(stack)
    show("202 -> INVITE", (seen[attempt]["invite"] - at for attempt, at in accepted.items()))
    show("200 -> ACK", (seen[attempt]["ack"] - seen[attempt]["answer"] for attempt in accepted))
    show("200 -> the agent's first sound in RTP", (seen[attempt]["heard"] - seen[attempt]["answer"] for attempt in accepted))


def interrupted_calls(stack: Stack, caller: Caller) -> None:
    spans = []
    for _ in range(INTERRUPTED):
        variables = {"tone_hz": GREETING_HZ, "tone_ms": 30_000}
        call = caller.post(BEEPING_CALLEE, agent_variables=variables, max_attempts=1)
        attempt = attempt_of(caller, call)
        wait_until("the agent's silence", lambda a=attempt: "quiet" in facts(stack).get(a, {}), timeout_s=15)  # type: ignore[misc]
        caller.api.post(f"{call}/actions/hangup", {})
        caller.wait_status(call, *ENDED)
        spans.append(facts(stack)[attempt]["quiet"] - facts(stack)[attempt]["speaks"])
    show("the callee speaks -> the agent's RTP is silent", spans)


def burst(stack: Stack, caller: Caller) -> None:
    variables = {"tone_hz": GREETING_HZ, "tone_ms": 3000}
    numbers = [f"+1415321{2000 + n}" for n in range(BURST)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as posting:
        calls = list(posting.map(lambda to: caller.post(to, agent_variables=variables, max_attempts=1), numbers))
    posted = time.monotonic() - began
    for call in calls:
        caller.wait_status(call, *ENDED, timeout_s=120)
    print(f"{BURST} calls posted in {posted:.1f} s, ended after {time.monotonic() - began:.1f} s")
    seen = facts(stack)
    told = [caller.see(call) for call in calls]
    print({str(end): sum(row["end_reason"] == end for row in told) for end in {row["end_reason"] for row in told}})
    print(f"callees that heard the agent: {sum('heard' in seen[attempt_of(caller, call)] for call in calls)}")


def main() -> int:
    switch = given_switch()
    if switch is None:
        print("set FREESWITCH_ESL and FREESWITCH_PASSWORD (docs/real-freeswitch.md)", file=sys.stderr)
        return 2
    carrier = LabCarrier("lab_a", CHANNELS, CPS, ring="0.2:0.5", talk="0.5:1.5")
    with Stack(CHECKOUT, [carrier], [Route("all", ("",), ("lab_a",))], private=True, switch=switch) as stack:
        caller = Caller(stack, "measure")
        single_calls(stack, caller)
        interrupted_calls(stack, caller)
        burst(stack, caller)
        verdict = judge(stack.arrivals("lab_a"), cps=CPS, channels=CHANNELS)
        peaks = f"{verdict.peak_invites} in any second of {CPS}, {verdict.peak_channels} channels of {CHANNELS}"
        print(f"at the carrier: {verdict.invites} INVITEs, {peaks}, {verdict.retransmissions} retransmissions")
        print("\n".join(verdict.violations) or "no limit broken")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
