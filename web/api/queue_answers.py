"""Schemas of where a call stands in the queue."""

from __future__ import annotations

from marshmallow import fields

from store.place import EXACT
from web.api.answer_fields import Answer, amount, moment, part, text
from web.api.queue_words import NAMES, SCOPES


class EtaAnswer(Answer):
    """Half of such calls are dialed by ``p50``, nine in ten by ``p90``."""

    p50 = amount("s from as_of")
    p90 = amount("s from as_of")


class BlockedAnswer(Answer):
    """The limit that holds the call."""

    scope = text("whose limit", enum=list(SCOPES))
    name = text("which limit", enum=list(NAMES))
    limit = amount("how much is allowed; null: no number, or not yours", null=True)
    current = amount("how much there is", null=True)
    detail = text("the same in words")


class QueueAnswer(Answer):
    """A queued call's place."""

    position = fields.Raw(
        required=True,
        allow_none=True,
        metadata={
            "description": "1: the next of its lane; 0: it is being dialed; exact to 1000; null: not in line",
            "oneOf": [{"type": "integer", "minimum": 0, "maximum": EXACT}, {"const": f"{EXACT}+"}, {"type": "null"}],
        },
    )
    eta_s = part(EtaAnswer, "null: it cannot be told", null=True)
    blocked_by = part(BlockedAnswer, "null: nothing", null=True)
    due_at = moment("not dialed before")
    as_of = moment("when this was so")
