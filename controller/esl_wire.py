"""The narrow way onto the event socket: a :class:`Command`, and the last gate before the socket.

FreeSWITCH ends a command at an empty line, so one newline too many inside a value is a second command (reproduced with
the stock client). Nothing is escaped here; what is not on a list is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

MAX_COMMAND_BYTES = 8192
_PRINTABLE = re.compile(rb"[\x20-\x7e]+(?:\n[\x20-\x7e]+)*\n\n")
_VERBS = frozenset({b"api", b"auth", b"bgapi", b"event", b"filter", b"sendmsg", b"userauth"})
_APIS = frozenset(
    (
        b"acl global_getvar hash module_exists originate reloadacl sched_hangup show sofia status strepoch uuid_answer"
        b" uuid_audio_fork uuid_break uuid_bridge uuid_displace uuid_dump uuid_exists uuid_getvar uuid_kill uuid_record"
        b" uuid_send_dtmf uuid_setvar version"
    ).split()
)
_BUILDER = object()  # known to this module alone: a Command comes from command() or not at all


#: Kinds of commands that change nothing at the switch; whatever is not here is a deed.
_QUESTIONS = "auth subscribe filter ping hash_select uuid_exists uuid_getvar uuid_dump show_channels"
_SETUP = "status version global_getvar gateway_status gateway_list module_exists acl strepoch profile_status"
QUESTIONS = frozenset([*_QUESTIONS.split(), *_SETUP.split()])


class CommandError(ValueError):
    """A value that may not go onto the wire. The text names the field and what it should be, never a secret."""


@dataclass(frozen=True, slots=True)
class Command:
    """One validated command. ``kind`` names it in logs and errors; ``wire`` is what the switch reads.

    ``empty_ok``: the API answers nothing for "nothing there", which the switch turns into ``-ERR no reply``.
    """

    kind: str
    wire: bytes = field(repr=False)  # may hold the password or a number
    empty_ok: bool
    builder: object = field(repr=False, compare=False)

    @property
    def is_deed(self) -> bool:
        """It changes something at the switch: only the controller on duty may give it."""
        return self.kind not in QUESTIONS

    def __post_init__(self) -> None:
        if self.builder is not _BUILDER:
            raise CommandError("a Command is made by the builders of controller.commands and commands_link, never by hand")
        check_wire(self.wire)


def command(kind: str, *lines: str, empty_ok: bool = False) -> Command:
    """For the builders alone: one command from its lines. Raises CommandError for anything but printable ASCII."""
    for line in lines:
        if not line or not line.isascii() or not line.isprintable():
            raise CommandError(f"{kind}: only printable ASCII goes onto the wire, and no empty line")
    return Command(kind, ("\n".join(lines) + "\n\n").encode("ascii"), empty_ok, _BUILDER)


def check_wire(wire: bytes) -> None:
    """The last gate, independent of every builder: exactly one command of an allowed kind, or CommandError."""
    if len(wire) > MAX_COMMAND_BYTES:
        raise CommandError(f"a command of {len(wire)} bytes; {MAX_COMMAND_BYTES} are allowed")
    if _PRINTABLE.fullmatch(wire) is None:
        raise CommandError("a command is printable lines and one empty line at its end, nothing else")
    words = wire.split(None, 2)
    if words[0] not in _VERBS:
        raise CommandError(f"no command of ours begins with {words[0][:20]!r}")
    if words[0] in (b"api", b"bgapi") and (len(words) < 2 or words[1] not in _APIS):
        raise CommandError(f"{words[0].decode()}: not an API command of ours")


def wire(item: Command) -> bytes:
    """The bytes of a command for the socket, checked once more."""
    if not isinstance(item, Command):
        raise CommandError(f"only a Command goes onto the wire, not a {type(item).__name__}")
    check_wire(item.wire)
    return item.wire


# --- what a value may be ---------------------------------------------------------------------------------------------


def matcher(pattern: str, meaning: str) -> Callable[[str, str], str]:
    """A check ``(field, value) -> value`` for text that matches ``pattern`` whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(name: str, value: str) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise CommandError(f"{name}: give {meaning}")
        return value

    return check


def names(text: str) -> frozenset[str]:
    """The words of a text: a list of what a value may be."""
    return frozenset(text.split())


def one_of(name: str, value: str, allowed: frozenset[str]) -> str:
    """``value`` when it is on the list."""
    if not isinstance(value, str) or value not in allowed:
        raise CommandError(f"{name}: give one of {', '.join(sorted(allowed))}")
    return value


def whole(name: str, value: int, low: int, high: int) -> int:
    """A whole number in ``low``..``high``."""
    if type(value) is not int or not low <= value <= high:
        raise CommandError(f"{name}: give a whole number from {low} to {high}")
    return value


def uuid(name: str, value: UUID) -> str:
    """A UUID in its usual text form."""
    if not isinstance(value, UUID):
        raise CommandError(f"{name}: give a UUID")
    return str(value)
