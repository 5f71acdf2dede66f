"""Examples made from schemas: each field's own ``example``, else the simplest value its schema takes; whole answers that
belong together are given by name in ``openapi_samples.toml``.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from web.openapi_links import MADE

Schema = dict[str, Any]

_MOMENT = "2026-03-01T09:30:00.000000Z"
_UUID = "0190b2c3-d4e5-7f60-8182-93a4b5c6d7e8"
_HEX = "0190b2c3d4e57f60718293a4b5c6d7e8"
_FORMATS = {
    "date-time": _MOMENT,
    "uuid": _UUID,
    "uri": "https://example.com/trunkline",
    "uri-reference": "/v1/docs/errors#not_found",
}
#: A pattern that telephone numbers fit begins so.
_NUMBER = "^[+]"
#: The pattern of an id with its kind before it.
_ID = re.compile(r"\^([a-z_]+_)\[0-9a-f\]\{32\}\$")
#: Names that say what kind of value they hold, where the schema does not.
_NAMES = {
    "id": _UUID,
    "call_id": f"call_{_HEX}",
    "attempt_id": _UUID,
    "request_id": f"req_{_HEX}",
    "entry_id": f"suppression_{_HEX}",
}
#: What in an address is no id but a name of somebody's own, and any text.
_NAMED = {
    "tenant": "acme",
    "carrier": "telco",
    "name": "e1",
    "route": "germany",
    "switch": "fs1",
    "scope": "global",
    "number": "+442079460000",
    "prefix": "4915",
}


@cache
def _samples() -> MappingProxyType[str, Any]:
    return MappingProxyType(tomllib.loads(files("web").joinpath("openapi_samples.toml").read_text("utf-8")))


class Examples:
    """Of the schemas of one document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas: dict[str, Schema] = document["components"].get("schemas", {})

    def request(self, schema: Schema) -> Any:
        """A body that is taken: what is required, and what the sample adds."""
        return self._value("", schema, all_members=False)

    def answer(self, schema: Schema, status: str = "") -> Any:
        """A body with every member. A sample named <schema>_<status> is taken before the one named <schema>."""
        name = schema.get("$ref", "").rpartition("/")[2]
        special = _samples().get(f"{MADE.get(name, name)}_{status}")
        if special is None:
            return self._value("", schema, all_members=True)
        return {**self._value("", self._schemas[schema["$ref"].rpartition("/")[2]], all_members=True), **special}

    def path_id(self, name: str) -> str:
        """A value of the path parameter ``name``: of call_id, call_0190..., of what is no id a name."""
        if name == "action_id":
            return _UUID
        if not name.endswith("_id"):
            return _NAMED.get(name, name)
        return _NAMES.get(name, f"{name.removesuffix('_id')}_{_HEX}")

    def _value(self, name: str, schema: Schema, *, all_members: bool) -> Any:
        if "$ref" in schema:
            of = schema["$ref"].rpartition("/")[2]
            made = self._value(name, self._schemas[of], all_members=all_members)
            sample = _samples().get(of)
            return {**made, **sample} if isinstance(sample, dict) and isinstance(made, dict) else made
        for key in ("example", "default", "const"):
            if key in schema:
                return schema[key]
        if schema.get("examples"):
            return schema["examples"][0]
        kinds = schema.get("type")
        if isinstance(kinds, list) and "null" in kinds:
            return None
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                options = schema[key]
                nothing = any(option.get("type") == "null" for option in options)
                return None if nothing else self._value(name, options[0], all_members=all_members)
        if schema.get("enum"):
            return schema["enum"][0]
        return self._plain(name, schema, all_members=all_members)

    def _plain(self, name: str, schema: Schema, *, all_members: bool) -> Any:
        kind = schema.get("type")
        if kind == "object" or "properties" in schema:
            wanted = schema.get("required", [])
            return {
                member: self._value(member, of, all_members=all_members)
                for member, of in schema.get("properties", {}).items()
                if all_members or member in wanted
            }
        if kind == "array":
            item = self._value(name.removesuffix("s"), schema.get("items", {}), all_members=all_members)
            return [item] * max(1, schema.get("minItems", 1))
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        if kind == "boolean":
            return False
        return self._text(name, schema)

    def _text(self, name: str, schema: Schema) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        found = _ID.fullmatch(schema.get("pattern", ""))
        if found is not None:
            return found[1] + _HEX
        if schema.get("pattern", "").startswith(_NUMBER):
            return "+4930123456"
        return _NAMES.get(name, "example")
