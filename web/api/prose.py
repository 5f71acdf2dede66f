"""What people and models write: text of any kind, with its line breaks. It never comes near the switch."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from web.api.fields import Coded, fault


class Prose(Coded, fields.String):
    """A JSON string of ``minimum`` to ``maximum`` characters, whichever they are."""

    expected = "a string"

    def __init__(self, *, maximum: int, minimum: int = 0, **more: Any):
        super().__init__(metadata={"minLength": minimum, "maxLength": maximum, **more.pop("metadata", {})}, **more)
        self._minimum, self._maximum = minimum, maximum

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        if not self._minimum <= len(value) <= self._maximum:
            raise fault("bad_length", f"must have {self._minimum} to {self._maximum} characters, not {len(value)}")
        return value
