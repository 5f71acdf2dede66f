"""A part that stands still and goes on is worse than one that dies: what it was about to do, it does late.

SIGSTOP and SIGCONT, as a swapping host, a paused virtual machine or a long collection of garbage would do. Judged by what
the carriers' sockets received; the carriers themselves are never paused.
"""

from __future__ import annotations

import contextlib
import pathlib
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import datetime

import pytest

from tests.system.house import PATIENCE_S, SHARED, House, noted, postgres_of, redis_of
from tests.system.truth import Leg, broken_limits
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: The fast one is bound by its CPS and now and then by its channels, the slow one by both.
FAST = LabCarrier("fast", channels=30, cps=10, ring="0.2:0.6", talk="2:3")
SLOW = LabCarrier("slow", channels=2, cps=1, ring="0.2:0.6", talk="1:1.6")
#: Rings long enough for a server to be away meanwhile.
CALM = LabCarrier("calm", channels=20, cps=10, ring="3:4", talk="2:3")
FAST_AREA, SLOW_AREA, CALM_AREA = "415", "212", "646"
SLOW_CALLS = 4
SILENT_CALLEE, RINGS_FOR_EVER = "0122", "0102"
#: What is paused, for how many s; each begins when STEP more calls have arrived at the fast carrier, which is more than it
#: allows in a window: a pause must not hide what the one before it did.
PAUSES = (
    ("switch", 1.5),
    ("controller", 1.0),
    ("redis", 0.15),
    ("redis", 1.0),
    ("switch", 0.3),
    ("postgres", 1.0),  # its first process; the backends that hold connections go on
)
STEP = 12
#: s of a carrier's work that waits when a pause begins, at least: more than any pause lasts.
WAITING = 2
#: s; how far the switch's own clock readings may lie from the carrier's, on a machine that is short of CPU.
CLOSE_S = 2.0
#: So many are to be answered while Postgres is away.
RINGING = 3


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    areas = {FAST.name: FAST_AREA, SLOW.name: SLOW_AREA, CALM.name: CALM_AREA}
    routes = [Route(name, (f"1{area}",), (name,)) for name, area in areas.items()]
    with Stack(ROOT, [FAST, SLOW, CALM], routes, environ=SHARED, private=True) as stack:
        yield House(stack)


@contextlib.contextmanager
def paused(stack: Stack, name: str) -> Iterator[None]:
    """`name` stands still inside the block."""

    def send(number: signal.Signals) -> None:
        if name in ("redis", "postgres"):
            (redis_of(stack) if name == "redis" else postgres_of(stack)).child.signal(number)
        else:
            stack.supervisor.signal(name, number)

    send(signal.SIGSTOP)
    try:
        yield
    finally:
        send(signal.SIGCONT)


def test_no_pause_breaks_a_limit_or_dials_twice(house: House) -> None:
    since = time.time_ns()
    slow = [house.post(area=SLOW_AREA) for _ in range(SLOW_CALLS)]
    fast: list[str] = []

    def top_up(more: int) -> None:
        """Something waits, however long the rest took; at the fast one so many more."""
        for carrier, area, ours, extra in ((FAST, FAST_AREA, fast, more), (SLOW, SLOW_AREA, slow, 0)):
            missing = house.invites(carrier.name) + WAITING * carrier.cps + extra - len(ours)
            if missing > 0:
                ours += house.post_together(house.order(area=area)[0] for _ in range(missing))

    said: list[str] = []
    for name, seconds in PAUSES:
        before = house.invites(FAST.name)
        top_up(STEP)
        house.wait_invites(FAST.name, STEP, before)
        top_up(0)
        with noted(said, name), paused(house.stack, name):
            time.sleep(seconds)
    ids = slow + fast
    house.wait_ended(ids)
    broken = [
        f"{carrier.name}: {text}"
        for carrier in (FAST, SLOW)
        for text in broken_limits(
            house.stack.arrivals(carrier.name), cps=carrier.cps, channels=carrier.channels, since_ns=since
        )
    ]
    assert not broken, "\n".join([*broken, *said])
    wrong = house.differences(ids)
    assert not wrong, "\n".join([*wrong, *said])
    legs = house.legs_of(ids)
    assert len(legs) == len(ids)
    assert not [str(leg) for leg in legs if leg.bye], "a talk was cut"
    house.wait_nothing_held()


def test_a_hangup_while_the_controller_is_paused_is_carried_out(house: House) -> None:
    talking, ringing = (house.post(ending, area=CALM_AREA) for ending in (SILENT_CALLEE, RINGS_FOR_EVER))
    house.wait(talking, "in_progress")
    house.wait(ringing, "ringing")
    with paused(house.stack, "controller"):
        waiting = house.post(SILENT_CALLEE, area=CALM_AREA)
        for call in (talking, ringing, waiting):
            house.hang_up(call)
        assert house.see(waiting)["status"] == "canceled"
        assert leg(house, talking).talks
        assert leg(house, ringing).rings
    hung_up(house, talking, ringing)
    # Whoever was to be dialed after it has been: the canceled one had its chance.
    after = house.post("0110", area=CALM_AREA)
    house.wait(after, "completed")
    assert house.leg(waiting) is None
    house.wait_nothing_held()


@pytest.mark.parametrize("seconds", [0.5, 3.5], ids=["within the limit of a command", "the links are given up"])
def test_a_hangup_while_the_switch_is_paused_is_carried_out(house: House, seconds: float) -> None:
    talking, ringing = (house.post(ending, area=CALM_AREA) for ending in (SILENT_CALLEE, RINGS_FOR_EVER))
    house.wait(talking, "in_progress")
    house.wait(ringing, "ringing")
    with paused(house.stack, "switch"):
        for call in (talking, ringing):
            house.hang_up(call)
        time.sleep(seconds)
        assert leg(house, talking).talks
        assert leg(house, ringing).rings
    hung_up(house, talking, ringing)
    house.wait_nothing_held()


def test_a_postgres_that_is_away_cuts_no_talk_and_its_ends_are_true(house: House) -> None:
    """For 4 s, in which calls ring, are answered and end. Each has its agent before: who that is, only Postgres knows."""
    ids = [house.post(area=CALM_AREA) for _ in range(8)]
    wait_until("an answer", lambda: any(leg.talks for leg in house.legs().values()), timeout_s=60)
    for more in (6, 10, 10, 10, 10):  # on a slow machine those before may have been answered until each has its agent
        ids += [house.post(area=CALM_AREA) for _ in range(more)]
        house.wait_agents(ids)
        if sum(leg.rings for leg in house.legs().values()) >= RINGING:
            break
    else:
        pytest.fail("of ten calls that ring for 3 s never three rang when all had their agents")
    server = postgres_of(house.stack)
    began = time.time_ns()
    server.stop()
    for method, path in (("POST", "/v1/calls"), ("GET", f"/v1/calls/{ids[0]}")):
        answer = house.api.request(method, path, {} if method == "POST" else None)
        assert answer.status == 503, answer
    time.sleep(max(0.0, 4.0 - (time.time_ns() - began) / 1e9))
    wait_until("answers and an end meanwhile", lambda: happened(house.legs(), began), timeout_s=PATIENCE_S)
    back = time.time_ns()
    server.start()
    house.wait_ended(ids)
    legs = house.legs_of(ids)
    assert happened(house.legs(), began, back)
    wrong = house.differences(ids)
    assert not wrong, "\n".join(wrong)
    assert not [str(leg) for leg in legs if leg.why != "bye sent" or leg.bye], "a talk was cut"
    for call in ids:
        told, carrier = house.see(call), leg(house, call)
        assert (told["status"], told["end_reason"], told["hangup_by"]) == ("completed", "hangup", "callee")
        assert apart(told["answered_at"], carrier.answered_at) < CLOSE_S, (told, str(carrier))
        assert apart(told["ended_at"], carrier.ended_at) < CLOSE_S, (told, str(carrier))
    house.wait_nothing_held()


def happened(legs: Mapping[str, Leg], began: int, until: int | None = None) -> bool:
    """Whether since then some were answered and one has ended, at the carrier (nanoseconds since 1970)."""
    until = until or time.time_ns()
    answered = sum(began < (leg.answered_at or 0) < until for leg in legs.values())
    return answered >= RINGING and any(began < (leg.ended_at or 0) < until for leg in legs.values())


def leg(house: House, call: str) -> Leg:
    found = house.leg(call)
    assert found is not None, f"{call} was not dialed"
    return found


def hung_up(house: House, talking: str, ringing: str) -> None:
    """Both end by the customer's wish, here and at the carrier."""
    ended = house.wait(talking, "completed"), house.wait(ringing, "canceled")
    assert [call["hangup_by"] for call in ended] == ["customer", "customer"]
    wait_until("the BYE at the carrier", lambda: leg(house, talking).why == "bye received", timeout_s=60)
    wait_until("the CANCEL at the carrier", lambda: leg(house, ringing).refused == 487, timeout_s=60)
    wrong = house.differences([talking, ringing])
    assert not wrong, "\n".join(wrong)


def apart(told: str, at_ns: int | None) -> float:
    """s between a time of the API and one of the carrier's log."""
    assert at_ns is not None
    return abs(datetime.fromisoformat(told).timestamp() - at_ns / 1e9)
