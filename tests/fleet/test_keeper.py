"""``python -m agents``: one call a worker, a new worker for each that is over, and whose word on a seat is true."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

from tests.fleet.house import PASSWORD, Call, Fleet, pid_listening, reach, refused, wait_for

Start = Callable[..., Fleet]


def has_a_secret(ours: Call) -> bool:
    """Whether the call's worker knows what its keeper tells the platform by."""
    environment = Path(f"/proc/{pid_listening(ours.url)}/environ").read_bytes()
    assert b"PATH=" in environment
    return PASSWORD.encode() in environment


def test_a_worker_takes_one_call_and_is_over(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=2)
    house.await_free(2)
    first = call()
    before = house.workers()
    first.talk()
    wait_for(lambda: house.now().busy == 1, "its worker never said that it has a call")
    assert house.seat(first.seat)["attempt"] == str(first.id)
    assert refused(first.url, uuid4()) == 503
    assert refused(first.url, first.id) == 503
    second = call()
    assert second.seat != first.seat
    first.end()
    wait_for(lambda: house.now().free == 1, "the seat never came back")
    after = house.workers()
    assert after[first.seat] != before[first.seat]
    assert after[second.seat] == before[second.seat]
    second.end()
    house.await_free(2)


def test_who_has_not_the_seat_is_sent_away(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=1)
    house.await_free(1)
    ours = call()
    assert not has_a_secret(ours)
    stranger = uuid4()
    assert refused(ours.url, stranger, ours.token(attempt=str(stranger))) == 503
    assert refused(ours.url, None) == 400
    ours.talk()
    ours.end()


def test_a_worker_that_is_killed_costs_its_call_alone(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=2)
    house.await_free(2)
    lost, other = call(), call()
    lost.talk()
    other.talk()
    wait_for(lambda: house.now().busy == 2, "not both busy")
    os.kill(pid_listening(lost.url), signal.SIGKILL)
    lost.await_lost()
    wait_for(lambda: house.now().free == 1, "its seat never came back", timeout_s=5.0)
    assert other.socket is not None
    other.socket.send('{"event": "dtmf", "digit": "1"}')
    assert other.heard() == "mark"
    assert house.now().busy == 1
    lost.end()
    other.end()
    house.await_free(2)
    before = house.workers()  # and one that is idle is replaced
    os.kill(pid_listening(house.seat("h1-0")["url"]), signal.SIGKILL)
    wait_for(lambda: house.workers() != before and house.now().free == 2, "no other worker")


def test_drained_it_takes_no_call_and_ends_with_its_last(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=2)
    house.await_free(2)
    ours = call()
    ours.talk()
    wait_for(lambda: house.now().busy == 1, "not busy")
    house.signal(signal.SIGTERM)
    wait_for(lambda: house.now()[2:4] == (0, 0), "a seat is still to be had")
    assert house.process.poll() is None
    assert ours.socket is not None
    ours.socket.send('{"event": "dtmf", "digit": "9"}')
    while ours.heard() != "hangup":
        pass
    ours.end()
    assert house.process.wait(timeout=30) == 0
    assert house.now()[1:] == (0, 0, 0, 0, 0)


def test_a_second_sigterm_ends_it_at_once(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=1)
    house.await_free(1)
    ours = call()
    ours.talk()
    house.signal(signal.SIGTERM)
    wait_for(lambda: "draining" in house.log.read_text(), "it does not drain")
    house.signal(signal.SIGTERM)
    assert house.process.wait(timeout=30) == 0
    ours.await_lost()


def test_sighup_exchanges_every_worker_and_leaves_calls_alone(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=3)
    house.await_free(3)
    ours, held = call(), call()
    ours.talk()
    wait_for(lambda: house.now().busy == 1, "not busy")
    before = house.workers()
    house.signal(signal.SIGHUP)
    (idle,) = before.keys() - {ours.seat, held.seat}
    wait_for(lambda: house.workers()[idle] != before[idle], "the idle one was never exchanged")
    assert house.workers()[ours.seat] == before[ours.seat]
    assert house.workers()[held.seat] == before[held.seat]
    held.end()
    wait_for(lambda: house.workers()[held.seat] != before[held.seat], "never exchanged, though nobody has it")
    ours.end()
    wait_for(lambda: "every worker is a new one" in house.log.read_text(), "it never came to its end")
    house.await_free(3)


def test_calls_survive_their_keeper(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet(workers=2)
    house.await_free(2)
    ours = call()
    ours.talk()
    wait_for(lambda: house.now().busy == 1, "not busy")
    worker = pid_listening(ours.url)
    house.process.kill()
    house.process.wait(timeout=20)
    assert ours.socket is not None
    ours.socket.send('{"event": "dtmf", "digit": "1"}')
    assert ours.heard() == "mark"
    ours.end()
    wait_for(lambda: not Path(f"/proc/{worker}/fd").exists(), "the worker outlives its call")
    again = fleet(workers=2)
    again.await_free(2)


def test_several_hosts_are_one_pool_and_names_are_not_shared(fleet: Start) -> None:
    first = fleet(workers=1)
    fleet(workers=2, name="h2")
    first.await_free(3)
    worker = first.workers()
    second = fleet(workers=1)
    wait_for(lambda: "another --name" in second.log.read_text(), "it is not told")
    assert first.workers() == worker
    assert first.now().free == 3


def test_without_dividing(fleet: Start, call: Callable[[], Call]) -> None:
    house = fleet("--fresh", workers=1)
    house.await_free(1)
    ours = call()
    assert not has_a_secret(ours)
    before = house.workers()
    ours.talk()
    ours.end()
    wait_for(lambda: house.workers() != before and house.now().free == 1, "no other worker")


def test_behind_a_proxy_a_worker_says_whether_it_is_free(fleet: Start) -> None:
    house = fleet("--no-seats", "--port", str(23_000 + os.getpid() % 20_000), workers=1)
    port = 23_000 + os.getpid() % 20_000

    def health() -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except OSError:
            return 0

    wait_for(lambda: health() == 200, house.log.read_text())
    socket = reach(f"ws://127.0.0.1:{port}/", None)
    assert health() == 503
    assert refused(f"ws://127.0.0.1:{port}/", None) == 503
    socket.close()
    wait_for(lambda: health() == 200, "no other worker on its port")


def test_an_agent_that_cannot_be_loaded_is_told(fleet: Start) -> None:
    house = fleet("--agent", "agents.reference.talk:nothing")
    assert house.process.wait(timeout=30) == 2
    assert "agents.reference.talk:nothing" in house.log.read_text()
