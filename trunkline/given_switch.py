"""A FreeSWITCH that somebody else started, for a Stack to work with."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from controller import commands
from trunkline.lab_parts import Place
from trunkline.switch_line import SwitchLine, SwitchSilent

_POLL_S = 0.25
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
    `cdrs`: None: it posts none, or somewhere else. `user_password`: of controller@trunkline and relay@trunkline, as which
    our processes then log in; empty: they have the password. `gateway_dir`: the directory of gateways that its configuration
    includes (FREESWITCH_GATEWAY_DIR): carriers that are not in `gateways` get theirs there.
    """

    esl: tuple[str, int]
    password: str
    gateways: Mapping[str, tuple[str, str]]
    cdrs: GivenCdrs | None = None
    user_password: str = ""
    gateway_dir: str = ""

    def place(self, relay_port: int) -> Place:
        """The switch with the processes beside it."""
        return Place(
            name="fs1",
            suffix="",
            esl=self.esl,
            password=self.password,
            relay_port=relay_port,
            spool="" if self.cdrs is None else self.cdrs.spool,
            user_password=self.user_password,
            gateways=self.gateway_dir,
        )

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
            with SwitchLine(self.esl, user="", password=self.password) as line:
                return line.ask(command)
        except SwitchSilent as error:
            raise SwitchMissing(str(error)) from error


def from_environ(environ: Mapping[str, str]) -> GivenSwitch | None:
    """The FreeSWITCH of FREESWITCH_ESL and its like (docs/real-freeswitch.md), with a carrier ``lab_a``; None: none is
    named. Errors: KeyError naming what is missing.
    """
    if not (esl := environ.get("FREESWITCH_ESL")):
        return None
    host, _, port = esl.rpartition(":")
    return GivenSwitch(
        (host, int(port)),
        environ["FREESWITCH_PASSWORD"],
        {"lab_a": ("carrier_a", environ.get("FREESWITCH_CARRIER_A", "127.0.0.1:5090"))},
        cdrs=_cdrs(environ),
        user_password=environ.get("FREESWITCH_TRUNKLINE_PASSWORD", ""),
    )


def _cdrs(environ: Mapping[str, str]) -> GivenCdrs | None:
    if not (password := environ.get("FREESWITCH_CDR_PASSWORD")):
        return None
    port = urlsplit(environ.get("FREESWITCH_CDR_URL", "http://127.0.0.1:8080/internal/cdr")).port
    if port is None:
        raise KeyError("FREESWITCH_CDR_URL: give http://HOST:PORT/internal/cdr")
    return GivenCdrs(port, password, environ["FREESWITCH_CDR_SPOOL"])
