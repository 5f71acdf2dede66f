"""Who may log in to the event socket by name, and what they may say there (mod_event_socket's userauth).

The users are those of `freeswitch/conf/directory/`: the simulated switch lets them do what a real one would.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.switch.sendmsg import is_true

DIRECTORY = Path(__file__).resolve().parents[2] / "freeswitch" / "conf" / "directory"
# The answer to a login is composed in 512 bytes, the last of them a NUL; what does not fit is cut off, its end included.
_REPLY_BYTES = 511


@dataclass(frozen=True, slots=True)
class EslUser:
    """One login. A list that is None allows everything."""

    password: str
    api: tuple[str, ...] | None = None
    events: tuple[str, ...] | None = None
    log: bool = True

    def may_call(self, command: str) -> bool:
        """Whether it may send ``api`` or ``bgapi`` of that name; capitals count."""
        return self.api is None or command in self.api

    def refused_event(self, words: list[str]) -> bool:
        """Whether one of the names in a subscription is not on its list; after CUSTOM come subclasses."""
        if self.events is None:
            return False
        names, subclasses = _split(self.events)
        asked, custom = _split(tuple(words))
        return not (set(asked) <= set(names) and set(custom) <= set(subclasses))

    def accepted(self) -> bytes:
        """The answer to its login, as it leaves the switch."""
        events = "all" if self.events is None else " ".join(self.events)
        api = "all" if self.api is None else " ".join(self.api)
        log = "true" if self.log else "false"
        text = f"~Reply-Text: +OK accepted\nAllowed-Events: {events}\nAllowed-API: {api}\nAllowed-LOG: {log}\n\n"
        return b"Content-Type: command/reply\n" + text.encode()[:_REPLY_BYTES][1:]


def _split(words: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """Names of events, then subclasses. A name that FreeSWITCH does not know is refused here and passed over there."""
    names = [word.upper() for word in words]
    at = names.index("CUSTOM") + 1 if "CUSTOM" in names else len(names)
    return names[:at], words[at:]


def read_users(password: str, directory: Path = DIRECTORY) -> Mapping[str, EslUser]:
    """Every `user@domain` of the files in `directory`, all with `password`, as FREESWITCH_TRUNKLINE_PASSWORD is there."""
    found: dict[str, EslUser] = {}
    for file in sorted(directory.glob("*.xml")):
        for domain in ElementTree.parse(file).getroot().iter("domain"):
            for user in domain.iter("user"):
                params = {p.get("name", ""): p.get("value", "") for p in user.iter("param")}
                found[f"{user.get('id')}@{domain.get('name')}"] = EslUser(
                    password=params.get("esl-password", "").replace("$${trunkline_password}", password),
                    api=_list(params.get("esl-allowed-api")),
                    events=_list(params.get("esl-allowed-events")),
                    log=is_true(params.get("esl-allowed-log", "true")),
                )
    return found


def _list(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value.split(" " if " " in value else ","))
