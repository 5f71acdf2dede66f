"""One name server that hangs does not stand in the way of others' names; an answer is kept for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import gevent
import pytest

from jobs.webhook_names import PER_ZONE, THREADS, Names, zone
from jobs.webhook_post import Poster
from tests.web.receiver import Receiver


class NameServers:
    """Those of ``dead.example`` say nothing until the end; all others name loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()

    def __call__(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        if host.endswith("dead.example"):
            self.end.wait(30)
            raise OSError("timed out")
        return ["127.0.0.1"]


@pytest.fixture
def servers() -> Iterator[NameServers]:
    found = NameServers()
    yield found
    found.end.set()


def test_a_name_server_that_hangs_delays_no_other_name(servers: NameServers) -> None:
    names = Names(servers, wait_s=5.0)
    dead = [gevent.spawn(names.lookup, f"{number}.dead.example", 443) for number in range(2 * THREADS)]
    gevent.sleep(0)
    assert names.lookup("good.example", 443) == ["127.0.0.1"]
    assert not any(one.ready() for one in dead)
    # One owner's names take up few threads, whatever their number.
    assert len([host for host in servers.asked if host != "good.example"]) <= PER_ZONE
    gevent.killall(dead)


def test_who_waits_for_a_name_is_not_kept_long_and_asks_once(servers: NameServers) -> None:
    names = Names(servers, wait_s=0.2)
    for _ in range(3):
        with pytest.raises(OSError, match="does not answer"):
            names.lookup("dead.example", 443)
    assert servers.asked == ["dead.example"]
    servers.end.set()
    asking = next(iter(names._asking.values()))
    asking.join(5)
    with pytest.raises(OSError, match="timed out"):
        names.lookup("dead.example", 443)


def test_an_answer_is_kept_and_a_failure_is_told(servers: NameServers) -> None:
    names = Names(servers)
    with Receiver() as receiver:
        ours = Poster(timeout_s=5.0, per_url=2, allow_private=True, lookup=names.lookup)
        assert [ours.post(f"http://good.example:{receiver.port}/", {}, b"{}").code for _ in range(3)] == [200] * 3
        # What is kept is judged anew at each try.
        strict = Poster(timeout_s=5.0, per_url=2, allow_private=False, lookup=names.lookup)
        for _ in range(2):
            assert "not public" in str(strict.post("https://good.example/", {}, b"{}").error)
        ours.close()
    assert servers.asked == ["good.example"] * 2  # at two ports
    answer = Poster(timeout_s=5.0, per_url=2, allow_private=True).post("http://no.such.name.invalid/", {}, b"{}")
    assert answer.error == "refused: the name does not resolve"


def test_a_zone_is_what_one_owner_answers_for() -> None:
    assert zone("a.b.Shop.example.") == "shop.example" == zone("shop.example")
    assert zone("x.shop.co.uk") == "shop.co.uk" != zone("y.other.co.uk")
    assert zone("localhost") == "localhost"
