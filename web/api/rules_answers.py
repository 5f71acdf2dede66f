"""Schemas of what is answered about the rules: caller ids, and what a dry run would have done."""

from __future__ import annotations

from marshmallow import fields

from web.api.answers import Answer, FieldErrorAnswer, _text, _time, _truth, _whole


class CallerIdAnswer(Answer):
    """A number that your calls may show."""

    id = _text("the number, E.164; of a block what its numbers begin with", example="+14155550100")
    block = _truth("whether it stands for every number that begins so")
    how = _text(
        "verified: proven to be yours; assigned: given to you; inbound: you are called on it",
        enum=["verified", "assigned", "inbound"],
    )
    reference = _text("where the proof is", null=True)
    created_at = _time("since when")


class CallerIdPage(Answer):
    """A page of numbers that your calls may show, in their order."""

    data = fields.List(fields.Nested(CallerIdAnswer), required=True)
    has_more = fields.Boolean(required=True)
    next_cursor = _text("give it as starting_after; null on the last page", null=True)


class FoundAnswer(Answer):
    """One thing that forbids a dial now."""

    rule = _text("which rule: docs/rules.md")
    code = _text("stable code for programs")
    detail = _text("what is wrong")
    until = _time("when it has passed; null: never", null=True)


class QueueRoomAnswer(Answer):
    """Your queue."""

    queued = _whole("calls that you have queued")
    max = _whole("calls that you may have queued")


class DryRunAnswer(Answer):
    """What would happen to a call. Nothing was kept, and nothing is dialed."""

    dry_run = _truth("always true")
    accepted = _truth("whether it would be accepted now")
    errors = fields.List(fields.Nested(FieldErrorAnswer), required=True, metadata={"description": "why it would not be"})
    findings = fields.List(
        fields.Nested(FoundAnswer), required=True, metadata={"description": "what forbids a dial at not_before, or now"}
    )
    first_dial_at = _time("first moment at which the rules let it be dialed; null: there is none", null=True)
    dial_until = _time("a dial must begin by then, else it waits for the next opening; null: nothing closes", null=True)
    expires_at = _time("not dialed after")
    route = _text("how it would leave; null: no carrier leads to the number", null=True)
    country = _text("of the number", null=True)
    zones = fields.List(fields.String(), required=True, metadata={"description": "time zones in which the phone may be"})
    zone_by = _text("whose word that is", enum=["given", "number", "default", "unknown"])
    local_times = fields.List(fields.String(), required=True, metadata={"description": "what the clocks there show"})
    hours = _text(
        "country: the hours of the callee's country hold; none: your operator attests that none need to",
        enum=["country", "none"],
    )
    consent = fields.Dict(
        required=True, allow_none=True, metadata={"description": "by: call or tenant; basis, at, reference; null: none"}
    )
    caller_id = _text(
        "how the number may be shown; null: it may not", null=True, enum=["verified", "assigned", "inbound", None]
    )
    ruleset = _text("version of the rules and their data")
    queue = fields.Nested(QueueRoomAnswer, required=True)
