"""A relay with a simulated switch and carrier around it, all in one loop, and agents that do what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from calls.ids import call_ref
from calls.script import Outcome
from controller import commands
from controller.relay.book import Step
from controller.relay.link import Link
from controller.relay.run import Relay, running
from controller.relay.seat import Seats
from lab.carrier import Carrier, CarrierConfig
from lab.switch.channel import Channel
from lab.switch.config import GatewayConfig, SwitchConfig
from lab.switch.core import Switch
from settings import Settings
from store import call_actions, holds, transfers
from store.relay import RelayCall

T = TypeVar("T")
DEADLINE_S = 15.0
FROM = "+442079460000"
TOKEN_KEY = b"k" * 32


def to(outcome: str) -> str:
    """A number that becomes this of the laboratory's outcomes (see lab/README.md)."""
    return f"+1415555{outcome}"


async def until(check: Callable[[], T | None], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true value of ``check``; AssertionError naming ``what`` at the deadline."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not (value := check()):
        if loop.time() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        await asyncio.sleep(0.01)
    return value


def without_pauses(heard: bytes) -> bytes:
    """What a callee heard, but for frames of silence, of which a busy machine makes some of its own."""
    frames = (heard[at : at + 320] for at in range(0, len(heard), 320))
    return b"".join(frame for frame in frames if any(frame))


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario; whatever it does it may not hang."""
    asyncio.run(asyncio.wait_for(scenario, 60.0))


@dataclass
class MemoryBook:
    """The relay's Book without Postgres."""

    calls: dict[UUID, RelayCall] = field(default_factory=dict)
    notes: list[tuple[UUID, str, dict[str, Any]]] = field(default_factory=list)
    times: dict[str, datetime] = field(default_factory=dict)
    ended: set[UUID] = field(default_factory=set)
    wishes: list[tuple[UUID, str]] = field(default_factory=list)  # hangups put on record
    steps: list[Step] = field(default_factory=list)  # of recordings
    asked_transfers: list[tuple[str | UUID, str | None, str]] = field(default_factory=list)
    transfer_answer: transfers.Asked = field(default_factory=lambda: transfers.Asked("requested", uuid4()))
    under_way: list[transfers.Open] = field(default_factory=list)
    looks: int = 0  # for those
    through: list[UUID] = field(default_factory=list)
    failed_transfers: dict[UUID, str] = field(default_factory=dict)
    handed: list[UUID | None] = field(default_factory=list)
    called_off: list[UUID] = field(default_factory=list)
    choices: list[tuple[UUID, Outcome, str | None]] = field(default_factory=list)  # in menus
    results: dict[UUID, str] = field(default_factory=dict)  # of files that were asked for, by action
    standing: list[holds.Wish] = field(default_factory=list)  # and resumes, that are not over
    named: dict[str, UUID] = field(default_factory=dict)  # those that an agent asked for

    async def agent_for(self, attempt: UUID) -> RelayCall | None:
        await asyncio.sleep(0)
        return self.calls.get(attempt)

    async def live(self) -> list[UUID]:
        await asyncio.sleep(0)
        return [attempt for attempt in self.calls if attempt not in self.ended]

    def note(self, attempt: UUID, type_: str, at: datetime, data: Mapping[str, Any]) -> None:
        self.notes.append((attempt, type_, dict(data)))
        self.times.setdefault(type_, at)

    def hang_up(self, attempt: UUID, by: str) -> None:
        self.wishes.append((attempt, by))

    def recording(self, attempt: UUID, step: Step, at: datetime) -> None:
        self.steps.append(step)
        if step == "started":
            self.calls[attempt] = replace(self.calls[attempt], recording_state="recording")

    def played(self, attempt: UUID, action: UUID, result: str) -> None:
        self.results[action] = result

    async def chosen(self, attempt: UUID, outcome: Outcome, key: str | None, at: datetime) -> None:
        self.choices.append((attempt, outcome, key))
        self.calls[attempt] = replace(self.calls[attempt], menu=outcome)

    async def transfer(self, call: RelayCall, to: str | UUID, action: str | None, by: str) -> transfers.Asked:
        self.asked_transfers.append((to, action, by))
        return self.transfer_answer

    async def open_transfers(self) -> list[transfers.Open]:
        self.looks += 1
        return list(self.under_way)

    async def hold(
        self, call: RelayCall, verb: call_actions.Verb, audio: str | None, action: str, by: str
    ) -> call_actions.Asked:
        await asyncio.sleep(0.05)  # as Postgres takes its time
        if action in self.named:
            return call_actions.Asked("requested", self.named[action], known=True)
        last = self.standing[-1].verb if self.standing else None
        if (verb == "hold") == (last == "hold"):
            return call_actions.Asked("on_hold" if verb == "hold" else "not_on_hold")
        wish = holds.Wish(uuid4(), call.attempt_id, verb, audio, by, action)
        self.standing.append(wish)
        self.named[action] = wish.id
        return call_actions.Asked("requested", wish.id)

    async def open_holds(self) -> list[holds.Wish]:
        return list(self.standing)

    def held(self, attempt: UUID, command: UUID) -> None:
        self.standing = [replace(one, begun=True) if one.id == command else one for one in self.standing]
        (row,) = (
            {"id": str(h.id), "audio": h.audio, "by": h.by, "action": h.action} for h in self.standing if h.id == command
        )
        self.calls[attempt] = replace(self.calls[attempt], held=row)

    def finish(self, attempt: UUID, command: UUID, result: str) -> None:
        if any(one.id == command and one.verb == "hold" for one in self.standing):
            self.calls[attempt] = replace(self.calls[attempt], held=None)
        self.standing = [one for one in self.standing if one.id != command]
        self.results[command] = result

    def put_through(self, attempt: UUID) -> None:
        self.through.append(attempt)

    def not_transferred(self, transfer: transfers.Open, reason: str) -> None:
        self.under_way.remove(transfer)
        self.failed_transfers[transfer.command_id] = reason

    def handed_on(self, attempt: UUID, transfer: transfers.Open) -> None:
        self.under_way.remove(transfer)
        self.handed.append(transfer.agent_id)

    def call_off(self, attempt: UUID) -> None:
        self.called_off.append(attempt)

    def types(self) -> list[str]:
        return [type_ for _, type_, _ in self.notes]

    def reason(self) -> str | None:
        """Why the relay failed the call."""
        return next((data["reason"] for _, type_, data in self.notes if type_ == "relay.failed"), None)


class AgentCall:
    """One socket of a scripted agent."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.headers = dict(socket.request.headers.raw_items()) if socket.request else {}
        self.texts: list[dict[str, Any]] = []
        self.audio: list[bytes] = []
        self.order: list[str] = []
        self.closed = asyncio.Event()
        self.code: int | None = None

    async def read(self) -> None:
        try:
            async for message in self.socket:
                if isinstance(message, bytes):
                    self.audio.append(message)
                    self.order.append("audio")
                else:
                    text = json.loads(message)
                    self.texts.append(text)
                    self.order.append(text["event"])
        except ConnectionClosed:
            pass
        self.code = self.socket.close_code
        self.closed.set()

    def seen(self, event: str) -> list[dict[str, Any]]:
        return [text for text in self.texts if text["event"] == event]

    async def expect(self, event: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        return (await until(lambda: self.seen(event), f"the agent hears {event}", deadline_s))[0]

    async def send(self, event: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"event": event, **fields}))

    async def say(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 6400):
            await self.socket.send(pcm[at : at + 6400])


class ScriptedAgent:
    """Listens; each call waits in ``calls``. ``refuse`` answers the upgrade with a status; a redirect leads to itself."""

    def __init__(self, refuse: HTTPStatus | None = None, *, subprotocols: Sequence[str] = ("trunkline.agent.v1",)) -> None:
        self.calls: asyncio.Queue[AgentCall] = asyncio.Queue()
        self.refuse = refuse
        self._subprotocols = [Subprotocol(name) for name in subprotocols] or None
        self.asked = 0
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[ScriptedAgent]:
        async def handle(socket: ServerConnection) -> None:
            call = AgentCall(socket)
            self.calls.put_nowait(call)
            await call.read()

        def check(connection: ServerConnection, request: Request) -> Response | None:
            self.asked += 1
            if self.refuse is None or request.path == "/elsewhere":
                return None
            response = connection.respond(self.refuse, "no\n")
            if self.refuse is HTTPStatus.FOUND:
                response.headers["Location"] = "/elsewhere"
            return response

        async with serve(handle, "127.0.0.1", 0, process_request=check, subprotocols=self._subprotocols) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/talk"
            yield self

    async def call(self) -> AgentCall:
        async with asyncio.timeout(DEADLINE_S):
            return await self.calls.get()


@dataclass
class House:
    """What a scenario works with. ``phones`` keeps each channel, also after its end."""

    settings: Settings
    switch: Switch
    book: MemoryBook
    dialer: Link
    relay: Relay = field(init=False)
    phones: dict[UUID, Channel] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # every api line the switch was given

    def __post_init__(self) -> None:
        real = self.switch.run_api

        async def run_api(line: str) -> str:
            self.asked.append(line)
            return await real(line)

        self.switch.run_api = run_api  # type: ignore[method-assign]

    async def dial(
        self,
        outcome: str,
        url: str | None = None,
        *,
        audio: str | None = None,
        first: UUID | None = None,
        variables: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        recording: dict[str, Any] | None = None,
        agent: Mapping[str, Any] | None = None,
        **kind: Any,
    ) -> UUID:
        """Place a call as the controller does; returns the attempt once its channel is there. ``agent``: more of its
        row; ``kind``: of an agent without a media socket."""
        attempt, call = kind.pop("attempt", None) or uuid4(), uuid4()
        forked = not (audio or kind or first) or kind.get("agent_kind") == "fleet"
        self.book.calls[attempt] = RelayCall(
            attempt_id=attempt, call_id=call, tenant_id=uuid4(), number=1, state="dialing", switch="fs1",
            to_number=to(outcome), from_number=FROM, agent_id=uuid4(), agent_name="bot",
            agent_kind=kind.pop("agent_kind", "announcement" if audio or kind else "websocket"),
            agent_url=url, agent_audio=audio,
            agent_variables=variables or {}, metadata=metadata or {}, client_reference=None, max_duration_s=60,
            recording=recording, token_key=TOKEN_KEY, transfer_of=None if first is None else uuid4(), first_attempt=first,
            **(agent or {}), **kind,
        )  # fmt: skip
        originate = commands.originate(
            attempt_id=attempt,
            call_ref=call_ref(call),
            tenant="acme",
            gateway="carrier_a",
            to_number=to(outcome),
            from_number=FROM,
            originate_timeout_s=40,
            max_duration_s=60,
            fork_url=f"ws://127.0.0.1:{self.relay.port}/fork/{attempt}" if forked else None,
        )
        reply = await self.dialer.ask(originate)
        assert reply.startswith("+OK"), reply
        self.phones[attempt] = await until(lambda: self.switch.channels.get(str(attempt)), "the channel exists")
        return attempt

    def heard(self, attempt: UUID) -> bytes:
        """What the callee heard, in the times in which media ran."""
        return self.phones[attempt].callee.heard

    async def answered(self, attempt: UUID) -> None:
        await until(lambda: self.phones[attempt].answer_state == "answered", "the callee answers")

    async def gone(self, attempt: UUID) -> None:
        """The channel is gone, and the relay has freed everything of it."""
        await until(lambda: str(attempt) not in self.switch.channels, "the channel is gone")
        self.book.ended.add(attempt)
        await until(lambda: self.relay.desk.count == 0, "the relay has let go of the call")
        assert self.relay.files.count == 0
        assert list(self.relay.files.directory.iterdir()) == []


async def talking(h: House, agent: ScriptedAgent, last: str = "0122") -> tuple[UUID, AgentCall]:
    """A ready agent that was told of the answer and may be heard; ``last``: the last digits of the number."""
    attempt = await h.dial(last, agent.url)
    call = await agent.call()
    await call.send("ready")
    await h.answered(attempt)
    await call.expect("answered")
    await until(lambda: h.phones[attempt].apps.current == "park", "the switch is ready to play")
    return attempt, call


def settings_for(switch: Switch, tmp_path: Path, **changes: object) -> Settings:
    host, port = switch.esl_address
    given: dict[str, object] = {
        "esl_host": host, "esl_port": port, "esl_password": "ClueCon", "relay_port": 0,
        "relay_audio_dir": str(tmp_path / "audio"), "announcement_dir": str(tmp_path / "announcements"),
        "agent_allow_private": True, "agent_connect_timeout_s": 1.0, "agent_ready_timeout_s": 1.0,
        "relay_fork_timeout_s": 1.0, "esl_backoff_min_s": 0.05, "esl_backoff_max_s": 0.2, "reconcile_interval_s": 0.5,
    }  # fmt: skip
    return Settings.model_validate(given | changes)


@asynccontextmanager
async def house(tmp_path: Path, *, own_relay: bool = True, **changes: object) -> AsyncIterator[House]:
    """Everything up. After the block everything is down, and no task of ours is left.

    ``own_relay`` False: the scenario runs relays itself, and says which one the calls go to (``house.relay``).
    """
    (tmp_path / "announcements").mkdir()
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        carrier = Carrier(CarrierConfig("carrier_a"))
        await carrier.start()
        stack.push_async_callback(carrier.stop)
        gateway = GatewayConfig("carrier_a", *carrier.address)
        switch = Switch(SwitchConfig(gateways=[gateway], temp_dir=tmp_path))
        await switch.start()
        stack.push_async_callback(switch.stop)
        settings = settings_for(switch, tmp_path, **changes)
        dialer = Link(settings, "dialer")
        dialing = asyncio.create_task(dialer.run())
        stack.push_async_callback(_cancel, dialing)
        await dialer.wait_up(DEADLINE_S)
        made = House(settings, switch, MemoryBook(), dialer)
        if own_relay:
            made.relay = await stack.enter_async_context(a_relay(made))
        yield made
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    names = [repr(task.get_coro()) for task in left if "controller" in repr(task)]
    assert not names, f"tasks left behind: {names}"


@asynccontextmanager
async def a_relay(h: House, seats: Seats | None = None, **changes: object) -> AsyncIterator[Relay]:
    """A relay of the house, with both links up."""
    async with running(h.settings.model_copy(update=changes), h.book, seats) as relay:
        await relay.news.wait_up(DEADLINE_S)
        await relay.deeds.wait_up(DEADLINE_S)
        yield relay


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
