"""The figures of docs/fleet.md: calls over fewer seats than calls, with workers that are killed, on the simulated switch.

    python -m tests.system.measure_fleet [CALLS] [SEATS] [KILLS]

CALLS (500) calls over SEATS (50) workers of the reference agent, KILLS (10) of which are killed in mid-call; CALLS 0: what a
worker costs instead: start, memory, CPU of a call, and the time of each question about seats. Exit status 1 when anyone was
answered without an agent, a seat had two calls, a seat is left over, or more calls were lost than workers killed.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import redis

from budget import permits, seats
from budget.replies import text
from budget.scripts import PREFIX
from settings import Settings
from tests.fleet.house import CARRIER, TENANT, pid_listening
from tests.system.conftest import CHECKOUT
from tests.system.test_fleet import Desk, overlaps, start
from trunkline.children import wait_until
from trunkline.stack import LabCarrier, Route, Stack

TALK_S = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    count, workers, kills = (int(word) for word in (*sys.argv[1:], *("500", "50", "10")[len(sys.argv) - 1 :]))
    print(f"load average {os.getloadavg()[0]:.1f}")
    lab, route = LabCarrier("lab_a", 200, 20), Route("all", ("",), ("lab_a",))
    with Stack(CHECKOUT, [lab], [route], private=True) as stack, redis.Redis.from_url(stack.redis_url) as connection:
        house = Desk(stack, connection, "acme")
        began = time.monotonic()
        start(stack, workers)
        wait_until("every seat", lambda: house.pool().free == workers, timeout_s=120, every_s=0.005)
        print(f"{workers} workers up {time.monotonic() - began:.2f} s after their keeper was started")
        if count == 0:
            worker_costs(house, connection, workers)
            questions(connection, stack.settings, workers)
            return 0
        faults = calls_over_seats(house, connection, count, workers, kills)
    print("\n".join(faults) or "nobody answered without an agent, no seat given twice, none left over")
    return 1 if faults else 0


def calls_over_seats(house: Desk, connection: redis.Redis, count: int, workers: int, kills: int) -> list[str]:
    drawn, back = random.Random(1), []
    began = time.monotonic()
    calls = [house.call(TALK_S) for _ in range(count)]
    posted = time.monotonic() - began
    killed: list[str] = []
    while len(killed) < kills:
        time.sleep(0.5)
        busy = {seat: of for seat, of in occupied(connection).items() if of not in killed}
        talking = [seat for seat, of in busy.items() if answered(house, of)]
        if talking:
            seat = drawn.choice(talking)
            if (took := kill(connection, seat)) is not None:
                killed.append(busy[seat])
                back.append(took)
    for start_at in range(0, count, 50):  # each has its patience
        house.wait_ended(calls[start_at : start_at + 50])
    took = time.monotonic() - began
    seen = [house.see(call) for call in calls]
    ends = Counter((one["status"], one["end_reason"]) for one in seen)
    faults = [f"two calls at once on a seat: {pair}" for pair in overlaps(house, calls)]  # fails for one without an agent
    late = [(seated - answered_at).total_seconds() for seated, answered_at in map(house.times, calls)]
    behind = [one for one in late if one > 0]
    print(f"agent there before the answer in {count - len(behind)} of {count}, else {spread(behind)} after it")
    # A call may have ended of itself just before its worker was killed.
    lost = {one["attempts"][0]["id"] for one in seen if one["end_reason"] == "agent_lost"}
    if not lost <= set(killed) or len(lost) + ends[("completed", "hangup")] != count:
        faults.append(f"{len(killed)} workers killed, but {dict(ends)}")
    wait_until("all seats", lambda: house.pool()[1:] == (workers, workers, 0, 0, 0), timeout_s=60)
    house.wait_nothing_held()
    if left := connection.hlen(f"{PREFIX}seated"):
        faults.append(f"{left} seats left over")
    uptime = os.getloadavg()[0]
    print(f"load average {uptime:.1f}")
    print(f"{count} calls over {workers} seats: posted in {posted:.1f} s, over after {took:.1f} s; {dict(ends)}")
    print(f"{kills} workers killed in mid-call; the seat free again after: {spread(back)}")
    return faults


def occupied(connection: redis.Redis) -> dict[str, str]:
    """Attempts by seat, of those that are busy."""
    found = {}
    for key in connection.scan_iter(f"{PREFIX}seat:desk/*"):
        state, of = map(text, connection.hmget(key, "state", "attempt"))
        if state == "busy":
            found[text(key).removeprefix(f"{PREFIX}seat:")] = of
    return found


def answered(house: Desk, attempt: str) -> bool:
    with house.stack.db.connection() as conn:
        row = conn.execute("SELECT state FROM attempts WHERE id = %s", (attempt,)).fetchone()
    return row is not None and row[0] == "in_progress"


def kill(connection: redis.Redis, seat: str) -> float | None:
    """s until the seat has another worker and is free, or has its next call already. None: its worker had gone by itself."""
    key = f"{PREFIX}seat:{seat}"
    worker, url = map(text, connection.hmget(key, "worker", "url"))
    try:
        pid = pid_listening(url)
    except AssertionError:
        return None
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)

    def has_another() -> bool:
        now, state = map(text, connection.hmget(key, "worker", "state"))
        return now != worker and state in ("free", "held", "busy")

    wait_until(f"seat {seat}", has_another, timeout_s=30, every_s=0.002)
    return time.monotonic() - began


def worker_costs(house: Desk, connection: redis.Redis, workers: int) -> None:
    back = []
    for i in range(min(20, workers)):
        back.append(kill(connection, f"desk/h1-{i}") or 0.0)
    print(f"an idle worker killed; the seat free again after: {spread(back)}")
    urls = [text(url) for i in range(workers) if (url := connection.hget(f"{PREFIX}seat:desk/h1-{i}", "url"))]
    pids = [pid_listening(url) for url in urls]
    own = [memory(pid, "Pss") for pid in pids]
    rss = [memory(pid, "Rss") for pid in pids]
    print(f"memory of a worker: {statistics.mean(own):.1f} MB of its own (PSS), {statistics.mean(rss):.1f} MB RSS")
    call = house.call(20)
    seat = house.wait_seated(call)
    house.wait(call, "in_progress")
    pid = pid_listening(text(connection.hget(f"{PREFIX}seat:{seat}", "url")))
    before, at = cpu(pid), time.monotonic()
    time.sleep(10)
    share = (cpu(pid) - before) / (time.monotonic() - at)
    print(f"CPU of a call that is listened to: {share * 100:.1f} % of a core: {1 / max(share, 1e-4):.0f} calls a core")
    house.hang_up(call)
    house.wait(call, "completed")


def questions(connection: redis.Redis, settings: Settings, workers: int) -> None:
    """Of a pool of its own, so that nobody else is asked for."""
    said = [seats.Said("other", f"x-{i}", "w", f"ws://10.0.0.1:{9000 + i}/") for i in range(workers)]
    show(f"what a keeper says of {workers} seats", lambda: seats.say(connection, "k", 60, said))
    made: list[tuple[UUID, int]] = []

    def hold() -> None:
        attempt, fence = uuid4(), len(made) + 1
        lease = permits.Lease(attempt, fence, CARRIER, "fs1")
        permits.adopt(connection, settings, lease, f"dial.normal.{TENANT.hex}.all.f-other")
        made.append((attempt, fence))

    show("a lease with its seat", hold, workers)
    show("where a call's seat is", lambda: seats.seat_of(connection, made[0][0], "other"))
    left = iter(list(made))
    show("the lease given back with its seat", lambda: permits.release(connection, *next(left)), workers)


def show(what: str, question: Callable[[], object], times: int = 200) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        question()
        took.append(time.perf_counter() - began)
    print(f"{what}: {spread(took)}")


def spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    if not ordered:
        return "none"
    return (
        f"median {statistics.median(ordered) * 1000:.2f} ms, p95 {ordered[int(len(ordered) * 0.95)] * 1000:.2f} ms,"
        f" most {ordered[-1] * 1000:.2f} ms ({len(ordered)})"
    )


def memory(pid: int, what: str) -> float:
    """MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(what)


def cpu(pid: int) -> float:
    """s of CPU so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


if __name__ == "__main__":
    sys.exit(main())
