"""``python -m controller.spool``: posts the CDRs that the switch could not post and left on its disk.

It sits beside the switch, reads ``<uuid>.cdr.json`` in one directory and speaks HTTP to /internal/cdr; nothing else. A file
is removed only after its record was taken (2xx), and a record taken twice is one, so a kill at any moment loses none and
doubles none. What is refused for its content goes into ``refused/`` and is kept for a human; everything else is tried again.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from controller.spool_post import Fate, Poster, encoding_of
from logs import log_to_stderr
from settings import Settings, get_settings

log = logging.getLogger(__name__)

SUFFIX, ASIDE = ".cdr.json", "refused"
#: s; the switch writes a file in place: nothing younger than this is looked at.
YOUNG_S = 1.0
#: s; a file whose last line has no end is still being written, or for ever torn: after so long it is posted as it is.
TORN_S = 60.0


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of the files of one look. ``away``: nobody takes records at the moment, so the look was broken off."""

    taken: int = 0
    refused: int = 0
    left: int = 0
    away: str | None = None


@dataclass
class Spool:
    """One directory. ``wall`` and ``clock``: seconds since 1970, as the files' own times, and of a clock that only rises."""

    directory: Path
    post: Callable[[str, bytes], Fate]
    max_bytes: int
    later_s: float
    wall: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    _later: dict[str, float] = field(default_factory=dict)  # what failed for a reason of its own -> when it is tried again

    def sweep(self) -> Swept:
        """Post what is there, the oldest first. Errors: ``OSError`` when the directory cannot be read or changed."""
        files = sorted(self._files())
        here = {name for _, name in files}
        self._later = {name: due for name, due in self._later.items() if name in here}
        taken = refused = 0
        for modified, name in files:
            if self._later.get(name, 0.0) > self.clock():
                continue
            data = self._read(name, modified)
            if data is None:
                continue
            fate = (
                Fate.refused(f"larger than {self.max_bytes} bytes") if len(data) > self.max_bytes else self.post(name, data)
            )
            match fate.kind:
                case "taken":
                    (self.directory / name).unlink(missing_ok=True)
                    taken += 1
                case "refused":
                    self._put_aside(name, fate.why)
                    refused += 1
                case "later":
                    log.warning("spooled cdr waits", extra={"file": name, "why": fate.why})
                    self._later[name] = self.clock() + self.later_s
                case "away":
                    return Swept(taken, refused, len(files) - taken - refused, fate.why)
        return Swept(taken, refused, len(files) - taken - refused)

    def _files(self) -> Iterator[tuple[float, str]]:
        """(modified, name) of every record that is old enough."""
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not entry.name.endswith(SUFFIX) or not entry.is_file(follow_symlinks=False):
                    continue
                try:
                    modified = entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue  # another one has shipped it
                # A time ahead of us is a clock that was set back.
                if not 0 <= self.wall() - modified < YOUNG_S:
                    yield modified, entry.name

    def _read(self, name: str, modified: float) -> bytes | None:
        """At most one byte more than is taken; None while it is not whole, or gone."""
        try:
            handle = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            data = file.read(self.max_bytes + 1)
        whole = data.endswith(b"\n") or len(data) > self.max_bytes
        return data if whole or abs(self.wall() - modified) >= TORN_S else None

    def _put_aside(self, name: str, why: str) -> None:
        aside = self.directory / ASIDE
        aside.mkdir(mode=0o700, exist_ok=True)
        (self.directory / name).replace(aside / name)
        log.error("spooled cdr refused for ever; kept", extra={"file": str(aside / name), "why": why})


def ship(spool: Spool, settings: Settings, stop: threading.Event) -> None:
    """Look and post until ``stop`` is set. Whatever fails is logged when it changes, and waited for ever longer."""
    wait, failing = settings.cdr_spool_interval_s, None
    while not stop.is_set():
        try:
            swept = spool.sweep()
        except OSError as error:
            swept = Swept(away=f"{spool.directory}: {error.strerror or error}")
        if swept.taken or swept.refused:
            facts = {"taken": swept.taken, "refused": swept.refused, "left": swept.left}
            log.info("spooled cdrs shipped", extra=facts)
        if swept.away != failing:
            failing = swept.away
            log.warning("the spool waits" if failing else "the spool goes on", extra={"why": failing, "left": swept.left})
        wait = settings.cdr_spool_interval_s if failing is None else min(wait * 2, settings.cdr_spool_backoff_s)
        stop.wait(wait * random.uniform(0.8, 1.0))


def main() -> None:
    """The process's entry: until SIGTERM. Without a directory or a password there is nothing to do but to say so."""
    log_to_stderr()
    settings, stop = get_settings(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if not settings.cdr_spool or not settings.cdr_password:
        missing = "TRUNKLINE_CDR_PASSWORD" if settings.cdr_spool else "TRUNKLINE_CDR_SPOOL"
        level = logging.ERROR if settings.cdr_spool else logging.INFO
        log.log(level, "no spooled cdr is shipped", extra={"not_set": missing})
        stop.wait()
        return
    poster = Poster(settings)
    spool = Spool(
        Path(settings.cdr_spool),
        lambda name, data: poster.post(name.removesuffix(SUFFIX), *encoding_of(data)),
        settings.cdr_max_bytes,
        settings.cdr_spool_backoff_s,
    )
    ship(spool, settings, stop)


if __name__ == "__main__":
    main()
