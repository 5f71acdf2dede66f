"""Where an agent of the fleet is: the seat that the call's permit holds, or one that is taken when somebody has answered.

Redis is asked in threads, as Postgres is (book.py), of one attempt one question after the other. A seat that cannot be
reached is exchanged for another, as long as there is time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from redis import Redis
from redis.exceptions import RedisError

from budget import seats
from controller.relay.agent import AgentFailed
from controller.relay.leg import Leg
from store.relay import RelayCall

T = TypeVar("T")

log = logging.getLogger(__name__)

_THREADS = 2
#: s; for one seat: the others wait for their turn. Its worker may wait for its keeper: ASK_S of the worker.
_ONE_SEAT_S = 2.0
#: s; between two questions while there is none.
_AGAIN_S = 0.1


class Seats:
    """The way to the seats, for all calls of a relay."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="seats")
        self._last: WeakValueDictionary[UUID, Future[Any]] = WeakValueDictionary()  # asked of each attempt, while it goes on

    def _in_turn(self, attempt: UUID, ask: Callable[[], T]) -> Future[T]:
        """Asked in a thread, once what was asked of the attempt before is through. Whoever waited for that may be gone: a
        thread is not cancelled, and a seat that it takes after :meth:`moved` nobody would give back.
        """
        before = self._last.get(attempt)
        self._last[attempt] = asked = Future[T]()

        def turn() -> None:
            if asked.set_running_or_notify_cancel():
                try:
                    asked.set_result(ask())
                except Exception as error:  # noqa: BLE001 - whoever waits is told
                    asked.set_exception(error)

        def begin(_: object) -> None:
            try:
                work = self._threads.submit(turn)
            except RuntimeError as error:  # closed: the relay stops
                if asked.set_running_or_notify_cancel():
                    asked.set_exception(error)
            else:
                work.add_done_callback(lambda done: done.cancelled() and asked.cancel())

        if before is None:
            begin(None)
        else:
            before.add_done_callback(begin)
        return asked

    async def place(self, attempt: UUID, pool: str, unreachable: str, *, following: bool) -> seats.Place | None:
        """As :func:`budget.seats.seat_of`; ``following``: as :func:`budget.seats.next_seat`."""
        ask = seats.next_seat if following else seats.seat_of
        return await asyncio.wrap_future(self._in_turn(attempt, lambda: ask(self._redis, attempt, pool, unreachable)))

    def moved(self, attempt: UUID, *, taken_over: bool) -> None:
        """As :func:`budget.seats.moved`; never waits. Lost with Redis, it comes right at the end of the call."""

        def tell() -> None:
            try:
                seats.moved(self._redis, attempt, taken_over=taken_over)
            except RedisError as error:
                log.warning("attempt %s: its seats, Redis is not told: %s", attempt, error)

        self._in_turn(attempt, tell)

    def close(self) -> None:
        """Give the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def reach_seat(
    leg: Leg, call: RelayCall, reach: Callable[[str, float], Awaitable[T]], *, following: bool = False
) -> T:  # fmt: skip
    """What ``reach(url, timeout in s)`` gives for the call's seat, or for another one. Raises :class:`AgentFailed`.
    ``following``: for a seat beside the one that it has; another agent talks until this one takes over.

    Where a seat is taken at the answer, the answer is waited for first; a caller is answered when its agent is ready, so its
    call has had a seat from the beginning.
    """
    if call.agent_seat_policy == "at_answer" and call.direction != "inbound":
        await leg.answered.wait()
    if leg.parts.seats is None or call.agent_pool is None:
        raise AgentFailed("agent_unknown", "this relay knows of no seats")
    loop = asyncio.get_running_loop()
    deadline, bad, failure = loop.time() + leg.parts.settings.agent_connect_timeout_s, "", None
    while True:
        try:
            place = await leg.parts.seats.place(leg.attempt, call.agent_pool, bad, following=following)
        except RedisError as error:
            place, failure = None, AgentFailed("agent_unreachable", f"where its seat is, Redis does not say: {error}")
        left = deadline - loop.time()
        if place is not None and left > 0:
            try:
                found = await reach(place.url, min(left, _ONE_SEAT_S))
            except AgentFailed as error:
                log.warning("attempt %s: seat %s: %s", leg.attempt, place.seat, error)
                bad, failure = place.seat, error
            else:
                leg.note("relay.seat", {"seat": place.seat})
                return found
        if loop.time() + _AGAIN_S >= deadline:
            raise failure or AgentFailed("no_seat", f"no worker of pool {call.agent_pool} was free")
        await asyncio.sleep(_AGAIN_S)
