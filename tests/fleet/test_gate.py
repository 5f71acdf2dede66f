"""Who comes to a worker has to prove that it is the relay: a token of the pool's key, for this call, once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from agents.fleet.worker import ASK_S
from calls.agent_token import sign
from tests.fleet.house import Call, Fleet, refused, wait_for
from trunkline.private import free_port

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


def test_a_keeper_that_is_slow_is_waited_for_as_long_as_said(fleet: Start, call: Caller) -> None:
    """Longer than a worker waits by itself."""
    house = fleet(workers=1)
    house.await_free(1)
    ours = call()
    house.signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(refused, ours.url, ours.id, "nonsense")
        time.sleep(2 * ASK_S)  # what is late is the matter here
        house.signal(signal.SIGCONT)
        assert answer.result() == 401
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


def test_behind_a_proxy_the_agents_own_secrets_count(fleet: Start) -> None:
    old, new, attempt, port = "agsec_" + "0f" * 32, "agsec_" + "e1" * 32, uuid4(), free_port()
    house = fleet(
        "--no-seats", "--port", str(port), workers=1, before=["env", f"TRUNKLINE_AGENT_SECRET={old},{new}"]
    )  # fmt: skip
    wait_for(lambda: "1 workers" in house.log.read_text(), "the keeper never began")

    def token(secret: str) -> str:
        about = {"agent": "agent_1", "call": "call_1", "attempt": str(attempt)}
        return sign(secret, now=time.time(), token_id=uuid4().hex, **about)

    url = f"ws://127.0.0.1:{port}/"
    assert wait_for(lambda: status(url, attempt, token("agsec_" + "77" * 32)), "nobody listens") == 401
    assert refused(url, attempt) == 401
    for secret in (old, new):
        wait_for(lambda secret=secret: status(url, attempt, token(secret)) == 101, "it is not let in")


def status(url: str, attempt: UUID, token: str) -> int:
    """0: nobody is there (yet)."""
    try:
        return refused(url, attempt, token)
    except AssertionError:
        return 101
    except OSError:
        return 0


def test_a_pool_that_there_is_not_is_told(fleet: Start) -> None:
    house = fleet("--pool", "dsek", workers=1)
    wait_for(lambda: "pool dsek: there is no pool of that name" in house.log.read_text(), "it idles and says nothing")
    assert house.process.poll() is None, "an operator may make it later"
