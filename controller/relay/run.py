"""The relay's process: its links to the switch, one server for its media sockets, and the desk between them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from websockets.asyncio.server import Server

from controller import commands_link
from controller.relay import fork, holds, transfers
from controller.relay.audio import MARK_S, AudioFiles
from controller.relay.book import Book
from controller.relay.desk import EVENTS, SUBCLASSES, Desk
from controller.relay.earpiece import MediaConnection
from controller.relay.leg import Parts
from controller.relay.link import Link
from controller.relay.seat import Seats
from controller.relay.switch import Switch
from controller.relay.trust import agent_tls
from settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay. ``tasks`` end only when something is broken."""

    desk: Desk
    files: AudioFiles
    port: int  # of the media sockets
    news: Link  # events
    deeds: Link  # commands
    tasks: tuple[asyncio.Task[None], ...]
    server: Server  # of the media sockets


@asynccontextmanager
async def running(settings: Settings, book: Book, seats: Seats | None = None) -> AsyncIterator[Relay]:
    """Run a relay inside the block. Leaving it lets go of every call without hanging up, and frees everything.

    Raises ``OSError`` when the port or the audio directory cannot be had, ``ValueError`` naming a setting that cannot
    be used.
    """
    for name in ("relay_audio_dir", "announcement_dir"):
        _check_directory(name, getattr(settings, name))
    agent_tls(settings)  # now, not when a phone rings
    files = AudioFiles(settings.relay_audio_dir, settings.switch)
    _tell(files.open())

    async def on_fork(attempt: UUID, socket: MediaConnection) -> None:
        await desk.serve_fork(attempt, socket)

    server = await fork.listen(on_fork, settings.relay_host, settings.relay_port)
    # No await from here to the desk: nobody can have connected yet.
    port = next(iter(server.sockets)).getsockname()[1]
    deeds = Link(settings, "relay commands")
    roots = [str(files.directory), *([settings.announcement_dir] if settings.announcement_dir else [])]
    voices = Link(settings, "relay voices", on_up=lambda: switch.ask_for_voices())
    recording = Link(settings, "relay recording") if settings.records else None
    switch = Switch(deeds, voices=voices, fork_port=port, roots=roots, recording=recording)
    desk = Desk(Parts(settings, switch, files, book, seats))
    look = asyncio.Event()
    news = Link(
        settings,
        "relay events",
        subscribe=[commands_link.subscribe(EVENTS, SUBCLASSES)],
        on_event=desk.on_event,
        on_up=look.set,
    )
    works = [
        deeds.run(),
        voices.run(),
        news.run(),
        desk.watch(look),
        transfers.watch(desk, book),
        holds.watch(desk, book),
        _clear_up(files),
        *([recording.run()] if recording is not None else []),
    ]
    tasks = tuple(asyncio.create_task(work) for work in works)
    log.info("media sockets on %s:%d, switch at %s:%d", settings.relay_host, port, settings.esl_host, settings.esl_port)
    try:
        yield Relay(desk, files, port, news, deeds, tasks, server)
    finally:
        await desk.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        server.close()
        await server.wait_closed()


async def _clear_up(files: AudioFiles) -> None:
    """What an earlier relay leaves that was at work when this one began, and died at it. The switch may wait for somebody
    who opens a pipe of its.
    """
    while (removed := files.sweep()) is None:
        await asyncio.sleep(MARK_S / 2)
    _tell(removed)
    await asyncio.get_running_loop().create_future()  # a task of a relay's does not end


def _tell(removed: int) -> None:
    if removed:
        log.warning("removed %d audio files of an earlier relay", removed)


def _check_directory(name: str, directory: str) -> None:
    """What the switch is to play must have a plain path; found now, not when somebody has answered."""
    if directory and re.fullmatch(r"(/[A-Za-z0-9._-]+)+/?", directory, re.ASCII) is None:
        raise ValueError(f"TRUNKLINE_{name.upper()}: give an absolute path of A-Z a-z 0-9 . _ - and /, not {directory!r}")
