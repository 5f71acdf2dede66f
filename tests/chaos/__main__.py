"""``python -m tests.chaos [--calls N] [--seed S] [--short] [--json]``: kill everything, then ask the carriers what happened.

5,000 calls through real processes on this machine, each of which is killed or paused in turn (17 minutes seen at load 15;
``--short``: 300 calls, 100 to 170 s seen). Exit status 0: every accepted call has exactly one true end, nobody was
called twice, no limit was broken, nothing is held. 1: something was; the report says what. The
seed chooses who is called when, what becomes of it, and the order of the disturbances; the same seed repeats all of that,
though not the machine's timing.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import sys
from typing import Any

from tests.chaos.house import full, short
from tests.chaos.run import Result, run


def report(result: Result) -> dict[str, Any]:
    """Every figure of a run as JSON types."""
    found = result.verdict
    return {
        "ok": not found.wrong,
        "seed": result.seed,
        "calls": found.statuses.total(),
        "attempts": found.attempts,
        "invites": found.invites,
        "statuses": dict(found.statuses.most_common()),
        "end_reasons": dict(found.reasons.most_common()),
        "carriers": found.carriers,
        "unknown_ends": found.unknown,
        "touched": found.touched,
        "webhooks": {
            "delivered": found.heard.deliveries,
            "repeated": found.heard.repeated,
            "corrections": found.heard.corrected,
        },
        "requests_repeated": result.repeats,
        "no_lease_left_after_s": None if found.held_s is None else round(found.held_s, 2),
        "disturbances": [
            {
                "at_s": round((fault.begin - result.began_ns) / 1e9, 2),
                "what": str(fault.planned),
                "lasted_s": round((fault.end - fault.begin) / 1e9, 2),
                "calls_up": fault.in_flight,
            }
            for fault in result.faults
        ],
        "restarts": result.restarts,
        "machine_stood_still_ms": round(result.longest_pause_s * 1000),
        "took_s": round(result.took_s, 1),
        "wrong": found.wrong,
    }


def text(told: dict[str, Any]) -> str:
    """The report for people."""

    def pairs(values: dict[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items())

    held = told["no_lease_left_after_s"]
    lines = [
        f"seed {told['seed']}: {told['calls']} calls, {told['attempts']} attempts, {told['invites']} INVITEs",
        *(
            f"  {fault['at_s']:7.2f} s  {fault['what']}, back after {fault['lasted_s']} s, {fault['calls_up']} calls up"
            for fault in told["disturbances"]
        ),
        f"ends: {pairs(told['statuses'])}",
        f"reasons: {pairs(told['end_reasons'])}",
        f"unknown ends: {told['unknown_ends']} of {told['touched']} attempts that were up when their switch was disturbed",
        *(f"carrier {name}: {line}" for name, line in told["carriers"].items()),
        f"webhooks: {pairs(told['webhooks'])}; requests sent again: {told['requests_repeated']}",
        f"leases: {'still held after 10 s' if held is None else f'none left {held} s after the last end'}",
        f"the machine stood still for {told['machine_stood_still_ms']} ms at the longest",
        *(f"WRONG: {one}" for one in told["wrong"]),
        f"took {told['took_s']} s",
        "everything held" if told["ok"] else f"{len(told['wrong'])} things are wrong",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, help="default 5000; with --short 300")
    parser.add_argument("--seed", type=int, help="default: drawn, and printed")
    parser.add_argument("--short", action="store_true", help="slow carriers and few calls: as in CI")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="a new directory for the logs of all processes")
    args = parser.parse_args(argv)
    if args.calls is not None and args.calls < 50:
        parser.error(f"--calls: {args.calls}: give 50 or more, or there is nothing to disturb")
    seed = random.randrange(1, 1_000_000) if args.seed is None else args.seed
    form = short(args.calls or 300) if args.short else full(args.calls or 5000)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    say(f"seed {seed}: {form.calls} calls at {form.total_cps} INVITEs/s")
    told = report(run(form, seed, say, args.keep))
    print(json.dumps(told) if args.json else text(told))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
