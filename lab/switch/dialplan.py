"""A context of an XML dialplan, as far as ours goes: conditions by regular expression, actions and anti-actions.

Follows mod_dialplan_xml: every action of the first extension that matches runs (`continue` goes on to the next one), `$1` is
what the expression caught, `${name}` a channel variable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from lab.switch.channel import Channel

_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_CAUGHT = re.compile(r"\$([0-9])")


@dataclass(frozen=True, slots=True)
class Action:
    """An application and what it is given; `${...}` is expanded when it runs."""

    application: str
    argument: str


def load(path: Path, context: str = "inbound") -> ElementTree.Element:
    """The context of that name. Raises ValueError when the file has none, or is no XML."""
    try:
        # A file of our own, read by a program of the laboratory.
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: {error}") from None
    for found in root.iter("context"):
        if found.get("name") == context:
            return found
    raise ValueError(f"{path}: no context {context}")


def route(context: ElementTree.Element, channel: Channel) -> list[Action]:
    """What the channel is to execute, in order."""
    found: list[Action] = []
    for extension in context.iter("extension"):
        actions, matched = _extension(extension, channel)
        found += actions
        if matched and extension.get("continue") != "true":
            break
    return found


def _extension(extension: ElementTree.Element, channel: Channel) -> tuple[list[Action], bool]:
    found: list[Action] = []
    for condition in extension.iter("condition"):
        expression = condition.get("expression")
        caught = re.search(expression, _field(condition.get("field", ""), channel)) if expression is not None else None
        matched = expression is None or caught is not None
        for action in condition.iter("action" if matched else "anti-action"):
            data = action.get("data", "")
            if caught is not None:
                data = _CAUGHT.sub(lambda digit: caught[int(digit[1])], data)  # noqa: B023
            found.append(Action(action.get("application", ""), data))
        if not matched:
            return found, False
    return found, True


def _field(name: str, channel: Channel) -> str:
    if name.startswith("${"):
        return expand(name, channel)
    known = {"destination_number": channel.destination, "caller_id_number": channel.caller_number}
    return known.get(name, channel.vars.get(name, ""))


def expand(text: str, channel: Channel) -> str:
    """`text` with the values of its `${variables}`."""
    return _VARIABLE.sub(lambda name: channel.vars.get(name[1], ""), text)
