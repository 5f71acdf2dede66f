"""The demo's summary, judged at the far end: by what the carriers' sockets received, not by our own counters."""

from __future__ import annotations

import math
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from calls.ids import agent_ref
from lab.judge import Verdict, read_log
from lab.judge import judge as judge_carrier
from trunkline.demo_desk import Desk
from trunkline.demo_shell import write_shell
from trunkline.demo_view import END_STATUSES
from trunkline.stack import Stack


@dataclass
class FarEnd:
    """What all carriers' raw arrival logs say, by SIP Call-ID, which is the attempt's id."""

    invited_ns: dict[str, list[int]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)

    def read(self, log: pathlib.Path) -> None:
        """Add one carrier's log."""
        for fact in read_log(log):
            if fact["k"] == "invite":
                self.invited_ns.setdefault(fact["call_id"], []).append(int(fact["t"]))
            elif fact["k"] == "answer":
                self.answered.add(fact["call_id"])


@dataclass
class Judgement:
    """`faults` are sentences; empty means that the demo has passed."""

    outcomes: Counter[tuple[str, str]]
    attempts: int
    trunks: list[Verdict]
    quiet_ms: list[float]
    all_ms: list[float]
    faults: list[str]
    handed_in: Counter[str]  # outcomes in the agent's words

    @property
    def passed(self) -> bool:
        """No call lost, no limit broken, no status that the carriers' logs contradict."""
        return not self.faults


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; `values` must not be empty."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def judge(desk: Desk, stack: Stack) -> Judgement:
    """Compare what the API says of every posted call with what the carriers received."""
    told = desk.calls()
    far = FarEnd()
    for carrier in stack.lab_carriers:
        far.read(stack.arrivals(carrier.name))
    faults = [f"refused by the API: {text}" for text in desk.refused]
    known: set[str] = set()
    quiet_ms: list[float] = []
    all_ms: list[float] = []
    handed_in: Counter[str] = Counter()
    for posted in desk.posted:
        call = told.get(posted.id)
        if call is None or call["status"] not in END_STATUSES:
            faults.append(f"lost: {posted.id} is {call['status'] if call else 'unknown to the API'}")
            continue
        record = desk.client(posted.account).record(posted.id)
        attempts = [attempt.raw for attempt in record.attempts]
        handed_in.update(result.outcome for result in record.results)
        known.update(attempt["id"] for attempt in attempts)
        faults += _contradictions(call, attempts, far)
        first = far.invited_ns.get(attempts[0]["id"])
        if first is not None:
            waited_ms = max(0.0, (first[0] - posted.held_ns) / 1e6)
            all_ms.append(waited_ms)
            if posted.quiet:
                quiet_ms.append(waited_ms)
    stray = len(set(far.invited_ns) - known)
    if stray:
        faults.append(f"{stray} INVITEs at the carriers belong to no call that was posted")
    trunks = [judge_carrier(stack.arrivals(lab.name), lab.cps, lab.channels) for lab in stack.lab_carriers]
    faults += [f"{trunk.carrier}: {violation}" for trunk in trunks for violation in trunk.violations]
    faults += [f"{trunk.carrier}: refused {_refused(trunk)} INVITEs over its limits" for trunk in trunks if _refused(trunk)]
    outcomes = Counter((call["status"], call["end_reason"] or "") for call in told.values())
    return Judgement(outcomes, len(known), trunks, quiet_ms, all_ms, faults, handed_in)


def _refused(trunk: Verdict) -> int:
    return trunk.verdicts.get("cps", 0) + trunk.verdicts.get("channels", 0)


def _contradictions(call: dict[str, Any], attempts: Sequence[Mapping[str, Any]], far: FarEnd) -> list[str]:
    faults = []
    for attempt in attempts:
        if len(far.invited_ns.get(attempt["id"], [])) > 1:
            faults.append(f"dialed twice: attempt {attempt['id']}")
    answered = any(attempt["id"] in far.answered for attempt in attempts)
    if answered != (call["status"] == "completed"):
        said = "was answered" if answered else "was never answered"
        faults.append(f"{call['id']} is {call['status']}, but at the carrier it {said}")
    return faults


def print_report(console: Console, verdict: Judgement, desk: Desk) -> None:
    """The summary."""
    outcomes = Table(title=f"{len(desk.posted)} calls, {verdict.attempts} attempts", title_justify="left")
    for name in ("status", "end_reason", "calls"):
        outcomes.add_column(name, justify="right" if name == "calls" else "left")
    for (status, reason), count in sorted(verdict.outcomes.items(), key=lambda item: (-item[1], item[0])):
        outcomes.add_row(status, reason, str(count))
    console.print(outcomes)
    trunks = Table(title="at the carriers, from their raw arrival logs", title_justify="left")
    for name in ("carrier", "INVITEs", "refused", "peak channels", "limit", "peak CPS", "limit", "verdict"):
        trunks.add_column(name, justify="left" if name in ("carrier", "verdict") else "right")
    for trunk in verdict.trunks:
        peaks = (trunk.peak_channels, trunk.channel_limit, trunk.peak_invites, trunk.cps_limit)
        kept = "kept" if trunk.ok and not _refused(trunk) else "BROKEN"
        trunks.add_row(trunk.carrier, *map(str, (trunk.invites, _refused(trunk), *peaks)), kept)
    console.print(trunks)
    for title, values in (("nothing ahead", verdict.quiet_ms), ("all calls", verdict.all_ms)):
        if values:
            console.print(
                f"202 -> INVITE at the carrier, {title} ({len(values)}): "
                f"p50 {percentile(values, 0.5):.0f} ms, p95 {percentile(values, 0.95):.0f} ms"
            )
    if verdict.handed_in:
        said = ", ".join(f"{word} {count}" for word, count in verdict.handed_in.most_common())
        console.print(f"{verdict.handed_in.total()} results handed in by the agent, each in its call's record: {said}")
    for fault in verdict.faults:
        console.print(f"FAULT {fault}", soft_wrap=True)
    console.print("passed: no call lost, no limit broken" if verdict.passed else f"failed: {len(verdict.faults)} faults")


def print_addresses(console: Console, desk: Desk, stack: Stack, test_key: str) -> None:
    """Where things are while the demo is up, with an export, curls and a way to run commands that work as they stand."""
    account, agent = desk.accounts[0], agent_ref(desk.agents[0][0])
    environ = {
        **stack.environment,
        "TL_URL": stack.api,
        "TL_KEY": account.key,
        "TL_AGENT": agent,
        "TRUNKLINE_API": stack.api,
        "TRUNKLINE_API_KEY": account.key,
        "TRUNKLINE_FLEET_URL": f"{stack.api}/internal/seats",
    }
    shell = write_shell(stack.run / "shell", environ)
    console.print(
        f"\nAPI      {stack.api}/v1\nSwagger  {stack.api}/v1/docs\n"
        f"export TL_URL={stack.api} TL_KEY={account.key} TL_AGENT={agent}  # for docs/tutorial.md\n"
        f"curl -si {stack.api}/v1/calls -H 'Authorization: Bearer {account.key}' -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"to": "+12125550125", "from": "+12025550100", "agent_id": "{agent}"}}\'\n'
        f"# busy, in the laboratory and for nothing: a test key, docs/test-keys.md\n"
        f"curl -si {stack.api}/v1/calls -H 'Authorization: Bearer {test_key}' -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"to": "+12025550101", "from": "+12025550100", "agent_id": "{agent}"}}\'\n'
        f"# the operator's side; so with every command of docs/, and alone it is a shell in which they run\n"
        f"{shell} trunkline trace {desk.posted[0].id if desk.posted else 'ID'}\n"
        f"{shell} trunkline why\n",
        soft_wrap=True,
    )
