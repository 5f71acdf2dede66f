"""What /v1/suppressions takes and answers."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from calls.ids import call_ref, suppression_ref
from calls.numbers import NumberError, parse_suppressed
from store.snapshot import stamp
from store.suppressions import IMPORT_MOST, Suppression
from web.api.answer_fields import Answer, PageAnswer, moment, several, text, truth, whole
from web.api.fields import Choice, Coded, Moment, Reference, Request, Text, fault
from web.api.requests import PageQuery

ORIGINS = ("api", "import", "operator", "agent", "keypad")
_NUMBER = "+4930123456"


class Suppressed(Coded, fields.String):
    """A number in E.164; separators in it are left out."""

    expected = "a string"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("type")
        try:
            return parse_suppressed(value)
        except NumberError as error:
            raise fault(error.code, error.detail) from None


class Numbers(Coded, fields.List[Any]):
    """A list of 1 to :data:`IMPORT_MOST` members, whatever they are: each is judged by itself."""

    expected = f"a list of 1 to {IMPORT_MOST} numbers"

    def __init__(self, **more: Any):
        # No type of its own: what is no number is left out and told, and the rest is taken.
        told = {"example": _NUMBER, "description": "a number; what is none is left out, and told in errors"}
        super().__init__(fields.Raw(metadata=told), metadata={"minItems": 1, "maxItems": IMPORT_MOST}, **more)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("type")
        if not 1 <= len(value) <= IMPORT_MOST:
            raise fault("bad_length", f"must be {self.expected}, not {len(value)}: send more in parts")
        return value


def _source(**more: Any) -> Text:
    return Text(
        maximum=200, metadata={"description": "where the wish was told, or is written", "example": "hotline"}, **more
    )


class SuppressRequest(Request):
    """One number that is not called any more."""

    number = Suppressed(
        required=True, metadata={"description": "E.164; also one that could not be dialed anyway", "example": _NUMBER}
    )
    source = _source(required=True)
    obtained_at = Moment(metadata={"description": "when it was told; else now"})
    list_name = Text(maximum=100, metadata={"description": "of the list that it is on"})
    note = Text(maximum=500, metadata={"description": "yours"})


class NewSuppressionRequest(SuppressRequest):
    """One number that you do not call any more."""

    call_id = Reference("call", metadata={"description": "the call in which it was told"})


class ImportRequest(Request):
    """A list of numbers, with where it comes from."""

    numbers = Numbers(required=True)
    source = _source(required=True)
    obtained_at = Moment(required=True, metadata={"description": "when the list was drawn"})
    list_name = Text(maximum=100, metadata={"description": "its name or edition", "example": "2026-03"})
    note = Text(maximum=500, metadata={"description": "yours"})


class SuppressionsQuery(PageQuery):
    """Which entries."""

    starting_after = Reference("suppression", metadata={"description": "next_cursor of the page before"})
    number = Suppressed(metadata={"description": "only of this number; + is written %2B in an address"})
    lifted = Choice(("exclude", "include"), metadata={"default": "exclude", "description": "entries that hold no more"})


class LiftQuery(Request):
    """Why it holds no more."""

    reason = Text(maximum=500, required=True, metadata={"description": "why the number may be called again; it is kept"})


class SuppressionAnswer(Answer):
    """A number that is not called, and why."""

    id = text("the entry", example="suppression_0190b2c3d4e57f60718293a4b5c6d7e8")
    number = text("E.164", example=_NUMBER)
    origin = text("how it came in: agent and keypad in a call", enum=list(ORIGINS))
    source = text("where the wish was told, or is written")
    obtained_at = moment("when it was told, or the list was drawn")
    list_name = text("of the list that it is on", null=True)
    note = text("yours", null=True)
    call_id = text("the call in which it was told", null=True)
    created_by = text("who added it")
    created_at = moment("from then on the number is not called")
    lifted_at = moment("set: it holds no more since then", null=True)
    lifted_by = text("who lifted it", null=True)
    lifted_reason = text("why", null=True)


class AddedSuppressionAnswer(SuppressionAnswer):
    """The entry, and what came of it at once."""

    new = truth("false: it was there already, and is as it was")
    calls_ended = whole("calls to the number that were canceled, or are being hung up")


class SuppressionPage(PageAnswer):
    """A page of entries, newest first."""

    data = several(SuppressionAnswer)


class BadRowAnswer(Answer):
    """A member of the list that is no number; it was left out."""

    pointer = text("RFC 6901 pointer into the body", example="/numbers/17")
    code = text("stable code for programs")
    detail = text("what is wrong and what would be right")


class ImportAnswer(Answer):
    """What came of a list. ``new``, ``known`` and ``refused`` together are its length."""

    new = whole("numbers that were added")
    known = whole("numbers that were there already, or were named twice")
    refused = whole("members that are no number, and were left out")
    errors = several(BadRowAnswer, "of each that was left out")
    calls_ended = whole("calls that were canceled, or are being hung up, so far; the others follow within seconds")


def show(one: Suppression) -> dict[str, Any]:
    """The entry as the API shows it."""
    return {
        "id": suppression_ref(one.id),
        "number": one.number,
        "origin": one.origin,
        "source": one.source,
        "obtained_at": stamp(one.obtained_at),
        "list_name": one.list_name,
        "note": one.note,
        "call_id": None if one.call_id is None else call_ref(one.call_id),
        "created_by": one.created_by,
        "created_at": stamp(one.created_at),
        "lifted_at": stamp(one.lifted_at),
        "lifted_by": one.lifted_by,
        "lifted_reason": one.lifted_reason,
    }
