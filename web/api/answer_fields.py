"""The pieces of which the schemas of answers are made: what describes an answer describes it in these."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, fields


class Answer(Schema):
    """An answer may gain members; a client must not mind."""

    class Meta:
        unknown = EXCLUDE


def text(description: str, *, null: bool = False, data_key: str | None = None, **metadata: Any) -> fields.String:
    """A text; ``metadata`` goes into the description as it is."""
    described = {"description": description, **metadata}
    return fields.String(required=True, allow_none=null, data_key=data_key, metadata=described)


def moment(description: str, *, null: bool = False, data_key: str | None = None) -> fields.String:
    """A moment, RFC 3339."""
    return text(description, null=null, data_key=data_key, format="date-time")


def whole(description: str, *, null: bool = False) -> fields.Integer:
    return fields.Integer(required=True, allow_none=null, metadata={"description": description})


def amount(description: str, *, null: bool = False) -> fields.Float:
    return fields.Float(required=True, allow_none=null, metadata={"description": description})


def truth(description: str) -> fields.Boolean:
    return fields.Boolean(required=True, metadata={"description": description})


def texts(description: str, *, null: bool = False, enum: list[str] | None = None) -> fields.List[Any]:
    """A list of texts; ``enum``: what each may be."""
    member = fields.String() if enum is None else fields.String(metadata={"enum": enum})
    return fields.List(member, required=True, allow_none=null, metadata={"description": description})


def part(of: type[Answer], description: str | None = None, *, null: bool = False) -> fields.Nested:
    """An object of its own."""
    return fields.Nested(of, required=True, allow_none=null, metadata=_told(description))


def several(of: type[Answer], description: str | None = None, *, null: bool = False) -> fields.List[Any]:
    """A list of objects."""
    return fields.List(fields.Nested(of), required=True, allow_none=null, metadata=_told(description))


def _told(description: str | None) -> dict[str, str]:
    return {} if description is None else {"description": description}


class PageAnswer(Answer):
    """A page; each kind has its own ``data``."""

    class Meta(Answer.Meta):
        fields = ("data", "has_more", "next_cursor")  # in this order

    has_more = fields.Boolean(required=True)
    next_cursor = text("give it as starting_after; null on the last page", null=True)
