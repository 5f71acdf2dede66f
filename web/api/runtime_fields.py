"""The part ``runtime`` of an agent: what its calls are given when they ask (docs/runtime.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, validates_schema

from web.api.fields import Fault, Object, Request
from web.api.loose_fields import Listed, Prose
from web.runtime import bounds

#: Kinds whose agents ask for it; another kind's would be kept and read by nobody.
KINDS = ("websocket", "fleet")
_LIMIT = "max_runtime_bytes"
_TOOLS = 128


class RuntimeRequest(Request):
    """What an agent works with. All of it together has a bound, as compact JSON: the setting ``max_runtime_bytes``."""

    prompt = Prose(maximum=32_768, metadata={"description": "what the agent is told to do"})
    voice = Object(_LIMIT, metadata={"description": "how it speaks; given on as it is"})
    tools = Listed(Object(_LIMIT), _TOOLS, metadata={"description": "what it may use; each given on as it is"})
    variables = Object(
        "max_variables_bytes",
        names=r"[A-Za-z_][A-Za-z0-9_]{0,63}",
        metadata={"description": "defaults: a call's agent_variables go before those of the same name"},
    )
    settings = Object(_LIMIT, metadata={"description": "whatever else it needs; given on as it is"})

    @validates_schema(skip_on_field_errors=True)
    def _fits(self, data: dict[str, Any], **_: Any) -> None:
        most = bounds().max_runtime_bytes
        size = len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
        if size > most:
            raise ValidationError([Fault("too_large", f"must have at most {most} bytes as compact JSON, not {size}")])


def runtime_fault(kind: str, sent: Mapping[str, Any]) -> Fault | None:
    """What speaks against the part in an agent of that kind."""
    if kind in KINDS or "runtime" not in sent:
        return None
    return Fault("not_allowed", f"belongs to no agent of kind {kind}; leave it out")
