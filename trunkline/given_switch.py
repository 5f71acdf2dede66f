"""A FreeSWITCH that somebody else started, for a Stack to work with."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from controller import commands

_POLL_S = 0.25
#: s; for one reply.
_REPLY_S = 5.0
_STATUS = re.compile(r"<status>(\w+)</status>")


class SwitchMissing(RuntimeError):
    """The given switch is not there, refuses the password or does not reach its carriers."""


@dataclass(frozen=True)
class GivenCdrs:
    """Where the given switch posts its CDRs, http://127.0.0.1:`port`/internal/cdr, with which password, and where it leaves
    those it could not post.
    """

    port: int
    password: str
    spool: str


@dataclass(frozen=True)
class GivenSwitch:
    """Where the switch listens, and by which of its gateways it reaches the lab carriers.

    `gateways`: the lab carrier's name -> (the gateway's name, HOST:PORT it sends to, where the lab carrier listens then).
    `cdrs`: None: it posts none, or somewhere else.
    """

    esl: tuple[str, int]
    password: str
    gateways: Mapping[str, tuple[str, str]]
    cdrs: GivenCdrs | None = None

    def wait_up(self, timeout_s: float) -> None:
        """Return when each gateway is UP: one whose carrier was away is DOWN until the switch's next ping.

        Errors: SwitchMissing saying what is wrong.
        """
        deadline = time.monotonic() + timeout_s
        for gateway, address in self.gateways.values():
            while (state := self._state(gateway)) != "UP":
                if time.monotonic() >= deadline:
                    raise SwitchMissing(f"gateway {gateway} ({address}) is {state} after {timeout_s:g} s")
                time.sleep(_POLL_S)

    def _state(self, gateway: str) -> str:
        reply = self.ask(commands.gateway_status(gateway))
        found = _STATUS.search(reply)
        return found[1] if found else reply.strip()[:100]

    def ask(self, command: commands.Command) -> str:
        """The reply to one command, on a connection of its own. Errors: SwitchMissing."""
        try:
            with socket.create_connection(self.esl, timeout=_REPLY_S) as link, link.makefile("rb") as replies:
                _reply(replies)
                link.sendall(commands.wire(commands.auth(user="", password=self.password)))
                if "+OK" not in _reply(replies):
                    raise SwitchMissing(f"{self.esl[0]}:{self.esl[1]}: the event socket refuses the password")
                link.sendall(commands.wire(command))
                return _reply(replies)
        except OSError as error:
            raise SwitchMissing(f"{self.esl[0]}:{self.esl[1]}: no event socket: {error}") from error


def _reply(replies: BinaryIO) -> str:
    """The next frame: its body, or its Reply-Text where there is none."""
    head: dict[str, str] = {}
    while line := replies.readline().decode().strip():
        name, _, value = line.partition(": ")
        head[name] = value
    if length := int(head.get("Content-Length", 0)):
        return replies.read(length).decode()
    return head.get("Reply-Text", "")
