"""Where calls are transferred, and where an agent's may be."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from calls.numbers import parse_destination
from calls.transfers import ENTRIES_MOST, ENTRY
from web.api.fields import Coded, Fault, Reference, Request, Telephone, Text, Whole, fault


class TransferRequest(Request):
    """To whom a call is put through."""

    to = Telephone(parse_destination, metadata={"description": "number to ring", "example": "+442079460000"})
    agent_id = Reference("agent", metadata={"description": "in place of to: another agent of yours, which talks on"})
    ring_timeout_s = Whole(5, 120, metadata={"description": "s; how long it rings there; only with to"})

    @validates_schema(skip_on_field_errors=True)
    def _one(self, data: dict[str, Any], **_: Any) -> None:
        if ("to" in data) == ("agent_id" in data):
            raise ValidationError({"to": [Fault("required", "give either to or agent_id")]})
        if "agent_id" in data and "ring_timeout_s" in data:
            raise ValidationError({"ring_timeout_s": [Fault("not_allowed", "belongs to no transfer to an agent")]})


class Entries(Coded, fields.List[Any]):
    """A list that may be empty: then nothing is allowed."""

    expected = f"a list of at most {ENTRIES_MOST} members"

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("type")
        if len(value) > ENTRIES_MOST:
            raise fault("bad_length", f"must be {self.expected}, not {len(value)}")
        return super()._deserialize(value, *args, **kwargs)


def transfer_list() -> Entries:
    """Numbers, beginnings of numbers with a star behind, and agents."""
    entry = Text(
        maximum=38,
        pattern=ENTRY.pattern,
        remedy="must be an E.164 number such as +442079460000, the beginning of one and a star, such as +4420*, or the id"
        " of an agent of yours",
        metadata={"example": "+4420*"},
    )
    description = "where its calls may be transferred: numbers, beginnings of numbers with a *, agents; else nowhere"
    return Entries(entry, metadata={"maxItems": ENTRIES_MOST, "description": description})
