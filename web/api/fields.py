"""Strict fields: each takes exactly one JSON type, and its refusal carries a stable code and the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, missing

from calls import ids, numbers
from web.runtime import bounds

#: Never inside a short text: control characters, and what the switch's command grammar gives a meaning to.
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029{}|,]")
_CLEAN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029{}|,]*$"
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_CODES = {"required": "required", "null": "wrong_type", "type": "wrong_type", "invalid": "wrong_type"}


class Fault(str):
    """A validation message that also carries its stable code."""

    __slots__ = ("code",)
    code: str

    def __new__(cls, code: str, detail: str) -> Fault:
        made = super().__new__(cls, detail)
        made.code = code
        return made


def fault(code: str, detail: str) -> ValidationError:
    return ValidationError([Fault(code, detail)])


def require_clean(text: str) -> None:
    """Refuses control characters, line breaks and ``{ } | ,``."""
    found = FORBIDDEN.search(text)
    if found is not None:
        name = found[0] if found[0].isprintable() else f"U+{ord(found[0]):04X}"
        raise fault("bad_character", f"holds {name}; control characters, line breaks and {{ }} | , are not allowed")


class Coded:
    """Gives marshmallow's own messages (required, null, wrong type) a code and our words."""

    expected = "another type"

    def make_error(self, key: str, **_: object) -> ValidationError:
        if key == "required":
            return fault("required", "is required")
        if key == "null":
            return fault("wrong_type", f"must be {self.expected}, not null; leave the field out instead")
        return fault(_CODES.get(key, key), f"must be {self.expected}")


class Text(Coded, fields.String):
    """A JSON string without control characters and ``{ } | ,``, of ``minimum`` to ``maximum`` characters."""

    expected = "a string"

    def __init__(self, *, maximum: int, minimum: int = 1, pattern: str | None = None, remedy: str = "", **more: Any):
        metadata = {"minLength": minimum, "maxLength": maximum, **more.pop("metadata", {})}
        metadata.setdefault("pattern", _CLEAN if pattern is None else f"^{pattern}$")
        super().__init__(metadata=metadata, **more)
        self._minimum, self._maximum, self._remedy = minimum, maximum, remedy
        self._pattern = re.compile(pattern) if pattern is not None else None

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        require_clean(value)
        if not self._minimum <= len(value) <= self._maximum:
            raise fault("bad_length", f"must have {self._minimum} to {self._maximum} characters, not {len(value)}")
        if self._pattern is not None and self._pattern.fullmatch(value) is None:
            raise fault("bad_format", self._remedy)
        return value


class Choice(Coded, fields.String):
    """One of a closed list of strings."""

    def __init__(self, choices: Sequence[str], *, later: Mapping[str, str] | None = None, **more: Any):
        """``later``: what is known and cannot be had yet, with what to do instead."""
        super().__init__(metadata={"enum": list(choices), **more.pop("metadata", {})}, **more)
        self._choices = tuple(choices)
        self._later = later or {}
        self.expected = "one of " + ", ".join(choices)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        if value in self._later:
            raise fault("not_supported_yet", self._later[value])
        if value not in self._choices:
            raise fault("bad_value", f"must be {self.expected}")
        return value


class Whole(Coded, fields.Integer):
    """A JSON integer from ``minimum`` to ``maximum``; no "30", no 30.0, no true."""

    def __init__(self, minimum: int, maximum: int, **more: Any):
        metadata = {"minimum": minimum, "maximum": maximum, **more.pop("metadata", {})}
        super().__init__(strict=True, metadata=metadata, **more)
        self._minimum, self._maximum = minimum, maximum
        self.expected = f"an integer from {minimum} to {maximum}"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("type")
        return self._in_range(value)

    def _in_range(self, value: int) -> int:
        if not self._minimum <= value <= self._maximum:
            raise fault("out_of_range", f"must be {self.expected}")
        return value


class OneOf(Coded, fields.Integer):
    """One of a closed list of integers."""

    def __init__(self, choices: Sequence[int], **more: Any):
        super().__init__(strict=True, metadata={"enum": list(choices), **more.pop("metadata", {})}, **more)
        self._choices = tuple(choices)
        self.expected = "one of " + ", ".join(map(str, choices))

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("type")
        if value not in self._choices:
            raise fault("bad_value", f"must be {self.expected}")
        return value


class QueryWhole(Whole):
    """The same in a query, where everything is text: digits only."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if not isinstance(value, str) or re.fullmatch(r"[0-9]{1,9}", value) is None:
            raise self.make_error("type")
        return self._in_range(int(value))


class Moment(Coded, fields.DateTime):
    """RFC 3339 with an offset (``Z`` or ``+01:00``); becomes an aware UTC datetime, cut to microseconds."""

    expected = "an RFC 3339 time with an offset, such as 2026-03-01T09:30:00Z"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        if not isinstance(value, str):
            raise self.make_error("type")
        match = _TIME.fullmatch(value)
        try:
            if match is None:
                raise ValueError(value)
            fraction = (match[3] or ".0")[:7]
            parsed = datetime.fromisoformat(f"{match[1]}T{match[2]}{fraction:0<7}{match[4].upper()}").astimezone(UTC)
        except (ValueError, OverflowError):
            raise fault("bad_format", f"must be {self.expected}") from None
        return parsed


class Object(Coded, fields.Dict):
    """A JSON object, kept as it is; at most as many bytes of compact JSON as the setting named ``limit`` says."""

    expected = "an object"

    def __init__(self, limit: str, names: str | None = None, **more: Any):
        super().__init__(**more)
        self._limit = limit
        self._names = re.compile(names) if names is not None else None

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("type")
        most = int(getattr(bounds(), self._limit))
        size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
        if size > most:
            raise fault("too_large", f"must have at most {most} bytes as compact JSON, not {size}")
        for name in value if self._names is not None else ():
            if self._names is not None and self._names.fullmatch(name) is None:
                raise fault("bad_name", f"the name {name[:40]!r} must match {self._names.pattern}")
        return value


class Reference(Coded, fields.String):
    """``<kind>_<32 hex>``; becomes the UUID behind it."""

    expected = "a string"

    def __init__(self, kind: ids.RefKind, **more: Any):
        super().__init__(metadata={"pattern": f"^{kind}_[0-9a-f]{{32}}$", **more.pop("metadata", {})}, **more)
        self._kind = kind

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("type")
        try:
            return ids.parse_ref(self._kind, value)
        except ValueError as error:
            yours = "; GET /v1/agents lists yours" if self._kind == "agent" else ""
            raise fault("bad_format", f"{error}{yours}") from None


class Telephone(Coded, fields.String):
    """An E.164 number that ``parse`` (of calls.numbers) lets pass; becomes its exact text."""

    expected = "a string"

    def __init__(self, parse: Callable[[str], numbers.Number], **more: Any):
        super().__init__(metadata={"pattern": "^[+][1-9][0-9]{5,14}$", **more.pop("metadata", {})}, **more)
        self._parse = parse

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        try:
            return self._parse(value).e164
        except numbers.NumberError as error:
            raise fault(error.code, error.detail) from None


def _folded(name: str) -> str:
    """What ``agentId``, ``Agent-Id`` and ``agent_id`` have in common."""
    return name.replace("_", "").replace("-", "").lower()


class _Alone:
    """Fields that decide alone on what is sent, each on its own."""

    def __init__(self, known: Mapping[str, fields.Field[Any]]) -> None:
        self._known = {field.data_key or name: (name, field) for name, field in known.items()}
        self._defaults = {name: field.load_default for name, field in known.items() if field.load_default is not missing}
        self._required = {name for name, field in known.items() if field.required}

    def load(self, data: Any) -> dict[str, Any] | None:
        """What is loaded; None: something is wrong with it."""
        if type(data) is not dict or not data.keys() <= self._known.keys():
            return None
        loaded = dict(self._defaults)
        try:
            for key, value in data.items():
                name, field = self._known[key]
                loaded[name] = field.deserialize(value, key, data)
        except ValidationError:
            return None
        return loaded if self._required <= loaded.keys() else None


class Request(Schema):
    """A schema whose unknown fields are refused by name, with the list of those that exist.

    ``REFUSED``: fields that a caller may expect and that are not there, with what to do instead.
    """

    REFUSED: ClassVar[Mapping[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        names = sorted(field.data_key or name for name, field in self.load_fields.items())
        self._folded = {_folded(name): name for name in names}
        known = ", ".join(names)
        self.error_messages = {
            **self.error_messages,
            "unknown": Fault("unknown_field", f"is not known here; known are: {known}"),
            "type": Fault("wrong_type", "must be an object"),
        }

    def load(self, data: Any, *, many: bool | None = None, partial: Any = None, unknown: Any = None) -> Any:
        """As marshmallow's, which asks every field that there is what it says to what was not sent. Where fields alone
        decide, those are asked that were sent; whatever is refused, marshmallow is asked to say why.
        """
        alone = self._alone if not (many or partial) and unknown in (None, RAISE) else None
        if alone is not None and (loaded := alone.load(data)) is not None:
            return loaded
        return super().load(data, many=many, partial=partial, unknown=unknown)

    @cached_property
    def _alone(self) -> _Alone | None:
        """The fields, if nothing but they has a say."""
        usual = self.unknown == RAISE and not (self.many or self.partial or any(self._hooks.values()))
        simple = all(field.attribute is None and not callable(field.load_default) for field in self.load_fields.values())
        return _Alone(self.load_fields) if usual and simple else None

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> None:
        """marshmallow asks before it raises: fields that are refused get their own words."""
        if isinstance(error.messages, dict):
            for name in error.messages.keys() & self.REFUSED.keys():
                error.messages[name] = [Fault("not_supported_yet", self.REFUSED[name])]
            for name, told in error.messages.items():
                meant = self._folded.get(_folded(name)) if isinstance(name, str) else None
                if meant is not None and told == [self.error_messages["unknown"]]:
                    error.messages[name] = [Fault("unknown_field", f"is not known here; {meant} is")]
