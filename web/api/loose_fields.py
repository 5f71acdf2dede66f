"""What people, models and tools write: text of any kind, JSON of any kind, lists that may be empty.

None of it comes near the switch.
"""

from __future__ import annotations

import json
from typing import Any

from marshmallow import fields

from web.api.fields import Coded, fault
from web.runtime import bounds


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


class AnyJson(Coded, fields.Raw):
    """A JSON value of whatever type, null too; at most as many bytes of compact JSON as the setting ``limit`` says."""

    def __init__(self, limit: str, **more: Any):
        super().__init__(allow_none=True, **more)
        self._limit = limit

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        most = int(getattr(bounds(), self._limit))
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        if size > most:
            raise fault("too_large", f"must have at most {most} bytes as compact JSON, not {size}")
        return value


class Listed(Coded, fields.List[Any]):
    """A JSON list of up to ``maximum`` members, which may be empty."""

    def __init__(self, member: fields.Field[Any], maximum: int, **more: Any):
        super().__init__(member, metadata={"maxItems": maximum, **more.pop("metadata", {})}, **more)
        self._maximum = maximum
        self.expected = f"a list of up to {maximum} members"

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("type")
        if len(value) > self._maximum:
            raise fault("bad_length", f"must be {self.expected}, not {len(value)}")
        return super()._deserialize(value, *args, **kwargs)
