"""What a carrier's SIP phrase speaks of. Codes merge what differs: 503 is a fault, a full trunk or an empty account."""

from __future__ import annotations

import re
from enum import StrEnum


class Text(StrEnum):
    """The subjects that change the meaning of a code."""

    MONEY = "money"
    IDENTITY = "identity"
    CAPACITY = "capacity"
    BLOCKED = "blocked"


# First match wins: "credit limit exceeded" is about money, not about channels.
_SUBJECTS: tuple[tuple[Text, re.Pattern[str]], ...] = (
    (Text.MONEY, re.compile(r"\b(credit|balance|funds?|daily|monthly|spend(ing)?|payment|prepaid)\b", re.I)),
    (Text.IDENTITY, re.compile(r"\b(identity|stir|shaken|passport|attestation|certificate)\b", re.I)),
    (
        Text.CAPACITY,
        re.compile(
            r"\bcps\b|calls? per sec|\b(call|calling|request)s? rate|rate.?limit|too many|concurren|simultaneous"
            r"|\b(channel|session|trunk|port|circuit|capacity|call|line)s? (limit|exceeded|full)"
            r"|\bmax(imum)?\.? (\w+ )?(channel|session|call|port|line)s?"
            r"|\bno (\w+[ /])?(circuit|channel|trunk|port|line)s?\b"
            r"|out of (channels|capacity|ports|lines)|congest|overload|throttl|\blimit (exceeded|reached)|over limit",
            re.I,
        ),
    ),
    (Text.BLOCKED, re.compile(r"block(ed|ing)?\b|spam|robo.?call|fraud|analytics|do not originate|\bdno\b", re.I)),
)


def subject_of(phrase: str | None) -> Text | None:
    """The subject of a carrier's phrase, None for the usual texts (``Service Unavailable``, ``Decline``)."""
    if not phrase:
        return None
    return next((text for text, pattern in _SUBJECTS if pattern.search(phrase)), None)
