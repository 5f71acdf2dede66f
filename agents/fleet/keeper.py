"""The keeper of a host: keeps N workers started, a new one for each that is over, and speaks for their seats.

What it says of a seat comes from the worker itself or from its end, which the keeper sees at once. A seat without a worker
is said to leave, so nobody is sent there; one whose worker was killed in mid-call is free as soon as the next one listens.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from agents.fleet.confine import peer_of, uid_of
from agents.fleet.gate import Gate
from agents.fleet.herald import Herald, Unheard
from agents.fleet.origin import Origin
from agents.fleet.plan import Plan
from agents.fleet.seat import Seat
from agents.fleet.worker import ALIVE_S, Orders
from calls.agent_token import TokenRefused

log = logging.getLogger("agents.keeper")

#: s; a worker that says nothing for so long is stuck, and killed.
_STUCK_S = 15 * ALIVE_S
#: s; a worker that does not get up within it is killed.
_UP_S = 30.0
#: s; a worker that was over sooner and without a call has failed; the longest rest after many of those.
_LIVED_S, _REST_S = 1.0, 2.0
#: s; between two words to the platform while it does not answer.
_AGAIN_S = 0.5


class Keeper:
    """:meth:`run` until it is drained. ``herald`` None: nobody is told (a proxy hands the calls out, by /healthz)."""

    def __init__(self, plan: Plan, herald: Herald | None) -> None:
        self._plan = plan
        self._herald = herald
        self._seats = {f"{plan.name}-{i}": Seat(f"{plan.name}-{i}") for i in range(plan.workers)}
        self._origin = Origin(plan.agent, plan.user, divide=plan.divide, on_new=self._start_missing)
        self._gate = Gate(plan.pool, plan.secrets if herald is None else None, ask_s=plan.ask_s)
        self._news = asyncio.Event()
        self._heard = asyncio.Event()  # the platform has answered since it was cleared
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = ""

    @property
    def seats(self) -> list[Seat]:
        return list(self._seats.values())

    async def run(self, drain_s: float) -> int:
        """Until SIGTERM or SIGINT and then to the end of the calls, ``drain_s`` at most; a second one ends it at once.
        SIGHUP exchanges the workers, one after the other. Returns the exit code.
        """
        loop, stop, at_once = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def end() -> None:
            (at_once if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.renew()))
        with tempfile.TemporaryDirectory(prefix="trunkline-fleet-") as directory:
            self._socket = str(Path(directory) / "keeper")
            server = await asyncio.start_unix_server(self._on_worker, self._socket)
            if self._plan.user:
                for path in (directory, self._socket):
                    os.chown(path, uid_of(self._plan.user), -1)
            speaking = asyncio.create_task(self._speak())
            try:
                if not await self._origin.renew():
                    return 2
                for seat in self.seats:
                    self._start(seat)
                self._spawn(self._watch())
                log.info("%d workers of %s for pool %s", len(self._seats), self._plan.agent, self._plan.pool)
                await stop.wait()
                await self._drain(drain_s, at_once)
            finally:
                speaking.cancel()
                await self._say_all_gone()
                self._end_everything()
                server.close()
        return 0

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- workers -------------------------------------------------------------------------------------------------

    def _start(self, seat: Seat) -> None:
        """A new worker for the seat. It is there when it says so."""
        plan, i = self._plan, list(self._seats).index(seat.name)
        if self._draining:
            return
        seat.worker, seat.generation, seat.pid = f"w{uuid4().hex[:12]}", self._origin.generation, 0
        seat.call = seat.token = None
        seat.started_at = asyncio.get_running_loop().time()
        port = plan.port + i if plan.port else 0
        seats = self._herald is not None
        self._origin.start(Orders(seat.worker, plan.agent, plan.host, port, self._socket, seats, plan.user, plan.ask_s))

    def _start_missing(self) -> None:
        for seat in self.seats:
            if not seat.up:
                self._start(seat)

    async def _on_worker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A worker's line to its keeper: it is up; it asks for a call; it took one; it lives. Its end is the worker's."""
        seat: Seat | None = None
        try:
            hello = json.loads(await reader.readline() or b"{}")
            seat = next((one for one in self.seats if one.worker == hello.get("worker") and not one.up), None)
            if seat is None:
                return
            loop, host = asyncio.get_running_loop(), self._plan.advertise
            seat.pid, seat.heard_at, seat.writer = peer_of(writer) or hello["pid"], loop.time(), writer
            seat.url = f"ws://{f'[{host}]' if ':' in host else host}:{hello['port']}/"
            self._news.set()
            while line := await reader.readline():
                seat.heard_at, message = loop.time(), json.loads(line)
                if "take" in message:
                    await self._asked(seat, message["take"], message.get("number", 0), message.get("token"))
                elif "left" in message and (seat.call, seat.number) == (message["left"], message["number"]):
                    seat.drop()  # our answer came too late for it
                    self._news.set()
                elif "took" in message and (seat.call, seat.asks) != (message["took"], False):
                    seat.call, seat.asks = message["took"], False  # it did not wait for us: a late no is none any more
                    self._news.set()
        except (OSError, ValueError) as error:
            log.warning("a worker's line: %s", error)
        finally:
            writer.close()
            if seat is not None:
                self._worker_ended(seat)

    async def _asked(self, seat: Seat, call: str, number: int, token: str | None) -> None:
        """Somebody is at a worker: whether it is the relay, and then whether the seat is this call's."""
        try:
            used = await self._gate.enter(token, call)
        except TokenRefused as error:
            log.warning("seat %s: somebody was refused: %s", seat.name, error)
            seat.checked(call, number, good=False)
            return
        seat.checked(call, number, good=True)
        seat.call, seat.number, seat.token, seat.asks = call, number, used, True
        if self._herald is None or (seat.state, seat.holder) == ("held", call):
            seat.answer(yours=True)  # no round trip while the phone rings; the platform hears of it at once
        self._news.set()

    def _worker_ended(self, seat: Seat) -> None:
        loop = asyncio.get_running_loop()
        lived = seat.call is not None or seat.leaving or loop.time() - seat.started_at > _LIVED_S
        seat.falls = 0 if lived else seat.falls + 1
        seat.writer, seat.asks = None, False
        self._news.set()
        rest_s = 0.0 if seat.falls < 3 else min(_REST_S, 0.1 * 2**seat.falls)
        seat.later = loop.call_later(rest_s, self._start, seat)

    async def _watch(self) -> None:
        """Workers that are stuck, or do not get up, are killed; the end of one is seen on its line."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ALIVE_S)
            for seat in self.seats:
                if seat.up and loop.time() - seat.heard_at > _STUCK_S:
                    log.error("seat %s: its worker says nothing for %g s: killed", seat.name, _STUCK_S)
                    _kill(seat.pid, signal.SIGKILL)
                    seat.heard_at = loop.time()
                elif not seat.up and loop.time() - seat.started_at > _UP_S and not self._draining:
                    log.error("seat %s: its worker did not get up: another one", seat.name)
                    self._start(seat)

    # --- what the platform is told -------------------------------------------------------------------------------

    async def _speak(self) -> None:
        """Say all there is to say, at every change and as often as it has to be said."""
        while self._herald is not None:
            self._news.clear()
            wait_s = _AGAIN_S
            said = {one.name: (one, one.worker, one.call, one.number) for one in self.seats if one.worker and one.url}
            try:
                if said:
                    heard = await self._herald.say([seat.said(self._plan.pool) for seat, *_ in said.values()])
                    wait_s = heard.hold_s / 3
                    self._gate.learn(heard.keys)
                    for name, (seat, worker, call, number) in said.items():
                        stands, still = heard.seats[name], call if seat.number == number else None
                        self._heard_of(seat, worker, still, stands.state, stands.call)
                self._heard.set()
            except Unheard as error:
                log.warning("not heard: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()

    def _heard_of(self, seat: Seat, worker: str, call: str | None, state: str, holder: str | None) -> None:
        if seat.worker != worker:
            return  # another one has it since
        if state == "taken" and seat.state != "taken":
            log.error("seat %s: another keeper of that name speaks for it; give this one another --name", seat.name)
        seat.state, seat.holder = state, holder
        another = state == "refused" or (state == "held" and holder != call)  # away: perhaps a call of no lease of ours
        if seat.call == call and call is not None and not seat.asks and another:
            log.error("seat %s: attempt %s is let go of: the seat is %s", seat.name, call, holder or state)
            _kill(seat.pid, signal.SIGTERM)
        if seat.asks and seat.call == call:
            ours = state == "busy" and holder == call
            seat.answer(yours=ours)
            if not ours:
                log.warning("seat %s: sent away attempt %s: the seat is %s", seat.name, call, holder or state)
                seat.drop()
                self._news.set()

    async def _told(self) -> None:
        """Until the platform has heard what is so now. At most some seconds: it may be away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(3.0):
                for _ in range(2):  # what is under way may have been written before
                    self._heard.clear()
                    self._news.set()
                    await self._heard.wait()

    async def _say_all_gone(self) -> None:
        if self._herald is not None:
            said = [seat.said(self._plan.pool, gone=True) for seat in self.seats if seat.worker and seat.url]
            with suppress(Unheard):
                if said:
                    await self._herald.say(said)

    # --- exchanging and draining ---------------------------------------------------------------------------------

    async def renew(self) -> None:
        """Load the agent again and exchange the workers, one after the other; one with a call when that is over."""
        log.info("exchanging the workers")
        if not await self._origin.renew():
            return
        generation = self._origin.generation
        while not self._draining and generation == self._origin.generation:
            old = [seat for seat in self.seats if seat.generation < generation]
            if not old:
                log.info("every worker is a new one")
                return
            idle = [seat for seat in old if seat.call is None and seat.up and seat.state != "held"]
            if not idle or not await self._exchange(idle[0]):
                await asyncio.sleep(0.2)

    async def _exchange(self, seat: Seat) -> bool:
        worker, seat.leaving = seat.worker, True
        await self._told()
        away = seat.worker == worker and seat.call is None and (seat.state == "away" or self._herald is None)
        if away:
            _kill(seat.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(_UP_S):
                    while seat.worker == worker or not seat.up:
                        await asyncio.sleep(0.01)
        seat.leaving = False
        self._news.set()
        return away

    async def _drain(self, drain_s: float, at_once: asyncio.Event) -> None:
        log.info("draining: no more calls")
        self._draining = True
        for seat in self.seats:
            seat.leaving = True
        await self._told()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                while not at_once.is_set() and any(self._has_a_call(seat) for seat in self.seats):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await at_once.wait()

    def _has_a_call(self, seat: Seat) -> bool:
        return seat.up and (seat.call is not None or (self._herald is not None and seat.state == "held"))

    def _end_everything(self) -> None:
        for seat in self.seats:
            if seat.up:
                _kill(seat.pid, signal.SIGTERM)
        self._origin.close()
        for task in self._tasks:
            task.cancel()


def _kill(pid: int, number: signal.Signals) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
