"""PCM, and the files and pipes that the switch reads.

Audio is L16: signed 16-bit little-endian samples, 8,000 a second, one channel; 16 bytes are one millisecond.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
import wave
from pathlib import Path
from uuid import UUID

SAMPLE_RATE = 8000
BYTES_PER_MS = SAMPLE_RATE * 2 // 1000
#: What the switch takes at a time where the codec has 8,000 samples a second and 20 ms a packet, as PCMU and PCMA.
#: With another (16 kHz, 30 ms) it takes more at once, and what was heard is known to that alone.
FRAME_MS = 20
FRAME_BYTES = FRAME_MS * BYTES_PER_MS
#: s; a draining relay that has not said so for so long is dead.
MARK_S = 10.0

#: Bytes a second of the tightest encoding a switch reads, GSM; s of a file that only the switch can see.
_TIGHTEST, _UNSEEN_S = 1625, 600.0

_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]{1,9}[.](?:wav|raw)")


def wav(pcm: bytes) -> bytes:
    """A RIFF/WAVE file holding ``pcm`` (L16, 8 kHz, mono)."""
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16, b"data", len(pcm),
    )  # fmt: skip
    return head + pcm


def longest_s(path: Path) -> float:
    """s; to play that file takes no longer. By its size, for what a head says of the length may be wrong."""
    try:
        size = path.stat().st_size
        with wave.open(str(path)) as sound:
            bytes_per_s = int(sound.getframerate() * sound.getsampwidth() * sound.getnchannels())
            return size / bytes_per_s
    except OSError:
        return _UNSEEN_S
    except (wave.Error, EOFError, ZeroDivisionError):
        return size / _TIGHTEST


class AudioFiles:
    """Files and pipes of one relay: ``<root>/<switch>/<attempt>-<number>.wav`` and ``.raw``.

    The directory can be entered but not listed by others, and names hold the attempt's UUID: the switch may run as
    another user and must read the file, nobody else can find it. Raises ``OSError`` when the directory is unusable.
    """

    def __init__(self, root: str | Path, switch: str) -> None:
        self.directory = Path(root) / switch
        self._held: dict[UUID, set[Path]] = {}
        self._pipes = 0
        mask = os.umask(0)
        os.umask(mask)
        self._masked = mask & 0o044 != 0  # the switch, another user, could not read what is made here

    def open(self) -> int:
        """Make the directory and remove what an earlier relay of this switch left; returns how many files that was."""
        for directory in (self.directory.parent, self.directory):
            if not directory.exists():
                directory.mkdir(parents=True)
                directory.chmod(0o711)  # whatever the umask: the switch must get in
        return self.sweep() or 0

    def sweep(self) -> int | None:
        """Remove what is not ours; returns how many files that was. None: an earlier relay is still at work, and clears up
        itself, unless it dies.
        """
        if self._draining():
            return None
        ours = {path.name for paths in self._held.values() for path in paths}
        removed = 0
        for entry in os.scandir(self.directory):
            if _NAME.fullmatch(entry.name) and entry.name not in ours:
                if stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                    # Should the switch wait for somebody to write into it, it waits no more.
                    os.close(os.open(entry.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
                os.unlink(entry.path)
                removed += 1
        return removed

    def mark_draining(self) -> None:
        """Files here are in use, though the next relay may be opening the directory. To be said again and again."""
        self._mark.touch()

    def unmark_draining(self) -> None:
        self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.directory / "draining"

    def _draining(self) -> bool:
        try:
            return abs(time.time() - self._mark.stat().st_mtime) < MARK_S
        except FileNotFoundError:
            return False

    def pipe(self, attempt: UUID) -> Path:
        """A new pipe of the attempt's, removed with its files."""
        while True:
            self._pipes += 1
            path = self.directory / f"{attempt}-{self._pipes}.raw"
            try:
                os.mkfifo(path, 0o644)
                break
            except FileExistsError:  # another relay's, which is letting go of the call
                continue
        if self._masked:
            path.chmod(0o644)
        self._held.setdefault(attempt, set()).add(path)
        return path

    def place(self, attempt: UUID, number: int) -> Path:
        """Where another program writes a file of the attempt, removed with its others."""
        path = self.directory / f"{attempt}-{number}.wav"
        self._held.setdefault(attempt, set()).add(path)
        return path

    def write(self, attempt: UUID, number: int, pcm: bytes) -> Path:
        """Write a file of the attempt's, removed with its others."""
        path = self.place(attempt, number)
        path.write_bytes(wav(pcm))
        path.chmod(0o644)
        return path

    def remove(self, attempt: UUID, path: Path) -> None:
        """Remove one; what is gone already is fine."""
        path.unlink(missing_ok=True)
        held = self._held.get(attempt)
        if held is not None:
            held.discard(path)
            if not held:
                del self._held[attempt]

    def remove_all(self, attempt: UUID) -> None:
        """Remove every file of the attempt that is still there."""
        for path in self._held.pop(attempt, set()):
            path.unlink(missing_ok=True)

    @property
    def count(self) -> int:
        """Files not yet removed; nought when no call is up."""
        return sum(map(len, self._held.values()))
