"""What an announcement says, and what the keys mean that its callee presses. Pure.

A script is a list of parts, each ``{"audio": "file.wav"}`` or ``{"text": "Good day, {{name}}"}``. A menu is
``{"confirm": "1", "repeat": "2", "opt_out": "9", "wait_s": 10, "repeats": 1, "confirmed": script, "opted_out": script}``;
what of it is not there is not offered, or not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Part = Mapping[str, str]
Choice = Literal["confirm", "repeat", "opt_out"]
#: What came of a menu. ``no_key``: none of its keys was pressed in time.
Outcome = Literal["confirmed", "opted_out", "no_key"]
CHOICES: tuple[Choice, ...] = ("confirm", "repeat", "opt_out")
OUTCOMES: tuple[Outcome, ...] = ("confirmed", "opted_out", "no_key")
#: What is said after a choice, by its name in the menu.
AFTER: tuple[str, ...] = ("confirmed", "opted_out")
#: Characters of one text, and of one value that is put into it.
TEXT_MOST, VALUE_MOST = 1000, 200
PARTS_MOST = 20
#: s to wait for a key once all was said, and how often it is said again when none came, where the menu does not say.
WAIT_S, REPEATS = 10, 1

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}")
_BRACES = re.compile(r"[{}]")


class NotSpeakable(ValueError):
    """A variable of the call that a text needs is missing, or cannot be spoken. ``name``: which."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def parts_of(script: Sequence[Part] | None, menu: Mapping[str, Any] | None, *others: Part | None) -> Iterator[Part]:
    """Everything that may come to be said. ``others``: what an agent of another kind says beside its own words."""
    yield from script or ()
    for name in AFTER:
        yield from (menu or {}).get(name) or ()
    yield from (part for part in others if part is not None)


def needs(script: Sequence[Part] | None, menu: Mapping[str, Any] | None, *others: Part | None) -> list[str]:
    """The names of the variables in the texts, sorted."""
    found = {name for part in parts_of(script, menu, *others) for name in _VARIABLE.findall(part.get("text", ""))}
    return sorted(found)


def speaks(script: Sequence[Part] | None, menu: Mapping[str, Any] | None) -> bool:
    """Whether any of it is a text, for which somebody must lend a voice."""
    return any("text" in part for part in parts_of(script, menu))


def stray_brace(text: str) -> bool:
    """A brace that belongs to no ``{{name}}``: a variable that would be read aloud as it is written."""
    return _BRACES.search(_VARIABLE.sub("", text)) is not None


def value(name: str, variables: Mapping[str, Any]) -> str:
    """The variable as it is spoken: a text or a number, without line breaks. Raises :class:`NotSpeakable`."""
    if name not in variables:
        raise NotSpeakable(name, f"is missing: the agent's text says {{{{{name}}}}}")
    given = variables[name]
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise NotSpeakable(name, "must be a string or a number: the agent's text says it aloud")
    words = " ".join(str(given).split())
    if not words or len(words) > VALUE_MOST:
        raise NotSpeakable(name, f"must have 1 to {VALUE_MOST} characters: the agent's text says it aloud")
    return words


def filled(text: str, variables: Mapping[str, Any]) -> str:
    """The text with the call's variables in their places. Raises :class:`NotSpeakable`."""
    return _VARIABLE.sub(lambda found: value(found[1], variables), text)


def choice(menu: Mapping[str, Any], key: str) -> Choice | None:
    """What the key means; None: nothing."""
    return next((name for name in CHOICES if menu.get(name) == key), None)
