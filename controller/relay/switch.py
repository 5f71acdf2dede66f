"""What the relay asks of the switch, one method a deed. Every text on the wire comes from an allow-list builder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from controller import commands, inbound_commands, record_commands
from controller.esl_errors import LinkDown, refusal
from controller.esl_replies import dump, exists
from controller.frames import Event, text_of
from controller.relay.link import Link
from controller.relay.permission import denied, question

log = logging.getLogger(__name__)

SwitchDown = LinkDown


class Switch:
    """The links of one switch for commands. Every method raises :class:`SwitchDown` when there is no connection.

    ``voices`` is its own: a channel that stands still keeps the connection waiting that begins with a voice there.
    """

    def __init__(
        self, link: Link, *, voices: Link, fork_port: int, roots: Sequence[str], recording: Link | None = None
    ) -> None:
        self._link = link
        self._voices = voices
        self._recording = recording or link  # the switch takes 10 ms to begin a recording: nobody's audio waits for that
        self._fork_port = fork_port
        self._roots = roots  # directories files may be played from

    @property
    def up(self) -> bool:
        return self._link.up

    @property
    def voices_up(self) -> bool:
        """Whether :meth:`voice` can be asked for."""
        return self._voices.up

    async def wait_up(self, timeout_s: float) -> None:
        """As :meth:`Link.wait_up`."""
        await self._link.wait_up(timeout_s)

    def play(self, attempt: UUID, path: Path, playback: str) -> None:
        """Queue a file behind what plays; gapless. Its events carry ``playback``. Written before this returns."""
        self._tell(attempt, commands.playback(attempt, str(path), playback, under=self._roots))

    def voice(self, attempt: UUID, pipe: Path) -> asyncio.Future[str]:
        """Let the callee hear what comes through a pipe; the future brings the reply. Written before this returns."""
        return self._voices.write(commands.uuid_displace(attempt, str(pipe), under=self._roots))

    def ask_for_voices(self) -> None:
        """Say it in the log where the switch would refuse every voice. Written before this returns."""
        self._voices.write(question(self._roots[0])).add_done_callback(_judge_voices)

    def break_all(self, attempt: UUID) -> None:
        """Silence at once, and nothing queued any more. Written before this returns; no link: nothing plays on long."""
        try:
            self._tell(attempt, commands.uuid_break(attempt))
        except SwitchDown:
            log.warning("attempt %s: no link to the switch for a break", attempt)

    async def bridge(self, attempt: UUID, other: UUID) -> str | None:
        """Let the two hear each other. None: they do; else the switch's words of refusal."""
        reply = await self._link.ask(commands.uuid_bridge(attempt, other))
        return reply.strip()[:200] if refusal(reply) else None

    def fork_stop(self, attempt: UUID) -> None:
        """No audio of the callee's any more."""
        self._tell(attempt, commands.audio_fork_stop(attempt))

    def send_dtmf(self, attempt: UUID, digits: str) -> None:
        """Send digits to the callee."""
        self._tell(attempt, commands.uuid_send_dtmf(attempt, digits))

    async def exists(self, attempt: UUID) -> bool:
        """Whether the channel is there."""
        return exists(await self._link.ask(commands.uuid_exists(attempt)))

    async def look(self, attempt: UUID) -> Event | None:
        """The channel as it is now (headers as in an event), or None when there is none."""
        reply = await self._link.ask(commands.uuid_dump(attempt))
        return None if refusal(reply) else dump(reply)

    async def answer(self, attempt: UUID) -> bool:
        """Answer a caller. False: there is no such channel (any more)."""
        return not refusal(await self._link.ask(inbound_commands.uuid_answer(attempt)))

    def bound(self, attempt: UUID, after_s: int) -> None:
        """Let the switch itself end the call so many seconds from now."""
        self._tell(attempt, inbound_commands.sched_hangup(attempt, after_s))

    async def hang_up(self, attempt: UUID, *, by: str, reason: str) -> bool:
        """Hang up and leave on the channel who wanted it and why. False: there is no such channel (any more)."""
        self._tell(attempt, commands.uuid_setvar(attempt, "trunkline_hangup_by", by))
        self._tell(attempt, commands.uuid_setvar(attempt, "trunkline_end_reason", reason))
        return not refusal(await self._link.ask(commands.uuid_kill(attempt)))

    async def record(self, attempt: UUID, spool: str, *, wait_s: float) -> str | None:
        """Begin to record into ``spool``, or go on with it. None: it records; else the switch's words of refusal.

        Raises ``TimeoutError`` when there is no link for ``wait_s``.
        """
        await self._recording.wait_up(wait_s)
        reply = await self._recording.ask(record_commands.record_start(attempt, under=spool))
        return reply.strip()[:200] if refusal(reply) else None

    def keep(self, attempt: UUID, until: int) -> None:
        """Leave on the channel that this relay carries it until then (s since 1970); 0: it does not any more."""
        self._tell(attempt, commands.uuid_setvar(attempt, "trunkline_relay_until", str(until)))

    async def fork_again(self, attempt: UUID) -> bool:
        """Open the media socket anew, for an answered channel only. False: refused.

        After a lost socket the old bug is still on the channel, and must be stopped before a start is taken.
        """
        self._link.write(commands.audio_fork_stop(attempt))  # -ERR when there is no bug: as wanted
        url = f"ws://127.0.0.1:{self._fork_port}/fork/{attempt}"
        return not refusal(await self._link.ask(commands.audio_fork_start(attempt, url)))

    def _tell(self, attempt: UUID, command: commands.Command) -> None:
        self._link.write(command).add_done_callback(lambda done: _complain(attempt, done))


def answered_at(channel: Event) -> datetime | None:
    """When the callee picked up, by the channel's own word; None when nobody has."""
    if text_of(channel, "Answer-State") != "answered":
        return None
    micros = text_of(channel, "Caller-Channel-Answered-Time")
    known = micros is not None and micros.isdecimal() and micros != "0"
    return datetime.fromtimestamp(int(micros) / 1e6, UTC) if known and micros else datetime.now(UTC)


def _judge_voices(done: asyncio.Future[str]) -> None:
    if not done.cancelled() and done.exception() is None and (why := denied(done.result())) is not None:
        log.error("the switch lets no agent be heard: %s; its configuration is older than this relay", why)


def _complain(attempt: UUID, done: asyncio.Future[str]) -> None:
    if done.cancelled():
        return
    if error := done.exception():
        log.warning("attempt %s: %s", attempt, error)
    elif refusal(done.result()):
        # Most often the channel is gone and its event on the way.
        log.info("attempt %s: the switch said %s", attempt, done.result()[:200])
