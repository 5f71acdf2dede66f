"""Schemas of an account's limits."""

from __future__ import annotations

from calls.caps import LIMITS
from web.api.answer_fields import Answer, amount, several, text


class LimitAnswer(Answer):
    """One limit."""

    scope = text("what it limits", enum=["tenant", "campaign", "request_rate", "queue", "cap"])
    name = text("of your account, or of the campaign")
    unit = text(
        "what is counted; spend in millionths of the currency of this system's prices",
        enum=["channels", "calls_per_s", "requests_per_s", "queued_calls", *LIMITS],
    )
    max = amount("how much is allowed; null: no limit of yours", null=True)
    current = amount("how much there is; null: not known", null=True)


class LimitList(Answer):
    """Every limit of the account."""

    data = several(LimitAnswer)
