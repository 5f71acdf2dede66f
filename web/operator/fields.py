"""Fields that only operators send, and the pieces of their answers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from marshmallow import fields

from calls.caps import MICROS
from web.api.fields import Coded, Text, fault

_PLAIN = re.compile(r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")


class Amount(Coded, fields.Float):
    """A JSON number from ``minimum`` to ``maximum``; no "5", no true."""

    def __init__(self, minimum: float, maximum: float, **more: Any):
        super().__init__(metadata={"minimum": minimum, "maximum": maximum, **more.pop("metadata", {})}, **more)
        self._minimum, self._maximum = minimum, maximum
        self.expected = f"a number from {minimum:g} to {maximum:g}"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("type")
        if not self._minimum <= value <= self._maximum:
            raise fault("out_of_range", f"must be {self.expected}")
        return float(value)


class Words(Coded, fields.String):
    """A text for people, of 1 to ``maximum`` characters without control characters: it goes to no switch."""

    expected = "a string"

    def __init__(self, maximum: int, **more: Any):
        told = {"minLength": 1, "maxLength": maximum, "pattern": _PLAIN.pattern, **more.pop("metadata", {})}
        super().__init__(metadata=told, **more)
        self._maximum = maximum

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        if _PLAIN.fullmatch(value) is None:
            raise fault("bad_character", "holds a control character or a line break; leave it out")
        if not 1 <= len(value) <= self._maximum:
            raise fault("bad_length", f"must have 1 to {self._maximum} characters, not {len(value)}")
        return value


class Money(Coded, fields.Float):
    """A JSON number from 0 to ``most``, of the house's currency, with six places at most; becomes whole millionths."""

    def __init__(self, most: int, **more: Any):
        super().__init__(metadata={"minimum": 0, "maximum": most, **more.pop("metadata", {})}, **more)
        self._most = most
        self.expected = f"a number from 0 to {most} with at most six places"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("type")
        if not 0 <= value <= self._most:
            raise fault("out_of_range", f"must be {self.expected}")
        micros = Decimal(repr(value)) * MICROS
        if micros != int(micros):
            raise fault("bad_format", f"must be {self.expected}")
        return int(micros)


def money(micros: int | None) -> float | None:
    """The other way round, for answers."""
    return None if micros is None else micros / MICROS


def name(maximum: int = 63, **more: Any) -> Text:
    """A name as tenants, carriers and routes have it."""
    pattern = f"[a-z0-9][a-z0-9_-]{{0,{maximum - 1}}}"
    return Text(maximum=maximum, pattern=pattern, remedy="must be lower-case letters, digits, _ and -", **more)
