"""The verdict on a run: from the carriers' raw arrival logs, the webhook receiver's log and the API; from no process's word.

What may differ from the carriers' truth is bound to the attempts that a disturbance touched: an end may be unknown only
where the attempt's own switch or controller was disturbed while it was up.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis

from budget.replies import number
from budget.scripts import PREFIX
from lab.judge import judge, read_log
from tests.chaos.faults import Fault
from tests.chaos.webhooks import Heard, Told, hear
from tests.system.house import ENDED
from tests.system.truth import UNKNOWN, Allowed, Leg, broken_limits, differences, legs, strangers
from trunkline.api import Api
from trunkline.stack import Account, Stack

Body = Mapping[str, Any]

READERS = 4
#: s; events of the last moments before a kill may not have been in Postgres yet, and those after it find nobody for a while.
MARGIN_S = 1.0
#: s; leases may go on counting for so long after the last call has ended, on a machine that is short of CPU.
HELD_S = 30.0
AWAY_S = 30.0


@dataclass
class Verdict:
    """Everything a carrier, a callee or a customer could complain of is in ``wrong``."""

    wrong: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    invites: int = 0
    unknown: int = 0
    touched: int = 0  # attempts that were up when their controller or switch was disturbed
    carriers: dict[str, str] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)
    held_s: float | None = None  # from the last end until no lease was left


def read_calls(stack: Stack, accounts: Iterable[Account]) -> list[dict[str, Any]]:
    """Every call of these tenants as the API tells it, with its ``attempts``."""

    def whole(api: Api, call: dict[str, Any]) -> dict[str, Any]:
        return {**call, "attempts": _read(api, f"/v1/calls/{call['id']}/attempts")["data"]}

    calls: list[dict[str, Any]] = []
    for account in accounts:
        api, after = Api(stack.api, account.key, timeout_s=30), ""
        while True:
            page = _read(api, f"/v1/calls?limit=100{after}")
            with ThreadPoolExecutor(READERS) as readers:
                calls += readers.map(whole, [api] * len(page["data"]), page["data"])
            if not page["has_more"]:
                break
            after = f"&starting_after={page['next_cursor']}"
    return calls


def _read(api: Api, path: str) -> Any:
    """The body; asked again while a part of the house is away. Raises RuntimeError after AWAY_S."""
    deadline = time.monotonic() + AWAY_S
    while True:
        found = api.get(path)
        if found.status == 200:
            return found.body
        if found.status != 503 or time.monotonic() > deadline:
            raise RuntimeError(f"{path} not read: {found}")
        time.sleep(0.5)


def held(url: str) -> int:
    """Leases in Redis, of every scope."""
    with redis.Redis.from_url(url) as connection:
        keys = list(connection.scan_iter(f"{PREFIX}held:*"))
        return sum(number(connection.zcard(key)) or 0 for key in keys) + (number(connection.hlen(f"{PREFIX}held")) or 0)


def wait_nothing_held(url: str, wait: Callable[[float], None] = time.sleep) -> float | None:
    """s until no lease is left; None when there still is one after HELD_S."""
    began = time.monotonic()
    while True:
        left, now = held(url), time.monotonic() - began
        if not left:
            return now
        if now > HELD_S:
            return None
        wait(0.1)


def verdict(
    stack: Stack,
    calls: Sequence[Body],
    accepted: Iterable[str],
    told: Iterable[Told] | None,
    faults: Sequence[Fault],
    since_ns: int = 0,
) -> Verdict:
    """The verdict on calls that have all ended; ``held_s`` is the caller's to add. `accepted`: the ids of every 202.
    `told` None: nobody listened. `since_ns`: what arrived at the carriers before belongs to other calls.
    """
    found = Verdict()
    every = legs(*(stack.arrivals(one.name) for one in stack.lab_carriers))
    seen = {name: leg for name, leg in every.items() if leg.invited_at >= since_ns}
    known, wanted = {call["id"] for call in calls}, set(accepted)
    found.wrong += [f"{call}: accepted and lost" for call in sorted(wanted - known)]
    found.wrong += [f"{call}: nobody was told that it was accepted" for call in sorted(known - wanted)]
    found.wrong += [f"{call['id']} has not ended: {call['status']}" for call in calls if call["status"] not in ENDED]
    found.wrong += strangers(seen, calls)
    _limits(stack, found, since_ns)
    _truth(stack, calls, seen, faults, found)
    if told is not None:
        found.heard = hear(calls, told)
        found.wrong += [f"webhooks: {text}" for text in found.heard.wrong]
    return found


def _limits(stack: Stack, found: Verdict, since_ns: int) -> None:
    for one in stack.lab_carriers:
        log = stack.arrivals(one.name)
        broken = broken_limits(log, cps=one.cps, channels=one.channels, since_ns=since_ns)
        found.wrong += [f"{one.name}: {text}" for text in broken]
        seen = judge((r for r in read_log(log) if r["t"] >= since_ns), cps=one.cps, channels=one.channels)
        found.invites += seen.invites
        if seen.open_at_end:
            found.wrong.append(f"{one.name}: {seen.open_at_end} channels are still up")
        found.carriers[one.name] = (
            f"{seen.invites} INVITEs, most in 1 s {seen.peak_invites} of {one.cps}, most at once {seen.peak_channels} of "
            f"{one.channels}, {seen.answered} answered, {seen.retransmissions} retransmissions"
        )


def _truth(stack: Stack, calls: Sequence[Body], seen: Mapping[str, Leg], faults: Sequence[Fault], found: Verdict) -> None:
    touch = Touch(stack, faults)
    by_allowed: dict[Allowed, list[Body]] = defaultdict(list)
    for call in calls:
        unseen = [touch.events(attempt, seen.get(attempt["id"])) for attempt in call["attempts"]]
        ours = any(touch.agents(attempt, seen.get(attempt["id"])) for attempt in call["attempts"])
        by_allowed[Allowed(unseen=any(unseen), ours=ours)].append(call)
        found.statuses[call["status"]] += 1
        found.attempts += len(call["attempts"])
        found.touched += sum(unseen)
        for attempt, excused in zip(call["attempts"], unseen, strict=True):
            found.reasons[str(attempt["end_reason"])] += 1
            if attempt["end_reason"] in UNKNOWN:
                found.unknown += 1
                if not excused:
                    where = seen.get(attempt["id"])
                    found.wrong.append(f"{call['id']}: {attempt['end_reason']} without a cause: {attempt}; carrier: {where}")
    for allowed, some in by_allowed.items():
        found.wrong += differences(some, seen, allowed)


class Touch:
    """Which attempts were up when something that sees or carries them was disturbed."""

    def __init__(self, stack: Stack, faults: Sequence[Fault]) -> None:
        self._switches = {place.sip: place.name for place in stack.places}
        self._faults = faults

    def events(self, attempt: Body, leg: Leg | None) -> bool:
        """Its controller or its switch: an end may have gone unseen."""
        return self._touched(attempt, leg, ("controller", "standby", "switch"))

    def agents(self, attempt: Body, leg: Leg | None) -> bool:
        """Its relay, the agents, or what tells the relay whom to call: we may have hung up."""
        return self._touched(attempt, leg, ("relay", "agent", "controller", "standby", "switch", "postgres"))

    def _touched(self, attempt: Body, leg: Leg | None, roles: tuple[str, ...]) -> bool:
        span = _span(attempt, leg)
        return span is not None and any(
            fault.touches(*span, MARGIN_S) for fault in self._faults if self._is_of(fault, leg, roles)
        )

    def _is_of(self, fault: Fault, leg: Leg | None, roles: tuple[str, ...]) -> bool:
        role, _, beside = fault.planned.name.partition("-")
        switch = None if leg is None else self._switches.get(leg.peer)
        return role in roles and (not beside or switch is None or switch in beside)


def _span(attempt: Body, leg: Leg | None) -> tuple[int, int] | None:
    """From when to when it was up, ns: at the carrier, else by its row."""
    if leg is not None:
        return leg.invited_at, leg.ended_at or time.time_ns()
    if attempt["dialed_at"] is None:
        return None
    begin = int(datetime.fromisoformat(attempt["dialed_at"]).timestamp() * 1e9)
    ended = attempt["ended_at"]
    return begin, time.time_ns() if ended is None else int(datetime.fromisoformat(ended).timestamp() * 1e9)
