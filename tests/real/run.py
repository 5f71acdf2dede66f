"""The run: a house around the switch, two carriers with limits, many calls, and the verdict."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from store import carriers
from tests.contract.ends import ENDINGS
from tests.real.plan import Planned, Row, plan, wanted
from tests.real.wire import Wire, limits, signaling
from tests.system.conftest import CHECKOUT
from tests.system.house import ENDED, House
from trunkline.children import wait_until
from trunkline.given_switch import GivenSwitch
from trunkline.stack import LabCarrier, Route, Stack

#: s; INVITE to first 18x, above the 9 s of the late ring.
PDD_S = 11
#: s; for all calls to end. On a machine of its own the run takes a minute.
PATIENCE_S = 400.0
#: s; how long a call that is tried again may go on.
AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Trunk:
    """A carrier: `cps` INVITEs a second, of which a call takes `messages` (2 where each INVITE is challenged)."""

    name: str
    cps: int
    channels: int
    messages: int = 1


#: More than 30 calls a second together: 25.2 of 26, and 9.25 of 10 that are counted as 20.
TRUNKS = (Trunk("lab_a", 26, 300), Trunk("lab_b", 20, 150, messages=2))


@dataclass(slots=True)
class Result:
    """What came of it: `lines` for people, `wrong` each thing that is not as it must be.

    `right`: attempts that ended as they must. `lost`: datagrams that the lines lost.
    """

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    right: int = 0
    lost: int = 0


#: One that challenges at times is no carrier whose INVITEs can be counted: what is set down as costing one would cost two.
#: The trunk that challenges every INVITE is lab_b.
OUTCOMES = frozenset(ENDINGS) - {"challenge"}


def given_switch() -> GivenSwitch | None:
    """The FreeSWITCH of the environment with a way to both carriers, or None."""
    if not (esl := os.environ.get("FREESWITCH_ESL")):
        return None
    host, _, port = esl.rpartition(":")
    ways = {
        "lab_a": ("carrier_a", os.environ.get("FREESWITCH_CARRIER_A", "127.0.0.1:5090")),
        "lab_b": ("carrier_b", os.environ.get("FREESWITCH_CARRIER_B", "127.0.0.1:5091")),
    }
    return GivenSwitch(
        (host, int(port)),
        os.environ["FREESWITCH_PASSWORD"],
        ways,
        user_password=os.environ.get("FREESWITCH_TRUNKLINE_PASSWORD", ""),
    )


def place(calls: int, *, loss: float, seed: int, outcomes: frozenset[str] = OUTCOMES) -> Result:
    """Place `calls` calls and judge them."""
    lab = [
        LabCarrier(
            trunk.name,
            trunk.channels,
            trunk.cps,
            invite_cost=trunk.messages,
            # A carrier has a machine of its own: how long ours would wait for a core is no part of how soon it answers.
            options=("--before-others", f"--loss {loss:g}", *(["--challenge"] if trunk.messages == 2 else [])),
        )
        for trunk in TRUNKS
    ]
    environ = {
        "TRUNKLINE_PDD_S": str(PDD_S),
        "TRUNKLINE_RING_GRACE_S": "1",
        "TRUNKLINE_SLOW_RECOVER_S": "2",  # of the last group each is to be dialed
        # Every sixth call meets a fault on purpose: no reason here to give the carriers less.
        "TRUNKLINE_HEALTH_SLOW_SHARE": "0.9",
        "TRUNKLINE_HEALTH_STOP_SHARE": "0.9",
    }
    route = Route("all", ("",), tuple(trunk.name for trunk in TRUNKS))
    with Stack(CHECKOUT, lab, [route], environ=environ, private=True, switch=given_switch(), seed=seed) as stack:
        house = House(stack, "wire")
        first, last = plan(calls, seed, outcomes)
        result = Result()
        for some, expires_s in ((first, 0.0), (last, AGAIN_S)):
            _post(house, some, expires_s)
            _wait_ended(house)
        for carrier, states in _states(stack).items():
            result.lines.append(f"{carrier} was {', '.join(states)}")
        house.wait_nothing_held()
        _judge(stack, len(first), result, lossy=loss > 0)
    return result


def _states(stack: Stack) -> dict[str, list[str]]:
    """By carrier what its health was judged to be, in order, where that was ever anything but ok."""
    with psycopg.connect(stack.database_url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT k.name, h.state || ' (' || h.why || ')' FROM carrier_health h JOIN carriers k ON k.id = h.carrier_id"
            " WHERE h.state <> 'ok' ORDER BY h.id"
        ).fetchall()
    found: dict[str, list[str]] = {}
    for name, words in rows:
        found.setdefault(name, []).append(words)
    return found


def _post(house: House, calls: Sequence[Planned], expires_s: float) -> None:
    """All of them, before the first is dialed: what is to be seen is how they are dialed."""
    db = house.stack.db
    every = [one.id for one in carriers.list_limits(db)]
    for carrier in every:
        carriers.set_paused(db, carrier, paused=True)
    more: dict[str, Any] = {"ring_timeout_s": 5, "max_duration_s": 10}
    if expires_s:
        more["expires_at"] = (datetime.now(UTC) + timedelta(seconds=expires_s)).isoformat()
    orders = [house.order(call.digits, **more) for call in calls]
    with ThreadPoolExecutor(4) as posting:
        list(posting.map(lambda order: house.insist(*order), orders))
    for carrier in every:
        carriers.set_paused(db, carrier, paused=False)


def _wait_ended(house: House) -> None:
    """By one question to Postgres: hundreds of calls asked for one by one would load the machine that is measured.

    Errors: TimeoutError that says what is left, and what the processes said last.
    """
    with psycopg.connect(house.stack.database_url, autocommit=True) as conn:

        def live() -> list[tuple[str, int]]:
            return conn.execute("SELECT status, count(*) FROM calls WHERE NOT ended GROUP BY 1 ORDER BY 1").fetchall()

        try:
            wait_until("every call to end", lambda: not live(), timeout_s=PATIENCE_S, every_s=0.5)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; left: {live()}\n{house.obituary()}") from None


def _judge(stack: Stack, main: int, result: Result, *, lossy: bool) -> None:
    wires = {trunk.name: Wire.read(trunk.name, stack.arrivals(trunk.name)) for trunk in TRUNKS}
    for trunk in TRUNKS:
        _judge_trunk(stack, trunk, wires[trunk.name], result, lossy=lossy)
    with psycopg.connect(stack.database_url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT a.id::text, c.status, a.outcome, a.sip_code, a.end_reason, a.claimed_at IS NOT NULL, c.to_number"
            " FROM attempts a JOIN calls c ON c.id = a.call_id ORDER BY a.id"
        ).fetchall()
    seen = {call_id: (wire.name, one) for wire in wires.values() for call_id, one in wire.calls.items()}
    told: Counter[str] = Counter()
    for attempt, status, outcome, code, reason, dialed, number in rows:
        if status not in ENDED:
            result.wrong.append(f"call to {number} has not ended: {status}")
        if attempt not in seen:
            if dialed and reason not in ("switch_local", "not_sent"):
                result.wrong.append(f"{attempt} to {number}: no INVITE, and {outcome} {reason}")
            continue
        _, leg = seen.pop(attempt)
        got: Row = (outcome, code, reason)
        want = wanted(leg.outcome, rang=leg.rang) if leg.outcome else ("failed", 408, "carrier_silence")
        if got == want:
            result.right += 1
            told[f"{leg.outcome}: {outcome} {code or '-'} {reason}"] += 1
        else:
            result.wrong.append(f"{attempt} {leg.outcome} to {number}: {got} instead of {want}; {leg}")
    result.wrong += [f"no attempt of ours: {call_id} {leg}" for call_id, (_, leg) in seen.items()]
    began = min(at for wire in wires.values() for at in wire.sent)
    spans = sorted(at for wire in wires.values() for leg in wire.calls.values() for at in [min(leg.arrived.values())])
    rate = (main - 1) / ((spans[main - 1] - began) / 1e9)
    result.lines.append(f"{main} calls at {rate:.1f} a second, {len(rows)} attempts")
    result.lines += [f"  {count:4d}  {what}" for what, count in sorted(told.items())]


def _judge_trunk(stack: Stack, trunk: Trunk, wire: Wire, result: Result, *, lossy: bool) -> None:
    over = wire.windows_over(trunk.cps)
    result.lost += wire.lost
    result.lines.append(
        f"{trunk.name}: {len(wire.sent)} INVITE transactions, at most {wire.peak()} of {trunk.cps} in any second,"
        f" {over} sent over the limit; {wire.retransmissions} retransmissions, {wire.lost} datagrams lost"
    )
    if not wire.sent:
        result.wrong.append(f"{trunk.name}: not one INVITE")
    if trunk.messages == 2 and (ways := wire.challenge_ways_ms()):
        spread = f"{ways[0]:.0f} to {ways[-1]:.0f} ms, 99 of 100 within {ways[int(0.99 * (len(ways) - 1))]:.0f}"
        result.lines.append(f"{trunk.name}, first INVITE to the one with credentials: {spread}")
    if over:
        result.wrong.append(f"{trunk.name}: {over} INVITEs over {trunk.cps} in a second")
    broken = limits(stack.arrivals(trunk.name), trunk.cps, trunk.channels)
    if broken and lossy:
        # What is lost and sent again comes later, into a second that was planned without it.
        result.lines.append(f"{trunk.name}, as it came through the loss: {'; '.join(broken)}")
    elif broken:
        result.wrong += [f"{trunk.name}: {text}" for text in broken]
    for call_id, leg in wire.calls.items():
        result.wrong += [f"{call_id} {text}; {leg}" for text in signaling(leg, messages=trunk.messages, lossy=lossy)]
