"""The files in the switch's spool of recordings, and which of them are whole. ``<attempt>.wav``, all else is left alone."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from calls.recording import attempt_of
from store.recordings import Spooled

log = logging.getLogger(__name__)

ASIDE, LOCK = "refused", ".lock"


@dataclass(frozen=True, slots=True)
class File:
    """``modified``: s since 1970."""

    attempt_id: UUID
    path: Path
    modified: float


def files(directory: Path) -> list[File]:
    """The oldest first. Raises ``OSError`` when the directory cannot be read."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            attempt = attempt_of(entry.name)
            if attempt is None or not entry.is_file(follow_symlinks=False):
                continue
            found.append(File(attempt, Path(entry.path), entry.stat(follow_symlinks=False).st_mtime))
    return sorted(found, key=lambda file: (file.modified, file.attempt_id))


def is_whole(file: File, known: Spooled, *, wall: float, settle_s: float, missing_s: float) -> bool:
    """Nobody writes to it any more: the switch said that it closed it, or its call is over and nothing was written for long.

    The switch keeps up to some seconds in memory, so silence alone says little.
    """
    quiet = abs(wall - file.modified)  # a time ahead of us is a clock that was set back
    if known.stopped_at is not None:
        return quiet >= settle_s
    return known.attempt_state == "ended" and quiet >= missing_s


def put_aside(file: File, why: str) -> None:
    """Nothing is to come of it, and a human is to look at it."""
    aside = file.path.parent / ASIDE
    aside.mkdir(mode=0o700, exist_ok=True)
    file.path.replace(aside / file.path.name)
    log.error("a recording is kept aside", extra={"file": str(aside / file.path.name), "why": why})


@contextmanager
def alone(directory: Path) -> Iterator[bool]:
    """True inside the block: no other process ships this spool. The lock goes with the process, however that ends."""
    handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
