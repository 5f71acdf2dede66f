"""Who comes to a worker has to prove that it is the relay: a token of the pool's key, for this call, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from tests.fleet.house import Call, Fleet, refused, wait_for

Start, Caller = Callable[..., Fleet], Callable[[], Call]


def test_without_a_token_that_is_good_here_nobody_is_let_in(fleet: Start, call: Caller) -> None:
    house = fleet(workers=1)
    house.await_free(1)
    ours = call()
    hour_ago = time.time() - 3600
    assert refused(ours.url, ours.id) == 401
    assert refused(ours.url, ours.id, "nonsense") == 401
    assert refused(ours.url, ours.id, ours.token(key="fleet_" + "0" * 64)) == 401
    assert refused(ours.url, ours.id, ours.token(attempt=str(UUID(int=7)))) == 401
    assert refused(ours.url, ours.id, ours.token(now=hour_ago)) == 401
    ours.talk()
    ours.end()


def test_a_token_is_let_in_once_wherever(fleet: Start, call: Caller) -> None:
    """Its keeper refuses it at each of its workers, and the platform at every other keeper's."""
    house = fleet(workers=2)
    house.await_free(2)
    ours, second = call(), call()
    token = ours.token()
    ours.talk(token)
    assert refused(second.url, ours.id, token) == 401
    other = fleet(workers=1, name="h2")
    wait_for(lambda: other.workers(), "the other keeper never spoke")
    url = other.seat("h2-0")["url"]
    assert refused(url, ours.id, token) == 503
    wait_for(lambda: other.seat("h2-0")["state"] == "free", "never free again")
    assert house.seat(ours.seat)["attempt"] == str(ours.id)
    ours.end()
    second.end()


def test_a_pool_that_there_is_not_is_told(fleet: Start) -> None:
    house = fleet("--pool", "dsek", workers=1)
    wait_for(lambda: "pool dsek: there is no pool of that name" in house.log.read_text(), "it idles and says nothing")
    assert house.process.poll() is None, "an operator may make it later"
