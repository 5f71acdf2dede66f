"""What a Stack is made of beside Trunkline itself: lab carriers, routes to them, switches and what sits beside each."""

from __future__ import annotations

import pathlib
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from store import test_lab
from trunkline.private import free_port

#: Processes of the Procfile of which each switch has one of its own.
BESIDE_A_SWITCH = ("controller", "standby", "relay", "spool", "recordings")


@dataclass(frozen=True)
class LabCarrier:
    """A simulated carrier: what it allows (enforced by itself) and what becomes of its calls (see lab/README.md).

    `ring` and `talk` are LOW:HIGH seconds; `cps` counts INVITEs in any second, of which a call takes `invite_cost`: 2 with
    the option ``--challenge``. With a given switch it speaks real RTP and keeps what its callees hear in
    ``Stack.recordings``.
    """

    name: str
    channels: int
    cps: int
    mix: str = "answered_hangup=1"
    ring: str = "0.4"
    talk: str = "3"
    invite_cost: int = 1
    options: tuple[str, ...] = ()

    def command(self, *, listen: str, log: pathlib.Path, seed: int, recordings: pathlib.Path | None) -> str:
        """The command line of its process. `listen`: HOST:PORT."""
        record = "" if recordings is None else f"--record-dir {recordings}"
        return (
            f"python -m lab.carrier --name {self.name} --listen {listen} --channels {self.channels}"
            f" --cps {self.cps} --log {log} --seed {seed}"
            f" --mix {self.mix} --ring {self.ring} --talk {self.talk} {record} {' '.join(self.options)}"
        )


@dataclass(frozen=True)
class Route:
    """Numbers that start with one of `prefixes` (no +) go to these carriers, in order of preference."""

    name: str
    prefixes: tuple[str, ...]
    carriers: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A switch with its controller, its relay and its spools. ``sip``: HOST:PORT its INVITEs come from; '' where it is not
    ours. ``spool``: the directory of CDRs it could not post; '': it posts none. ``recordings``: where it records, ``kept``:
    where those go. ``gateways``: the directory of its gateways, which its controller writes; '': they are given when it is
    started.

    ``password`` is people's; with ``user_password`` our processes log in by name and are limited to what they need.
    ``suffix`` goes after the names of its processes: none where there is one switch only, else ``-fs2``. ``lab``: it is the
    laboratory, for calls of test keys alone. ``rtp``: a lab switch that speaks RTP with its carriers.
    """

    name: str
    suffix: str
    esl: tuple[str, int]
    password: str
    relay_port: int
    sip: str = ""
    spool: str = ""
    user_password: str = ""
    recordings: str = ""
    kept: str = ""
    gateways: str = ""
    lab: bool = False
    rtp: bool = False

    def process(self, role: str) -> str:
        """The name under which the supervisor knows its ``switch``, ``controller``, ``standby`` or ``relay``."""
        return f"{role}{self.suffix}"

    def environ(self) -> dict[str, str]:
        """What makes a controller or a relay the one beside this switch."""
        return {
            "TRUNKLINE_SWITCH": self.name,
            "TRUNKLINE_ESL_HOST": self.esl[0],
            "TRUNKLINE_ESL_PORT": str(self.esl[1]),
            "TRUNKLINE_ESL_PASSWORD": self.user_password or self.password,
            "TRUNKLINE_ESL_USER": "controller@trunkline" if self.user_password else "",
            "TRUNKLINE_RELAY_ESL_USER": "relay@trunkline" if self.user_password else "",
            "TRUNKLINE_RELAY_PORT": str(self.relay_port),
            "TRUNKLINE_CDR_SPOOL": self.spool,
            "TRUNKLINE_RECORDING_SPOOL": self.recordings,
            "TRUNKLINE_RECORDING_DIR": self.kept,
            "TRUNKLINE_GATEWAY_DIR": self.gateways,
            "TRUNKLINE_LAB_SWITCH": str(self.lab).lower(),
        }

    def command(self, *, gateways: Mapping[str, str], seed: int, temp: pathlib.Path, cdr_url: str = "") -> str:
        """The command line of a lab switch here; its passwords come in the variables of :meth:`passwords`.

        `gateways`: name -> HOST:PORT. `cdr_url`: where it posts CDRs, if it has a spool.
        """
        cdrs = f"--cdr-url {cdr_url} --cdr-password-env LAB_CDR_PASSWORD --cdr-spool {self.spool}" if self.spool else ""
        ways = " ".join(f"--gateway {name}={address}" for name, address in gateways.items())
        if self.rtp:
            ways += " --rtp"
        if self.gateways:
            ways += f" --gateway-dir {self.gateways}"
        return (
            f"python -m lab.switch --esl {self.esl[0]}:{self.esl[1]} --sip {self.sip} --hostname {self.name}"
            f" --dialplan dialplan/inbound.xml --password-env LAB_ESL_PASSWORD --user-password-env LAB_USER_PASSWORD"
            f" --seed {seed} --temp-dir {temp} {ways} {cdrs}"
        )

    def passwords(self, cdr_password: str) -> dict[str, str]:
        """What goes with :meth:`command`, in the environment of that process alone."""
        return {
            "LAB_ESL_PASSWORD": self.password,
            "LAB_USER_PASSWORD": self.user_password,
            "LAB_CDR_PASSWORD": cdr_password,
        }


def lab_places(
    count: int, relay_ports: Iterable[int], spools: pathlib.Path | None = None, gateways: pathlib.Path | None = None
) -> list[Place]:
    """`count` places for lab switches, fs1 and on. Every port is chosen here, so that a restart finds it again.

    `spools`: each has its spool of CDRs in there; None: they post none. `gateways`: each has the directory of its gateways.
    """
    return [
        _place(f"fs{number}", "" if count == 1 else f"-fs{number}", relay_port, spools, gateways)
        for number, relay_port in zip(range(1, count + 1), relay_ports, strict=False)
    ]


def _place(
    name: str, suffix: str, relay_port: int, spools: pathlib.Path | None, gateways: pathlib.Path | None, *, lab: bool = False
) -> Place:
    return Place(
        name=name,
        suffix=suffix,
        esl=("127.0.0.1", free_port()),
        password=secrets.token_urlsafe(16),
        relay_port=relay_port,
        sip=f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
        spool="" if spools is None else str(spools / name),
        user_password=secrets.token_urlsafe(16),
        gateways="" if gateways is None else str(gateways / name),
        lab=lab,
    )


def laboratory(spools: pathlib.Path | None, gateways: pathlib.Path) -> Place:
    """The place of the switch that dials calls of test keys, beside whatever dials the others."""
    return _place("lab1", "-lab1", free_port(), spools, gateways, lab=True)


def laboratory_processes(procfile: Mapping[str, str], place: Place) -> list[tuple[str, str, Place | None]]:
    """As :func:`with_places`, of what the laboratory has of its own: nothing is recorded there."""
    return [(place.process(role), procfile[role], place) for role in ("controller", "relay")]


#: The carrier of the laboratory.
TEST_CARRIER = LabCarrier(test_lab.CARRIER, channels=20, cps=10)


def with_places(procfile: Mapping[str, str], places: Iterable[Place]) -> list[tuple[str, str, Place | None]]:
    """(process, command line, the switch it sits beside) for every process: those beside a switch once for each."""
    found: list[tuple[str, str, Place | None]] = []
    for role, command in procfile.items():
        if role in BESIDE_A_SWITCH:
            found += [(place.process(role), command, place) for place in places]
        else:
            found.append((role, command, None))
    return found
