"""Some questions to a switch, one after another, from a program that has no event loop: the CLI, a test house."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import BinaryIO, Self

from controller import commands, commands_link

#: s; for the connection, and for one reply.
_REPLY_S = 5.0
#: Bytes of one reply; a switch that says more is not believed.
_MOST = 16 << 20


class SwitchSilent(RuntimeError):
    """No event socket there, or it hung up in the middle."""


class PasswordRefused(SwitchSilent):
    """It is there and refuses the login."""


class SwitchLine:
    """A connection to the event socket. Raises SwitchSilent or PasswordRefused; usable as a context manager."""

    def __init__(self, address: tuple[str, int], *, user: str, password: str) -> None:
        self._where = f"{address[0]}:{address[1]}"
        try:
            self._socket = socket.create_connection(address, timeout=_REPLY_S)
        except OSError as error:
            raise SwitchSilent(f"{self._where}: no event socket: {error}") from error
        self._replies: BinaryIO = self._socket.makefile("rb")
        try:
            self._reply()
            if "+OK" not in self.ask(commands_link.auth(user=user, password=password)):
                raise PasswordRefused(f"{self._where}: the event socket refuses the password")
        except BaseException:
            self.close()
            raise

    def ask(self, command: commands.Command) -> str:
        """The reply: its body, or its Reply-Text where there is none."""
        try:
            self._socket.sendall(commands.wire(command))
            return self._reply()
        except (OSError, ValueError) as error:
            raise SwitchSilent(f"{self._where}: no reply: {error}") from error

    def _reply(self) -> str:
        head: dict[str, str] = {}
        while line := self._replies.readline(65_536).decode("utf-8", "replace").strip():
            name, _, value = line.partition(": ")
            head[name] = value
        if not head:
            raise OSError("the connection was closed")
        length = int(head.get("Content-Length", 0))
        if not 0 <= length <= _MOST:
            raise ValueError(f"a reply of {length} bytes")
        return self._replies.read(length).decode("utf-8", "replace") if length else head.get("Reply-Text", "")

    def close(self) -> None:
        """Twice is once."""
        self._replies.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
