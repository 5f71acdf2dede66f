"""The link against a scripted event socket over real TCP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from controller import commands, commands_link
from controller.esl_errors import LinkDown, NoReply
from controller.frames import Event
from controller.relay.link import Link
from settings import Settings
from tests.relay.house import DEADLINE_S, run, until

Script = Callable[["Socket"], Awaitable[None]]


class Socket:
    """One connection to the scripted switch."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def command(self) -> str:
        """The next command that is no ping."""
        while True:
            data = (await self._reader.readuntil(b"\n\n")).decode().strip()
            if "00000000-0000-0000-0000-000000000000" not in data:
                return data
            self.api("false")

    def raw(self, data: bytes) -> None:
        self._writer.write(data)

    def reply(self, text: str) -> None:
        self.raw(f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode())

    def api(self, text: str) -> None:
        self.raw(f"Content-Type: api/response\nContent-Length: {len(text)}\n\n{text}".encode())

    def event(self, **headers: str) -> None:
        body = json.dumps({name.replace("_", "-"): value for name, value in headers.items()})
        self.raw(f"Content-Length: {len(body)}\nContent-Type: text/event-json\n\n{body}".encode())

    async def log_in(self) -> None:
        self.raw(b"Content-Type: auth/request\n\n")
        assert await self.command() == "auth secret"
        self.reply("+OK accepted")

    async def rest(self) -> None:
        """Answer pings until the other side closes."""
        try:
            while True:
                await self.command()
        except (asyncio.IncompleteReadError, ConnectionError):
            return


class Switch:
    """Serves one script per connection, the last one for all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.connections = 0
        self.failures: list[BaseException] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Socket(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side went away
        except AssertionError as error:
            self.failures.append(error)
        finally:
            writer.close()


@asynccontextmanager
async def linked(switch: Switch, **options: object) -> AsyncIterator[Link]:
    server = await asyncio.start_server(switch.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings.model_validate(
        {
            "esl_port": port, "esl_password": "secret", "esl_backoff_min_s": 0.02, "esl_backoff_max_s": 0.1,
            "esl_command_timeout_s": 0.3, "esl_connect_timeout_s": 0.5, "esl_ping_interval_s": 0.05,
        }
    )  # fmt: skip
    link = Link(settings, "test", **options)  # type: ignore[arg-type]
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])
        server.close()
        await server.wait_closed()
        assert not switch.failures


def test_replies_find_their_commands_in_order() -> None:
    async def script(socket: Socket) -> None:
        await socket.log_in()
        for _ in range(3):
            await socket.command()
        socket.api("true")
        socket.api("-ERR No such channel!")
        socket.reply("+OK")
        await socket.rest()

    async def scenario() -> None:
        async with linked(Switch(script)) as link:
            await link.wait_up(DEADLINE_S)
            asked = [link.write(commands.uuid_exists(uuid4())) for _ in range(3)]
            assert [await reply for reply in asked] == ["true", "-ERR No such channel!", "+OK"]

    run(scenario())


def test_events_come_in_order_and_one_we_trip_over_costs_no_other() -> None:
    async def script(socket: Socket) -> None:
        await socket.log_in()
        assert await socket.command() == "event json DTMF"
        socket.reply("+OK event listener enabled json")
        for digit in "123":
            socket.event(Event_Name="DTMF", DTMF_Digit=digit)
        await socket.rest()

    async def scenario() -> None:
        seen: list[object] = []

        def on_event(event: Event) -> None:
            seen.append(event["DTMF-Digit"])
            if event["DTMF-Digit"] == "2":
                raise RuntimeError("tripped")

        subscribe = [commands_link.subscribe(["DTMF"])]
        async with linked(Switch(script), subscribe=subscribe, on_event=on_event) as link:
            await until(lambda: len(seen) == 3, "three events")
            await link.wait_up(DEADLINE_S)  # they may come in one piece with the answer that makes it so
            assert seen == ["1", "2", "3"], "another connection would have brought them again"

    run(scenario())


def test_a_late_reply_closes_the_connection_and_the_next_one_works() -> None:
    async def mute(socket: Socket) -> None:
        await socket.log_in()
        await socket.command()
        await socket._reader.read()

    async def good(socket: Socket) -> None:
        await socket.log_in()
        await socket.command()
        socket.api("true")
        await socket.rest()

    async def scenario() -> None:
        async with linked(Switch(mute, good)) as link:
            await link.wait_up(DEADLINE_S)
            with pytest.raises(LinkDown) as lost:
                await asyncio.wait_for(link.ask(commands.uuid_exists(uuid4())), DEADLINE_S)
            assert lost.value.maybe_sent, "nobody knows whether it was carried out"
            await link.wait_up(DEADLINE_S)
            assert await link.ask(commands.uuid_exists(uuid4())) == "true"

    run(scenario())


def test_a_stall_of_our_own_is_not_held_against_the_switch() -> None:
    async def script(socket: Socket) -> None:
        await socket.log_in()
        await socket.command()
        socket.api("true")
        await socket.rest()

    async def scenario() -> None:
        switch = Switch(script)
        async with linked(switch) as link:
            await link.wait_up(DEADLINE_S)
            reply = link.write(commands.uuid_exists(uuid4()))
            time.sleep(0.5)  # the stall itself, longer than a reply may take
            assert await reply == "true"
            assert switch.connections == 1

    run(scenario())


def test_without_a_connection_nothing_is_written_and_that_is_said() -> None:
    async def scenario() -> None:
        link = Link(Settings.model_validate({"esl_password": "x"}), "test")
        with pytest.raises(LinkDown) as down:
            link.write(commands.uuid_exists(uuid4()))
        assert not down.value.maybe_sent
        with pytest.raises(TimeoutError):
            await link.wait_up(0.01)

    run(scenario())


@pytest.mark.parametrize(
    "first",
    [
        b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
        b"Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: -ERR invalid\n\n",
        b"nonsense without a colon\n\n",
        b"Content-Type: auth/request\nContent-Length: 999999999\n\n",
        b"",
    ],
)
def test_a_switch_that_does_not_let_us_in_is_asked_again(first: bytes) -> None:
    async def bad(socket: Socket) -> None:
        socket.raw(first)
        await socket._reader.read(1)

    async def good(socket: Socket) -> None:
        await socket.log_in()
        await socket.rest()

    async def scenario() -> None:
        switch = Switch(bad, bad, good)
        async with linked(switch) as link:
            await link.wait_up(DEADLINE_S)
            assert switch.connections == 3

    run(scenario())


def test_a_silent_switch_does_not_hold_the_link_up() -> None:
    async def silent(socket: Socket) -> None:
        await socket._reader.read()

    async def scenario() -> None:
        switch = Switch(silent)
        async with linked(switch):
            await until(lambda: switch.connections >= 2, "it tries again")

    run(scenario())


def test_a_reply_to_no_command_and_a_goodbye_end_the_connection() -> None:
    async def stray(socket: Socket) -> None:
        await socket.log_in()
        socket.reply("+OK")
        await socket._reader.read()

    async def goodbye(socket: Socket) -> None:
        await socket.log_in()
        socket.raw(b"Content-Type: text/disconnect-notice\nContent-Length: 3\n\nbye")
        await socket._reader.read()

    async def good(socket: Socket) -> None:
        await socket.log_in()
        await socket.rest()

    async def scenario() -> None:
        switch = Switch(stray, goodbye, good)
        async with linked(switch) as link:
            await until(lambda: switch.connections == 3 and link.up, "the third connection stands")

    run(scenario())


def test_an_idle_link_is_pinged_and_a_frozen_switch_is_noticed() -> None:
    async def frozen(socket: Socket) -> None:
        await socket.log_in()
        await socket._reader.readuntil(b"\n\n")  # a ping, never answered
        await socket._reader.read()

    async def good(socket: Socket) -> None:
        await socket.log_in()
        await socket.rest()

    async def scenario() -> None:
        switch = Switch(frozen, good)
        async with linked(switch) as link:
            await until(lambda: switch.connections == 2 and link.up, "a new connection")

    run(scenario())


def test_a_command_that_gets_no_reply_is_told_from_those_behind_it() -> None:
    async def script(socket: Socket) -> None:
        await socket.log_in()
        await socket.rest()

    async def scenario() -> None:
        async with linked(Switch(script)) as link:
            await link.wait_up(DEADLINE_S)
            asked = [link.write(commands.uuid_exists(uuid4())) for _ in range(2)]
            first, second = await asyncio.gather(*asked, return_exceptions=True)
            assert type(first) is NoReply
            assert type(second) is LinkDown

    run(scenario())


def test_a_link_that_ends_lets_nobody_wait_for_its_replies() -> None:
    async def script(socket: Socket) -> None:
        await socket.log_in()
        await socket.rest()

    async def scenario() -> None:
        async with linked(Switch(script)) as link:
            await link.wait_up(DEADLINE_S)
            asked = link.write(commands.uuid_exists(uuid4()))
        with pytest.raises(LinkDown):
            await asked

    run(scenario())
