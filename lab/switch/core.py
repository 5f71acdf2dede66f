"""The core of the simulated FreeSWITCH: sessions, limits, jobs, heartbeat, the hash, everything at one place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Coroutine
from typing import Any

from lab.switch import commands
from lab.switch.channel import Channel
from lab.switch.config import SwitchConfig
from lab.switch.esl import EslConnection
from lab.switch.events import EventBus, Pairs
from lab.switch.faults import Faults
from lab.switch.json_cdr import JsonCdr
from lab.switch.media import MediaTicker
from lab.switch.show import ChannelTable
from lab.switch.sofia import SofiaProfile

log = logging.getLogger("lab.switch")

VERSION = "1.10.12-release+git~20260821T141014Z~cc93a683ca~64bit"


class Switch:
    """`await start()`, then `esl_address` and `sip_address`; `await stop()` ends without a word to anybody."""

    def __init__(self, config: SwitchConfig) -> None:
        self.config = config
        self.core_uuid = str(uuid.uuid4())
        self.random = random.Random(config.seed)
        self.bus = EventBus(self.core_uuid, config.hostname, self.wall_us)
        self.faults = Faults(random.Random(f"faults:{config.seed}"))
        self.channels: dict[str, Channel] = {}
        self.table = ChannelTable(config.show_lag_s, time.monotonic)
        self.hash: dict[str, str] = {}
        self.globals: dict[str, str] = {
            "hostname": config.hostname,
            "local_ip_v4": config.sip_host,
            "core_uuid": self.core_uuid,
            "switchname": config.hostname,
            "send_silence_when_idle": "-1",
        }
        self.connections: set[EslConnection] = set()
        self.loop: asyncio.AbstractEventLoop
        self.sofia = SofiaProfile(self)
        self.media = MediaTicker(self)
        self.cdrs = JsonCdr(config.cdr)
        self.max_sessions = config.max_sessions
        self.sps_total = config.sessions_per_second
        self.sps_left = config.sessions_per_second
        self.sps_last = self.sps_peak = 0
        self.paused_inbound = self.paused_outbound = False
        self.session_peak = 0
        self.session_counter = 0
        self.started = time.monotonic()
        self.crashed: asyncio.Event
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @staticmethod
    def wall_us() -> int:
        return time.time_ns() // 1000

    @property
    def esl_address(self) -> tuple[str, int]:
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.crashed = asyncio.Event()
        self.sofia.start()
        self.cdrs.start()
        self._server = await self.loop.create_server(
            lambda: EslConnection(self), self.config.host, self.config.esl_port, backlog=256
        )
        self._every("second", 1.0, self._second)
        if self.config.heartbeat_s > 0:
            self._every("heartbeat", self.config.heartbeat_s, self._heartbeat)

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self.media.stop()
        self.sofia.close()
        self._server.close()
        for connection in list(self.connections):
            connection.cut()
        for channel in list(self.channels.values()):
            channel.forget()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cdrs.stop()

    def crash(self) -> None:
        """Die as a segmentation fault does: no BYE, no event, the process is gone (see __main__)."""
        log.error("crash")
        self.crashed.set()
        for connection in list(self.connections):
            connection.cut()
        self.sofia.close()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the switch failed", exc_info=error)

    def _every(self, name: str, interval: float, action: Any) -> None:
        due = self.loop.time() + interval

        def tick() -> None:
            nonlocal due
            due = max(due + interval, self.loop.time())
            self._timers[name] = self.loop.call_at(due, tick)
            action()

        self._timers[name] = self.loop.call_at(due, tick)

    def _second(self) -> None:
        self.sps_last = self.sps_total - self.sps_left
        self.sps_peak = max(self.sps_peak, self.sps_last)
        self.sps_left = self.sps_total

    def admit_session(self, session_uuid: str) -> bool:
        """What switch_core_session_request_uuid asks, in its order. False = DESTINATION_OUT_OF_ORDER."""
        if self.paused_outbound or session_uuid in self.channels:
            return False
        self.sps_left -= 1
        if self.sps_left <= 0:  # so N - 1 are admitted, as there
            return False
        return len(self.channels) + 1 <= self.max_sessions

    def add(self, channel: Channel) -> None:
        self.channels[channel.uuid] = channel
        self.session_peak = max(self.session_peak, len(self.channels))

    def next_session_id(self) -> int:
        self.session_counter += 1
        return self.session_counter

    def live(self, channel_uuid: str) -> Channel | None:
        """switch_core_session_locate: a hung-up channel is not found although its UUID is still taken."""
        channel = self.channels.get(channel_uuid)
        return None if channel is None or channel.hungup else channel

    async def run_api(self, line: str) -> str:
        """One `api` line. The answer is the text FreeSWITCH writes, empty when it writes nothing."""
        name, _, arguments = line.strip().partition(" ")
        self.bus.fire("API", lambda: [("API-Command", name)] + ([("API-Command-Argument", arguments)] if arguments else []))
        handler = commands.REGISTRY.get(name.lower())
        if handler is None:
            return f"-ERR {name} Command not found!\n"
        if self.faults.ignore_command(name):
            return "+OK\n"
        result = handler(self, arguments)
        return result if isinstance(result, str) else await result

    def run_api_inline(self, line: str) -> None:
        """api_on_answer and its like: in the channel's own thread, the answer is thrown away."""
        name, _, arguments = line.strip().partition(" ")
        handler = commands.REGISTRY.get(name.lower())
        self.bus.fire("API", lambda: [("API-Command", name), ("API-Command-Argument", arguments)])
        if handler is not None and not self.faults.ignore_command(name):
            result = handler(self, arguments)
            if not isinstance(result, str):
                self.spawn(_awaited(result))

    def start_job(self, job: str, line: str) -> None:
        """bgapi: the command runs on its own; its answer is a BACKGROUND_JOB event."""
        self.loop.call_soon(self._run_job, job, line)

    def _run_job(self, job: str, line: str) -> None:
        name, _, arguments = line.strip().partition(" ")

        async def work() -> None:
            delay = self.faults.originate_delay() if name == "originate" else 0.0
            if delay > 0:
                await asyncio.sleep(delay)
            text = await self.run_api(line)
            self.fire_job(job, name, arguments, text)

        self.spawn(work())

    def fire_job(self, job: str, name: str, arguments: str, text: str) -> None:
        def build() -> Pairs:
            pairs = [("Job-UUID", job), ("Job-Command", name)]
            return [*pairs, ("Job-Command-Arg", arguments)] if arguments else pairs

        self.bus.fire("BACKGROUND_JOB", build, body=text)

    def _heartbeat(self) -> None:
        self.bus.fire("HEARTBEAT", self._heartbeat_headers)

    def uptime(self) -> tuple[int, int, int, int, int, int, int]:
        """years, days, hours, minutes, seconds, milliseconds, microseconds."""
        total = int((time.monotonic() - self.started) * 1_000_000)
        seconds, micro = divmod(total, 1_000_000)
        minutes, second = divmod(seconds, 60)
        hours, minute = divmod(minutes, 60)
        days, hour = divmod(hours, 24)
        years, day = divmod(days, 365)
        return years, day, hour, minute, second, micro // 1000, micro % 1000

    def uptime_text(self) -> str:
        names = ("year", "day", "hour", "minute", "second", "millisecond", "microsecond")
        return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in zip(self.uptime(), names, strict=True))

    def _heartbeat_headers(self) -> Pairs:
        return [
            ("Event-Info", "System Ready"),
            ("Up-Time", self.uptime_text()),
            ("FreeSWITCH-Version", VERSION),
            ("Uptime-msec", str(int((time.monotonic() - self.started) * 1000))),
            ("Session-Count", str(len(self.channels))),
            ("Max-Sessions", str(self.max_sessions)),
            ("Session-Per-Sec", str(self.sps_left)),
            ("Session-Per-Sec-Last", str(self.sps_last)),
            ("Session-Per-Sec-Max", str(self.sps_peak)),
            ("Session-Per-Sec-FiveMin", str(self.sps_peak)),
            ("Session-Since-Startup", str(self.session_counter)),
            ("Session-Peak-Max", str(self.session_peak)),
            ("Session-Peak-FiveMin", str(self.session_peak)),
            ("Idle-CPU", "98.500000"),
        ]

    async def hang_up_all(self, cause: str) -> None:
        """A clean end: every call gets its BYE or CANCEL."""
        for channel in list(self.channels.values()):
            channel.hangup(cause)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while self.channels:
                    await asyncio.sleep(0.02)


async def _awaited(result: Awaitable[str]) -> None:
    await result
