"""No accepted call is lost and none is told wrongly when any one part dies, or two at once.

Each part is killed with SIGKILL while calls wait, ring and talk, stays dead until calls have ended without it, and is
started again. The truth is the carrier's raw arrival log: see tests/system/truth.py. Only where the switch's events had
nobody to hear them (controller, switch) may an end be unknown.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Iterator

import pytest
import redis

from tests.system.house import PATIENCE_S, PLAIN, SHARED, House, postgres_of, redis_of
from tests.system.truth import Allowed, broken_limits, strangers
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: s; whoever never hangs up is hung up on by the carrier after so long.
LONGEST_S = 6
#: What is PLAIN rings and is answered; with 8 channels for 16 calls there are some of every kind for a while.
CARRIER = LabCarrier("lab_a", channels=8, cps=10, ring="0.6:1.0", talk="0.9:1.5", options=("--max-call", f"{LONGEST_S}"))
#: answered and hung up soon, busy, not found, refused with 503, declined.
ENDINGS = (*[PLAIN] * 7, "0110", "0101", "0104", "0105", "0103", *[PLAIN] * 3)
PROCESSES = ("web", "controller", "relay", "feeder", "health", "watchdog", "dispatcher", "agent", "switch")
VICTIMS = [(name,) for name in (*PROCESSES, "redis", "postgres")] + [("redis", "controller"), ("postgres", "switch")]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    stack = Stack(
        ROOT,
        [CARRIER],
        [Route("all", ("",), ("lab_a",))],
        environ=SHARED
        | {
            "TRUNKLINE_PDD_S": "5",
            "TRUNKLINE_PROBE_GRACE_S": "2",
            "TRUNKLINE_RECONCILE_INTERVAL_S": "2",
            "TRUNKLINE_RETRY_BUSY_S": "1",
            # The carrier itself ends what a dead switch left, so late at the latest.
            "TRUNKLINE_CRASH_LINGER_S": f"{LONGEST_S}",
        },
        private=True,
    )
    with stack:
        yield House(stack)


def kill(stack: Stack, victim: str) -> None:
    if victim in PROCESSES:
        stack.supervisor.kill(victim)
        stack.supervisor.wait_gone(victim, 10)
    else:
        (redis_of(stack) if victim == "redis" else postgres_of(stack)).kill()


def start(stack: Stack, victim: str) -> None:
    if victim in PROCESSES:
        stack.supervisor.start(victim)
    else:
        (redis_of(stack) if victim == "redis" else postgres_of(stack)).start()


def post_batch(house: House) -> None:
    """More calls than the carrier has channels, all at once; one is worth two attempts."""
    house.post_together([*(house.order(ending)[0] for ending in ENDINGS), house.order("0101", max_attempts=2)[0]])


def wait_for_every_kind(house: House, before: int) -> None:
    """Some ring, some talk, some have not been dialed. `before`: calls posted earlier, all ended. Where a slow machine has
    missed that moment there are more calls.
    """
    seen = (0, 0, 0)

    def there() -> bool:
        nonlocal seen
        legs = list(house.legs().values())
        fresh = {house.numbers[call] for call in house.posted[before:]}
        waiting = len(fresh - {leg.number for leg in legs})
        if not waiting:
            post_batch(house)
        seen = sum(leg.rings for leg in legs), sum(leg.talks for leg in legs), waiting
        return min(seen) >= 2

    try:
        wait_until("calls that wait, ring and talk", there, timeout_s=PATIENCE_S, every_s=0.01)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {seen} ring, talk and wait\n{house.obituary()}") from error


def wait_for_ends(house: House, more: int, since_ns: int) -> None:
    """So many calls have ended at the carrier since then: without whoever is dead."""

    def ended() -> int:
        return sum((leg.ended_at or 0) > since_ns for leg in house.legs().values())

    wait_until(f"{more} calls to end at the carrier", lambda: ended() >= more, timeout_s=PATIENCE_S)


def check(house: House, ids: list[str], allowed: Allowed, since_ns: int) -> None:
    """Everything ended, is told as the carrier saw it, and kept within the limits."""
    house.stack.wait_ready()
    house.wait_ended(ids)
    log = house.stack.arrivals(CARRIER.name)
    wrong = broken_limits(log, cps=CARRIER.cps, channels=CARRIER.channels, since_ns=since_ns)
    wrong += house.differences(ids, allowed)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("victims", VICTIMS, ids="+".join)
def test_no_call_is_lost_or_told_wrongly_when_it_dies(house: House, victims: tuple[str, ...]) -> None:
    since, before = time.time_ns(), len(house.posted)
    post_batch(house)
    wait_for_every_kind(house, before)
    died = time.time_ns()
    for victim in victims:
        kill(house.stack, victim)
    wait_for_ends(house, 2, died)
    for victim in victims:
        start(house.stack, victim)
    for n in range(4):
        house.post(ENDINGS[-n])
    ids = house.posted[before:]
    allowed = Allowed(unseen=not {"switch", "controller"}.isdisjoint(victims), ours=victims[0] in ("agent", "relay"))
    check(house, ids, allowed, since)
    if {"switch", "relay", "agent"}.isdisjoint(victims):
        cut = [str(leg) for leg in house.legs_of(ids) if leg.answered_at is not None and leg.bye]
        assert not cut, f"a talk was cut: {cut}"


def test_the_channels_of_a_dead_switch_go_on_counting(house: House) -> None:
    """It sent no BYE: the carrier's channels stay up, and the next calls have to wait for them."""
    since = time.time_ns()
    ids = [house.post("0122") for _ in range(CARRIER.channels)]  # callees that never hang up
    wait_until("all to talk", lambda: sum(leg.talks for leg in house.legs().values()) == len(ids), timeout_s=PATIENCE_S)
    kill(house.stack, "switch")
    ids += [house.post() for _ in range(2)]
    start(house.stack, "switch")
    check(house, ids, Allowed(unseen=True), since)
    assert [leg.why for leg in house.legs_of(ids)] == ["bye sent"] * len(ids)


@pytest.mark.parametrize("idle", [False, True], ids=["while calls waited", "before them all"])
def test_a_redis_from_an_old_file_breaks_nothing(house: House, idle: bool) -> None:
    """Its lanes hold calls that have long been dialed, or it knows of no channel in use; its pacing is of the past."""
    since, before = time.time_ns(), len(house.posted)
    server = redis_of(house.stack)
    old = server.directory / "dump.rdb"
    house.wait_nothing_held()
    try:
        with redis.Redis.from_url(server.url) as connection:
            if idle:
                connection.save()
            post_batch(house)
            wait_for_every_kind(house, before)
            if not idle:
                connection.save()
                lanes = connection.scan_iter("rq:queue:dial.*", _type="list")
                queued = sum(int(str(connection.llen(lane))) for lane in lanes)
                assert queued > 0
                house.wait_invites(CARRIER.name, queued // 2)
        server.kill()
        server.start()
        for n in range(4):
            house.post(ENDINGS[-n])
        ids = house.posted[before:]
        loaded = "DB loaded from disk" in server.log.read_text(errors="replace")
    finally:
        old.unlink(missing_ok=True)  # the other tests want a Redis that forgets
    assert loaded, "the old file was not read"
    check(house, ids, Allowed(), since)


def test_the_carrier_saw_nothing_but_our_attempts(house: House) -> None:
    """Over all the deaths above: no Call-ID of nobody, none twice, no call that the API does not know."""
    assert sorted(call["id"] for call in house.listed()) == sorted(house.posted)
    calls = [house.see(call) for call in house.posted]
    assert not (wrong := strangers(house.legs(), calls)), "\n".join(wrong)
    again = [call for call in calls if call["max_attempts"] == 2]
    assert again
    assert any(len(call["attempts"]) == 2 for call in again), "no call was worth two attempts"
    broken = broken_limits(house.stack.arrivals(CARRIER.name), cps=CARRIER.cps, channels=CARRIER.channels)
    assert not broken, "\n".join(broken)


def test_everything_is_given_back(house: House) -> None:
    house.wait_nothing_held()
