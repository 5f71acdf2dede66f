"""What a carrier's SIP phrase speaks of. Codes merge what differs: 503 is a fault, a full trunk or an empty account."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal


class Text(StrEnum):
    """The subjects that change the meaning of a code."""

    MONEY = "money"
    IDENTITY = "identity"
    CAPACITY = "capacity"
    BLOCKED = "blocked"


# First match wins: "credit limit exceeded" is about money, not about channels. Words may be joined by _ or - instead of a
# space ("cps_limit_reached"). docs/causes.md lists whose words these are.
_SUBJECTS: tuple[tuple[Text, re.Pattern[str]], ...] = (
    (
        Text.MONEY,
        re.compile(
            r"\b(credits?|balance|funds?|daily|monthly|spend(ing)?|payment|prepaid|billing|tariff|cost|rate per minute)\b"
            r"|\baccount (is )?(blocked|suspended|disabled)\b",
            re.I,
        ),
    ),
    (Text.IDENTITY, re.compile(r"\b(identity|stir|shaken|passport|attestation|certificate)\b", re.I)),
    (
        Text.CAPACITY,
        re.compile(
            r"(?<![a-z])(cps|dps)(?![a-z])|(calls?|dials?)[ _-]per[ _-]sec|\b(call|calling|request|creation)s? rate"
            r"|rate.?limit|too many|concurren|simultaneous"
            r"|(?<![a-z])(channel|session|trunk|port|circuit|capacity|call|line)s?[ _-](count[ _-])?(limit|exceeded|full)"
            r"|\bmax(imum)?\.? (\w+ )?(channel|session|call|port|line)s?"
            r"|\bno (\w+[ /])?(circuit|channel|trunk|port|line)s?\b|all (circuits|trunks|lines|channels) (are )?busy"
            r"|out of (channels|capacity|ports|lines)|congest|overload|throttl|\blimit (exceeded|reached)|over limit",
            re.I,
        ),
    ),
    (
        Text.BLOCKED,
        re.compile(r"block(ed|ing)?\b|spam|robo.?call|fraud|analytics|do[ -]not[ -](originate|call)|\bdn[oc]\b", re.I),
    ),
)


def subject_of(phrase: str | None) -> Text | None:
    """The subject of a carrier's phrase, None for the usual texts (``Service Unavailable``, ``Decline``)."""
    if not phrase:
        return None
    return next((text for text, pattern in _SUBJECTS if pattern.search(phrase)), None)


#: A rate, in the carriers' own words; asked before counts: "maximum calls per second" is a rate, whatever else it names.
_RATE = re.compile(r"(?<![a-z])(cps|dps)(?![a-z])|per[ _-]?sec|\brate|too many requests|throttl|\bburst", re.I)
#: Calls at once. Telnyx says D1, D2, D3 and D22 for the channels of its accounts, profiles and connections.
_COUNT = re.compile(
    r"concurren|simultaneous|(?<![a-z])(channel|session|trunk|port|circuit|capacit|line)|\bmax(imum)?\.? (\w+ )?calls?\b"
    r"|\bcalls?[ _-](limit|exceeded|full)|\bD(1|2|3|22)\b",
    re.I,
)
#: Q.850's own words for the same: 34 and 44 no circuit or channel, 42 switching equipment congested.
_COUNT_CAUSES = frozenset({"NORMAL_CIRCUIT_CONGESTION", "REQUESTED_CHAN_UNAVAIL"})


def capacity_of(phrase: str | None, cause: str = "", said: str | None = None) -> Literal["cps", "channels"]:
    """What of a full trunk is full, for an end that is ``carrier_capacity``: its rate, or how many calls it holds at once.

    ``said``: what the carrier's own list makes of the phrase (calls/rejects.py), which settles it. What tells neither counts
    as the rate: lowering that one also lets fewer calls be up at once.
    """
    if said in ("cps", "channels"):
        return "cps" if said == "cps" else "channels"
    if phrase and _RATE.search(phrase):
        return "cps"
    counts = cause in _COUNT_CAUSES or (phrase is not None and _COUNT.search(phrase) is not None)
    return "channels" if counts else "cps"
