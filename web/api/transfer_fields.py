"""Where calls are transferred, and where an agent's may be."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from calls.numbers import parse_destination
from calls.transfers import ENTRIES_MOST, ENTRY
from web.api.fields import Coded, Request, Telephone, Text, Whole, fault


class TransferRequest(Request):
    """To whom a call is put through."""

    to = Telephone(parse_destination, required=True, metadata={"description": "number to ring", "example": "+442079460000"})
    ring_timeout_s = Whole(5, 120, metadata={"description": "s; how long it rings there"})


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
    """Numbers, and beginnings of numbers with a star behind."""
    entry = Text(
        maximum=17,
        pattern=ENTRY.pattern,
        remedy="must be an E.164 number such as +442079460000, or the beginning of one and a star, such as +4420*",
        metadata={"example": "+4420*"},
    )
    description = "where its calls may be transferred: numbers, or beginnings of numbers with a *; else nowhere"
    return Entries(entry, metadata={"maxItems": ENTRIES_MOST, "description": description})
