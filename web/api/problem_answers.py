"""Schemas of a refusal."""

from __future__ import annotations

from marshmallow import fields

from web.api.answer_fields import Answer, text, whole
from web.api.call_answers import STATUSES


class FieldErrorAnswer(Answer):
    """One fault of one field."""

    pointer = fields.String(metadata={"description": "RFC 6901 pointer into the body"})
    parameter = fields.String(metadata={"description": "name of a query parameter"})
    header = fields.String(metadata={"description": "name of a header"})
    code = text("stable code for programs")
    detail = text("what is wrong and what would be right")


class ReachedLimitAnswer(Answer):
    """The limit that is reached."""

    scope = text("which kind of limit", enum=["request_rate", "queue_full"])
    name = text("whose")
    limit = whole("how much is allowed")
    current = whole("how much there is")


class ProblemAnswer(Answer):
    """RFC 9457 problem."""

    type = text("/v1/docs/errors#<code>: where the code is explained", format="uri-reference")
    title = text("the HTTP status in words")
    status = whole("the HTTP status")
    detail = text("what went wrong and what to do")
    instance = text("path of the request")
    code = text("stable code for programs")
    request_id = text("as in X-Request-Id; leads to the log")
    errors = fields.List(fields.Nested(FieldErrorAnswer))
    retry_after_s = fields.Integer(metadata={"description": "s; as in Retry-After"})
    limit = fields.Nested(ReachedLimitAnswer, metadata={"description": "of a 429"})
    scope = fields.String(metadata={"description": "of a 403 missing_scope: what the key lacks"})
    call_status = fields.String(
        metadata={"description": "of a 409 not_in_progress: where the call is", "enum": list(STATUSES)}
    )
