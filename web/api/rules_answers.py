"""Schemas of what is answered about the rules: caller ids, and what a dry run would have done."""

from __future__ import annotations

from marshmallow import fields

from web.api.answer_fields import Answer, PageAnswer, moment, part, several, text, texts, truth, whole
from web.api.problem_answers import FieldErrorAnswer


class CallerIdAnswer(Answer):
    """A number that your calls may show."""

    id = text("the number, E.164; of a block what its numbers begin with", example="+14155550100")
    block = truth("whether it stands for every number that begins so")
    how = text(
        "verified: proven to be yours; assigned: given to you; inbound: you are called on it",
        enum=["verified", "assigned", "inbound"],
    )
    reference = text("where the proof is", null=True)
    created_at = moment("since when")


class CallerIdPage(PageAnswer):
    """A page of numbers that your calls may show, in their order."""

    data = several(CallerIdAnswer)


class FoundAnswer(Answer):
    """One thing that forbids a dial now."""

    rule = text("which rule: docs/rules.md")
    code = text("stable code for programs")
    detail = text("what is wrong")
    until = moment("when it has passed; null: never", null=True)


class QueueRoomAnswer(Answer):
    """Your queue."""

    queued = whole("calls that you have queued")
    max = whole("calls that you may have queued")


class DryRunAnswer(Answer):
    """What would happen to a call. Nothing was kept, and nothing is dialed."""

    dry_run = truth("always true")
    accepted = truth("whether it would be accepted now")
    errors = several(FieldErrorAnswer, "why it would not be")
    findings = several(FoundAnswer, "what forbids a dial at not_before, or now")
    first_dial_at = moment("first moment at which the rules let it be dialed; null: there is none", null=True)
    dial_until = moment("a dial must begin by then, else it waits for the next opening; null: nothing closes", null=True)
    expires_at = moment("not dialed after")
    route = text("how it would leave; null: no carrier leads to the number", null=True)
    country = text("of the number", null=True)
    zones = texts("time zones in which the phone may be")
    zone_by = text("whose word that is", enum=["given", "number", "default", "unknown"])
    local_times = texts("what the clocks there show")
    hours = text(
        "country: the hours of the callee's country hold; none: your operator attests that none need to",
        enum=["country", "none"],
    )
    consent = fields.Dict(
        required=True, allow_none=True, metadata={"description": "by: call or tenant; basis, at, reference; null: none"}
    )
    caller_id = text(
        "how the number may be shown; null: it may not", null=True, enum=["verified", "assigned", "inbound", None]
    )
    ruleset = text("version of the rules and their data")
    queue = part(QueueRoomAnswer)
