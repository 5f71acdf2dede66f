"""Where an agent of the fleet is: asked of Redis, exchanged when not reached, taken at the answer where that is so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from redis import Redis
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from budget import permits
from budget.connect import connect
from budget.seats import Said, say
from controller.relay.agent import AgentFailed, reach
from controller.relay.leg import Leg, Parts
from controller.relay.seat import Seats, reach_seat
from settings import Settings
from store.relay import RelayCall
from tests.relay.house import MemoryBook

TENANT, CARRIER = UUID(int=2), UUID(int=1)
TIMEOUT_S = 1.0


def the_call(attempt: UUID, **changes: Any) -> RelayCall:
    plain: dict[str, Any] = {
        "attempt_id": attempt, "call_id": uuid4(), "tenant_id": TENANT, "number": 1, "state": "ringing", "switch": "fs1",
        "to_number": "+4930123456", "from_number": "+442079460000", "agent_id": uuid4(), "agent_name": "desk",
        "agent_kind": "fleet", "agent_url": None, "agent_audio": None, "agent_variables": {}, "metadata": {},
        "client_reference": None, "max_duration_s": 60, "agent_pool": "desk", "agent_seat_policy": "reserved",
    }  # fmt: skip
    return RelayCall(**plain | changes)


class Bench:
    """A call with a permit, seats, and what the relay tried."""

    def __init__(self, redis: Redis, settings: Settings, mark: str = "f") -> None:
        self.redis, self.attempt, self.book = redis, uuid4(), MemoryBook()
        self.tried: list[str] = []
        self.settings = settings.model_copy(update={"agent_connect_timeout_s": TIMEOUT_S})
        lease = permits.Lease(self.attempt, 1, CARRIER, "fs1")
        permits.adopt(redis, settings, lease, f"dial.normal.{TENANT.hex}.all.{mark}-desk")

    def seats(self, count: int) -> None:
        say(self.redis, "k1", 60, [Said("desk", f"k1-{i}", "w", f"ws://k1:{i + 1}/") for i in range(count)])

    def leg(self) -> Leg:
        parts = Parts(self.settings, cast(Any, None), cast(Any, None), self.book, Seats(self.redis))
        return Leg(self.attempt, parts, resumed=False)

    async def reach(self, leg: Leg, call: RelayCall, deaf: tuple[str, ...] = ()) -> str:
        async def reached(url: str, timeout_s: float) -> str:
            assert 0 < timeout_s <= TIMEOUT_S
            self.tried.append(url)
            if url in deaf:
                raise AgentFailed("agent_unreachable", url)
            return url

        return await reach_seat(leg, call, reached)


@pytest.fixture
def bench(settings: Callable[..., Settings], redis_url: str) -> Iterator[Callable[..., Bench]]:
    given = settings()
    redis = connect(given)
    yield lambda *more: Bench(redis, given, *more)
    redis.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 30.0))


def test_one_that_cannot_be_reached_is_exchanged(bench: Callable[..., Bench]) -> None:
    async def scenario() -> None:
        house = bench()
        house.seats(3)
        found = await house.reach(house.leg(), the_call(house.attempt), deaf=("ws://k1:3/",))
        assert house.tried[0] == "ws://k1:3/"
        assert found == house.tried[-1] != house.tried[0]
        assert ("relay.seat", {"seat": f"desk/k1-{int(found[-2]) - 1}"}) in [note[1:] for note in house.book.notes]

    run(scenario())


def test_a_worker_that_has_a_call_is_not_asked_again(settings: Callable[..., Settings]) -> None:
    asked: list[str] = []

    def has_a_call(socket: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        return socket.respond(503, "This worker has its call.\n")

    async def scenario() -> None:
        async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0, process_request=has_a_call) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises(AgentFailed) as failed:
                await reach(
                    f"ws://127.0.0.1:{port}/", attempt=uuid4(), headers=dict, subprotocols=(), timeout_s=2.0,
                    settings=settings(), ours=True,
                )  # fmt: skip
        assert (failed.value.reason, len(asked)) == ("agent_unreachable", 1)

    run(scenario())


def test_there_is_none(bench: Callable[..., Bench]) -> None:
    async def scenario() -> None:
        house = bench()
        with pytest.raises(AgentFailed) as failed:
            await house.reach(house.leg(), the_call(house.attempt))
        assert (failed.value.reason, house.tried) == ("no_seat", [])

    run(scenario())


def test_one_that_comes_in_time_is_taken(bench: Callable[..., Bench]) -> None:
    async def scenario() -> None:
        house = bench()
        reaching = asyncio.create_task(house.reach(house.leg(), the_call(house.attempt)))
        await asyncio.sleep(0)
        house.seats(1)
        assert await reaching == "ws://k1:1/"

    run(scenario())


def test_at_the_answer_it_waits_for_that_but_not_with_a_caller(bench: Callable[..., Bench]) -> None:
    async def scenario() -> None:
        house = bench("o")
        house.seats(1)
        leg, call = house.leg(), the_call(house.attempt, agent_seat_policy="at_answer")
        assert await house.reach(house.leg(), the_call(house.attempt, agent_seat_policy="at_answer", direction="inbound"))
        reaching = asyncio.create_task(house.reach(leg, call))
        done, _ = await asyncio.wait([reaching], timeout=0.1)
        assert not done
        leg.answer(datetime.now(UTC))
        assert await reaching == "ws://k1:1/"

    run(scenario())


def test_redis_is_away(bench: Callable[..., Bench]) -> None:
    async def scenario() -> None:
        house = bench()
        house.redis = connect(house.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
        with pytest.raises(AgentFailed) as failed:
            await house.reach(house.leg(), the_call(house.attempt))
        assert failed.value.reason == "agent_unreachable"
        house.redis.close()

    run(scenario())
