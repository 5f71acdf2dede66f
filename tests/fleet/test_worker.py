"""A worker and its keeper's silence: the call is taken, the keeper is told, and what it hears later does not undo it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agents.fleet.herald import Heard, Herald, Standing
from agents.fleet.keeper import Keeper
from agents.fleet.plan import Plan
from agents.fleet.seat import Seat
from agents.fleet.worker import ASK_S, Orders
from calls.agent_token import sign
from controller.relay.seat import _ONE_SEAT_S
from tests.fleet.house import ROOT

AGENT = "agents.reference.talk:answer"


def test_a_worker_does_not_wait_longer_than_the_relay_does() -> None:
    assert 2 * ASK_S <= _ONE_SEAT_S


def test_a_keeper_that_does_not_answer_is_told_who_was_taken(tmp_path: Path) -> None:
    attempt, lines = str(uuid4()), asyncio.Queue[dict[str, object]]()

    async def keeper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            lines.put_nowait(message := json.loads(line))
            if message.get("token") == "Bearer good":
                asked = {"attempt": message["take"], "number": message["number"]}
                writer.write(json.dumps({"checked": True} | asked).encode() + b"\n")  # not whose the seat is
        writer.close()

    async def said(word: str) -> dict[str, object]:
        while word not in (message := await lines.get()):
            pass
        return message

    async def scenario() -> None:
        path = str(tmp_path / "keeper")
        async with await asyncio.start_unix_server(keeper, path):
            orders = Orders("w1", AGENT, "127.0.0.1", 0, path).text()
            worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "agents.fleet.worker", orders, cwd=ROOT)
            try:
                port = (await said("port"))["port"]
                header = {"X-Trunkline-Attempt": attempt}
                with pytest.raises(InvalidStatus) as sent_away:  # who it is must be known
                    await connect(f"ws://127.0.0.1:{port}/", additional_headers=header, open_timeout=30)
                assert sent_away.value.response.status_code == 503
                header["Authorization"] = "Bearer good"
                async with connect(f"ws://127.0.0.1:{port}/", additional_headers=header, open_timeout=30):
                    assert (await said("took"))["took"] == attempt
                await worker.wait()
            finally:
                if worker.returncode is None:
                    worker.kill()
                    await worker.wait()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_an_answer_is_that_of_its_question(tmp_path: Path) -> None:
    """What the keeper says too late of one connection lets no other one in; nor does the seat stay the first one's."""
    lines = asyncio.Queue[dict[str, object]]()

    async def scenario() -> None:
        writers: list[asyncio.StreamWriter] = []

        async def keeper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            while line := await reader.readline():
                lines.put_nowait(json.loads(line))
            writer.close()

        async def said(word: str) -> dict[str, object]:
            while word not in (message := await lines.get()):
                pass
            return message

        async def comes(attempt: str) -> int:
            try:
                async with connect(url, additional_headers={"X-Trunkline-Attempt": attempt}, open_timeout=30):
                    return 101
            except InvalidStatus as error:
                return error.response.status_code

        def answer(what: str, yes: bool, question: dict[str, object]) -> None:
            told = {what: yes, "attempt": question["take"], "number": question["number"]}
            writers[0].write(json.dumps(told).encode() + b"\n")

        path = str(tmp_path / "keeper")
        async with await asyncio.start_unix_server(keeper, path):
            orders = Orders("w1", AGENT, "127.0.0.1", 0, path).text()
            worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "agents.fleet.worker", orders, cwd=ROOT)
            try:
                url = f"ws://127.0.0.1:{(await said('port'))['port']}/"
                relay, attempt = str(uuid4()), str(uuid4())
                for first, second in ((relay, attempt), (attempt, attempt)):
                    assert await comes(first) == 503
                    late = await said("take")
                    assert await said("left") == {"left": first, "number": late["number"]}
                    stranger = asyncio.create_task(comes(second))
                    question = await said("take")
                    answer("checked", True, late)
                    answer("yours", True, late)
                    answer("checked", False, question)
                    assert await stranger in (401, 503), "who it is was answered for another one"
            finally:
                worker.kill()
                await worker.wait()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_who_has_left_has_no_seat(tmp_path: Path) -> None:
    """Its question was answered too late, and it is not there any more."""
    seat = Seat("h1-0", worker="w1")
    seat.call, seat.number, seat.token, seat.asks = "a", 1, "t1", True

    async def scenario() -> None:
        herald = Herald("http://127.0.0.1:1/internal/seats", "user", "secret", "k1")
        keeper = Keeper(Plan("desk", "h1", 1, AGENT, "127.0.0.1", "127.0.0.1"), herald)
        keeper._seats = {seat.name: seat}
        async with await asyncio.start_unix_server(keeper._on_worker, path := str(tmp_path / "keeper")):
            _, writer = await asyncio.open_unix_connection(path)
            for message in ({"worker": "w1", "pid": 1, "port": 1}, {"left": "a", "number": 0}, {"left": "a", "number": 1}):
                writer.write(json.dumps(message).encode() + b"\n")
            while seat.call is not None:
                await asyncio.sleep(0.001)
            assert (seat.said("desk")["token"], seat.asks) == (None, False)
            writer.close()
            while seat.up:
                await asyncio.sleep(0.001)
            assert seat.later is not None
            seat.later.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_call_that_is_taken_after_a_no_is_told_with_its_token() -> None:
    """Without it the platform would take a used one for none."""
    seat = Seat("h1-0", worker="w1", call="a", token="t1", number=1, asks=True)
    seat.drop()
    assert (seat.said("desk")["attempt"], seat.said("desk")["token"]) == (None, None)
    seat.call = "a"
    assert seat.said("desk")["token"] == "t1"


def test_who_was_let_in_by_a_used_token_does_not_stay(tmp_path: Path) -> None:
    """The platform says so when the worker waits for it no longer. That it is no lease of the platform's ends no call."""

    class Platform(Herald):
        """Says how the seat stands once it is told to."""

        def __init__(self) -> None:
            super().__init__("http://127.0.0.1:1/internal/seats", "user", "secret", "k1")
            self.stands, self.heard = asyncio.Queue[str](), asyncio.Event()

        async def say(self, seats: list[dict[str, Any]]) -> Heard:
            if any(one["attempt"] for one in seats):
                self.heard.set()
                state = await self.stands.get()
            else:
                state = "free"
            return Heard(0.03, {one["name"]: Standing(state, None) for one in seats}, {"desk": "k"})

    async def scenario() -> None:
        platform = Platform()
        keeper = Keeper(Plan("desk", "h1", 1, AGENT, "127.0.0.1", "127.0.0.1"), platform)
        (seat,) = keeper.seats
        seat.worker, path = "w1", str(tmp_path / "keeper")
        async with await asyncio.start_unix_server(keeper._on_worker, path):
            orders = Orders("w1", AGENT, "127.0.0.1", 0, path).text()
            worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "agents.fleet.worker", orders, cwd=ROOT)
            speaking = asyncio.create_task(keeper._speak())
            try:
                while seat.state != "free":
                    await asyncio.sleep(0.01)
                attempt = str(uuid4())
                token = sign("k", agent="agent_1", call="call_1", attempt=attempt, now=time.time(), token_id="t1")
                headers = {"X-Trunkline-Attempt": attempt, "Authorization": f"Bearer {token}"}
                async with connect(seat.url, additional_headers=headers, open_timeout=30) as socket:
                    await platform.heard.wait()
                    while seat.asks:
                        await asyncio.sleep(0.01)
                    for _ in range(3):
                        platform.stands.put_nowait("away")
                    while not platform.stands.empty():
                        await asyncio.sleep(0.01)
                    await (await socket.ping())
                    platform.stands.put_nowait("refused")
                    await socket.wait_closed()
                assert await worker.wait() == 0
            finally:
                speaking.cancel()
                if worker.returncode is None:
                    worker.kill()
                await worker.wait()
                while seat.up:
                    await asyncio.sleep(0.001)
                if seat.later is not None:
                    seat.later.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_late_no_does_not_undo_what_a_worker_took(tmp_path: Path) -> None:
    attempt = str(uuid4())

    async def scenario() -> None:
        herald = Herald("http://127.0.0.1:1/internal/seats", "user", "secret", "k1")
        keeper = Keeper(Plan("desk", "h1", 1, AGENT, "127.0.0.1", "127.0.0.1"), herald)
        (seat,) = keeper.seats
        seat.worker = "w1"
        path = str(tmp_path / "keeper")

        async def until_it_has_read() -> None:
            await writer.drain()
            heard_at = seat.heard_at
            writer.write(b'{"alive": true}\n')
            while seat.heard_at == heard_at:
                await asyncio.sleep(0.001)

        async with await asyncio.start_unix_server(keeper._on_worker, path):
            reader, writer = await asyncio.open_unix_connection(path)
            token = sign("k", agent="agent_1", call="call_1", attempt=attempt, now=time.time(), token_id="t1")
            keeper._gate.learn({"desk": "k"})
            hello = {"worker": "w1", "pid": os.getpid(), "port": 1}
            take = {"take": attempt, "number": 1, "token": f"Bearer {token}"}
            for message in (hello, take):
                writer.write(json.dumps(message).encode() + b"\n")
            while not seat.asks:
                await asyncio.sleep(0.001)
            writer.write(json.dumps({"took": attempt}).encode() + b"\n")
            await until_it_has_read()
            keeper._heard_of(seat, "w1", attempt, "free", None)
            assert seat.call == attempt
            assert seat.said("desk")["attempt"] == attempt
            writer.close()
            while seat.up:
                await asyncio.sleep(0.001)
            assert seat.later is not None
            seat.later.cancel()
            answers = [json.loads(line) for line in (await reader.read()).splitlines()]
            only = {"checked": True, "attempt": attempt, "number": 1}
            assert answers == [only], "it was answered though it no longer asked"

    asyncio.run(asyncio.wait_for(scenario(), 30))
