"""A call handed on to an agent of the fleet: a seat is found and the first one given back, or it hears that none is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import Redis

import budget.seats
from agents.reference.sound import tone
from budget import permits
from budget.connect import connect
from budget.seats import PoolNow, Said, pools, say
from calls.agent_token import verify
from controller.relay.seat import Seats
from settings import Settings
from store.transfers import Open
from tests.relay.house import AgentCall, House, ScriptedAgent, a_relay, house, run, until
from tests.relay.test_transfer import SPEAKS, hears

TENANT, CARRIER = UUID(int=2), UUID(int=1)
KEY = "fleet_" + "5a" * 32


class Desk:
    """A pool whose seats are the given agents; the keeper's word on who has which call is the test's."""

    def __init__(self, redis: Redis, pool: str, urls: list[str]) -> None:
        self.redis, self.pool, self.urls = redis, pool, urls
        self.says()

    def says(self, call: UUID | None = None) -> None:
        """``call``: what all of its workers have taken."""
        said = [Said(self.pool, f"{self.pool}-{i}", f"w{i}", url, call) for i, url in enumerate(self.urls)]
        say(self.redis, f"keeper of {self.pool}", 60, said)

    @property
    def now(self) -> tuple[int, ...]:
        """Free, held, busy."""
        return next((one for one in pools(self.redis) if one.name == self.pool), PoolNow(self.pool, *[0] * 5))[2:5]


@pytest.fixture
def redis(settings: Callable[..., Settings]) -> Iterator[Redis]:
    client = connect(settings())
    yield client
    client.close()


@asynccontextmanager
async def a_house(tmp_path: Path, redis: Redis) -> AsyncIterator[House]:
    seats = Seats(redis)
    async with house(tmp_path, own_relay=False) as h:
        async with a_relay(h, seats) as h.relay:
            yield h
    seats.close()


async def seated(h: House, desk: Desk, agent: ScriptedAgent) -> tuple[UUID, AgentCall]:
    """A call that talks with its agent of the pool."""
    attempt = uuid4()
    lease = permits.Lease(attempt, 1, CARRIER, "fs1")
    permits.adopt(desk.redis, h.settings, lease, f"dial.normal.{TENANT.hex}.all.f-{desk.pool}")
    await h.dial(SPEAKS, attempt=attempt, agent_kind="fleet", agent_pool=desk.pool, agent_seat_policy="reserved")
    call = await agent.call()
    desk.says(attempt)
    await call.send("ready")
    await h.answered(attempt)
    await call.expect("answered")
    return attempt, call


def to_the_fleet(h: House, first: UUID, pool: str) -> Open:
    wanted = Open(
        uuid4(), first, "agent:next", None, None, False, None, uuid4(), "seller", agent_kind="fleet", agent_pool=pool,
        agent_pool_key=KEY,
    )  # fmt: skip
    h.book.under_way.append(wanted)
    return wanted


def test_a_seat_is_found_for_it_and_the_first_one_given_back(tmp_path: Path, redis: Redis) -> None:
    async def scenario() -> None:
        async with (
            a_house(tmp_path, redis) as h,
            ScriptedAgent().listening() as agent,
            ScriptedAgent().listening() as seller,
        ):
            desk, sales = Desk(redis, "desk", [agent.url]), Desk(redis, "sales", [seller.url])
            first, call = await seated(h, desk, agent)
            assert (desk.now, sales.now) == ((0, 0, 1), (1, 0, 0))
            wanted = to_the_fleet(h, first, "sales")
            following = await seller.call()
            token = following.headers["Authorization"].removeprefix("Bearer ")
            assert verify(token, KEY, now=time.time()).attempt == str(first)
            assert sales.now == (0, 1, 0)
            sales.says(first)
            await following.send("ready")
            assert (await call.expect("stop"))["reason"] == "transferred"
            await following.expect("answered")
            await following.say(tone(900, 2000))
            await until(lambda: hears(h, first, 900), "the callee hears the second agent")
            desk.says()  # its worker is over
            await until(lambda: (desk.now, sales.now) == ((1, 0, 0), (0, 0, 1)), "the first seat is given back")
            assert h.book.handed == [wanted.agent_id]
            await following.send("hangup")
            await h.gone(first)
            assert permits.release(redis, first, 1)
            sales.says()
            assert (desk.now, sales.now) == ((1, 0, 0), (1, 0, 0))

    run(scenario())


def test_a_seat_that_is_asked_for_while_it_comes_to_nothing_is_given_back(
    redis: Redis, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked is gone; the thread goes on, and its answer is late."""
    asked, go_on, taken, first = Event(), Event(), Event(), uuid4()
    permits.adopt(redis, settings(), permits.Lease(first, 1, CARRIER, "fs1"), f"dial.normal.{TENANT.hex}.all")
    sales, ask = Desk(redis, "sales", ["ws://x:1/"]), budget.seats.next_seat

    def late(*words: Any) -> Any:
        asked.set()
        assert go_on.wait(30)
        found = ask(*words)
        taken.set()
        return found

    async def scenario() -> None:
        monkeypatch.setattr(budget.seats, "next_seat", late)
        seats = Seats(redis)
        asking = asyncio.create_task(seats.place(first, "sales", "", following=True))
        await asyncio.to_thread(asked.wait, 30)
        asking.cancel()
        await asyncio.wait([asking])
        seats.moved(first, taken_over=False)
        other = await asyncio.wait_for(seats.place(uuid4(), "sales", "", following=False), 30)
        assert other is None, "it has no permit, and did not wait for the first one's turn"
        go_on.set()
        await asyncio.to_thread(taken.wait, 30)
        await asyncio.wrap_future(seats._in_turn(first, lambda: None))  # all that was asked of it is through
        seats.close()
        assert sales.now == (1, 0, 0)

    run(scenario())


@pytest.mark.parametrize("why", ["full", "not ready"])
def test_without_a_seat_the_agent_is_told_and_talks_on(tmp_path: Path, redis: Redis, why: str) -> None:
    async def scenario() -> None:
        async with (
            a_house(tmp_path, redis) as h,
            ScriptedAgent().listening() as agent,
            ScriptedAgent().listening() as seller,
        ):
            desk, sales = Desk(redis, "desk", [agent.url]), Desk(redis, "sales", [seller.url])
            first, call = await seated(h, desk, agent)
            wanted = to_the_fleet(h, first, "desk" if why == "full" else "sales")
            told = await until(lambda: call.seen("transfer"), "the first agent hears of it")
            reason = "no_seat" if why == "full" else "agent_not_ready"
            assert (told[0]["id"], told[0]["status"], told[0]["reason"]) == ("next", "failed", reason)
            assert set(h.book.failed_transfers) == {wanted.command_id}
            await call.say(tone(700, 400))
            await until(lambda: hears(h, first, 700), "it talks on")
            await until(lambda: (desk.now, sales.now) == ((0, 0, 1), (1, 0, 0)), "what it had tried is given back")
            await call.send("hangup")
            await h.gone(first)

    run(scenario())
