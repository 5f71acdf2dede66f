"""A named pipe that the switch takes the agent's voice out of, 20 ms at a time.

Nobody here has it open for longer than a moment, but for the first one, until the switch has said that it has opened it. A
thread of the switch that finds an empty pipe which somebody could still write into waits, and with it the whole channel, its
hangup too; one that finds an empty pipe of nobody's has come to its end, and goes on without it. So it does when this
process dies, and mostly when it stands still: unless it is stopped in one of those moments (docs/architecture.md).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from pathlib import Path

#: Bytes; a pipe holds no more.
_ALL = 1 << 16
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_COUNT = struct.Struct("i")


class Pipe:
    """One pipe. Where somebody has removed it, nobody is taken to read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: int | None = None

    def keep(self) -> None:
        """Have it open, for the switch to open it too."""
        if self._kept is None:
            self._kept = os.open(self.path, os.O_RDWR | _FLAGS)

    def let_go(self) -> None:
        """The switch has it open, or does not want it."""
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None

    def open(self) -> int | None:
        """For :meth:`unread`, :meth:`write` and :meth:`take_back`, then :meth:`close`. None: nobody reads it (any more).

        As long as it is open, and there is something in it, the switch does not come to its end.
        """
        if self._kept is not None:
            return self._kept
        try:
            return os.open(self.path, os.O_WRONLY | _FLAGS)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return None
            raise

    def close(self, end: int) -> None:
        if end != self._kept:
            os.close(end)

    @staticmethod
    def unread(end: int) -> int:
        """Bytes that the switch has not taken."""
        count: int = _COUNT.unpack(fcntl.ioctl(end, termios.FIONREAD, bytes(_COUNT.size)))[0]
        return count

    @staticmethod
    def write(end: int, pcm: bytes) -> int:
        """How many bytes there was room for: of a user who has very many pipes the kernel lets each hold 8,192."""
        try:
            return os.write(end, pcm) if pcm else 0
        except BlockingIOError:
            return 0

    def take_back(self) -> bytes:
        """Everything that the switch has not taken."""
        try:
            end = os.open(self.path, os.O_RDWR | _FLAGS) if self._kept is None else self._kept
        except FileNotFoundError:
            return b""
        try:
            return os.read(end, _ALL)
        except BlockingIOError:
            return b""
        finally:
            self.close(end)
