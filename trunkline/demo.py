"""``trunkline demo``: the whole house against two lab carriers on this machine, a day's work in a minute."""

from __future__ import annotations

import pathlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from rich.console import Console

from calls.ids import agent_ref
from trunkline.demo_desk import Desk
from trunkline.demo_plan import QUIET, RING, TALK, PlannedCall, plan
from trunkline.demo_report import judge, print_addresses, print_report
from trunkline.demo_tests import Tester
from trunkline.demo_tone import write_announcement
from trunkline.demo_view import END_STATUSES, Meter, View
from trunkline.stack import LabCarrier, Route, Stack
from trunkline.up import Ended, end_on_signals

CARRIERS = (
    LabCarrier("lab_a", channels=20, cps=5, ring=RING, talk=TALK),
    LabCarrier("lab_b", channels=10, cps=2, ring=RING, talk=TALK),
)
ROUTES = (
    Route("north-america", ("1",), ("lab_a", "lab_b")),
    Route("britain", ("44",), ("lab_b", "lab_a")),
    Route("elsewhere", ("",), ("lab_a", "lab_b")),
)
TENANTS = ("acme", "globex", "initech")
#: A minute has to show what takes ten: shorter waits before a retry.
ENVIRON = {
    "TRUNKLINE_RETRY_BUSY_S": "4",
    "TRUNKLINE_RETRY_NO_ANSWER_S": "6",
    "TRUNKLINE_RETRY_CARRIER_S": "2",
    "TRUNKLINE_PDD_S": "6",
    # The switch shares this machine with everything else.
    "TRUNKLINE_SWITCH_JITTER_MS": "60",
    "TRUNKLINE_JITTER_MS": "80",
}
LOOK_S = 0.5
QUIET_GAP_S = 0.7
POSTERS = 6
KEPT = pathlib.Path(".trunkline/last-demo")


def demo(directory: pathlib.Path, *, calls: int, seed: int, leave: bool) -> int:
    """Returns the exit status: 0, 1 when a call was lost or a limit broken, 130 when interrupted before the summary."""
    if not (directory / "Procfile").exists():
        raise ValueError("the demo runs from the checkout, where the Procfile is: make demo")
    end_on_signals()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 132
    status = 130
    stack = Stack(
        directory,
        CARRIERS,
        ROUTES,
        environ=ENVIRON,
        seed=seed,
        restart=True,
        usual_ports=True,
        lab=True,
        runtime=True,
        say=console.print,
    )
    try:
        console.print("starting Postgres, Redis, a lab switch, two lab carriers and every process of the Procfile,")
        console.print("and beside it the laboratory that calls of test keys go to")
        with stack:
            desk = _open_desk(stack)
            tester = Tester(stack.api, stack.test_key(desk.accounts[0]), agent_ref(desk.agents[0][0]))
            tester.post()
            planned = plan(calls, len(TENANTS), random.Random(seed))
            console.print(f"{calls} calls by POST {stack.api}/v1/calls")
            _run(stack, desk, planned, console)
            verdict = judge(desk, stack)
            verdict.faults += tester.faults()
            print_report(console, verdict, desk)
            print_addresses(console, desk, stack, tester.key)
            status = 0 if verdict.passed else 1
            if not verdict.passed:
                console.print(f"logs kept in {_keep_logs(stack, directory / KEPT)}", soft_wrap=True)
            if leave:
                console.print("All of it ends now. Without EXIT=1 (--exit) it stays up, and these lines work.")
            else:
                console.print("Everything stays up until Ctrl-C.")
                _stay(stack, console)
    except (KeyboardInterrupt, Ended):
        console.print("ended")
    return status


def _open_desk(stack: Stack) -> Desk:
    write_announcement(stack.audio / "announcement.wav")
    accounts = [stack.account(name) for name in TENANTS]
    agents = [(stack.reference_agent(account), stack.announcement(account, "announcement.wav")) for account in accounts]
    return Desk(stack.api, accounts, agents)


def _run(stack: Stack, desk: Desk, planned: Sequence[PlannedCall], console: Console) -> None:
    """Post everything and wait until every call has ended, or clearly will not."""
    meters = [Meter(carrier, stack.arrivals(carrier.name)) for carrier in CARRIERS]
    deadline = time.monotonic() + 60 + len(planned)
    with View(console, len(planned), meters) as view, ThreadPoolExecutor(POSTERS) as posters:
        work: list[Future[None]] = []
        next_quiet = time.monotonic()
        while time.monotonic() < deadline:
            if len(work) < min(QUIET, len(planned)):
                if time.monotonic() >= next_quiet:
                    work.append(posters.submit(desk.post, len(work), planned[len(work)]))
                    next_quiet += QUIET_GAP_S
            elif len(work) < len(planned):
                work += [posters.submit(desk.post, n, planned[n]) for n in range(len(work), len(planned))]
            stack.tend()
            told = desk.calls()
            view.show(Counter(call["status"] for call in told.values()), len(desk.posted))
            if len(work) == len(planned) and all(post.done() for post in work):
                for post in work:
                    post.result()
                if all(told.get(call.id, {}).get("status") in END_STATUSES for call in desk.posted):
                    break
            time.sleep(min(LOOK_S, max(0.0, next_quiet - time.monotonic())) if len(work) < len(planned) else LOOK_S)


def _keep_logs(stack: Stack, place: pathlib.Path) -> pathlib.Path:
    """Copy every process's log and the carriers' raw arrival logs; what the last failure left there is replaced."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(stack.supervisor.logs, place)
    for carrier in stack.lab_carriers:
        shutil.copy(stack.arrivals(carrier.name), place)
    return place


def _stay(stack: Stack, console: Console) -> None:
    while True:
        for name in stack.tend():
            last = f"; its last words:\n{stack.supervisor.tail(name)}" if name in stack.supervisor.names else ""
            console.print(f"{name} ended and is started again{last}")
        time.sleep(0.2)
