"""What a carrier's own words mean, by its operator's list, which wins over what calls/phrases.py reads out of any text.

Carriers word the same refusal in their own ways, and the same words may mean another thing elsewhere. The list is kept with
the carrier: ``[{"code": 503, "text": "trunk cps", "class": "cps"}, ...]``; ``code`` None: any. The first entry that fits
counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from calls.evidence import End

Entries = Sequence[Mapping[str, object]]


class Means(StrEnum):
    """The classes of such a list."""

    CPS = "cps"  # too many calls per second
    CHANNELS = "channels"  # too many calls at once
    OUTAGE = "outage"  # the carrier is out of order
    BLOCKED = "blocked"  # the network does not want this call
    BAD_NUMBER = "bad_number"


def meaning(entries: Entries, code: int | None, phrase: str | None) -> Means | None:
    """What the list says of this final answer, None: nothing. Case and the number of spaces do not matter; an entry that
    is not of the form above says nothing.
    """
    if code is None or not phrase:
        return None
    said = _plain(phrase)
    for entry in entries:
        text, means = _plain(str(entry.get("text") or "")), entry.get("class")
        if text and text in said and means in frozenset(Means) and entry.get("code") in (None, code):
            return Means(str(means))
    return None


def worded(end: End, entries: Entries) -> End:
    """``end`` with what its carrier's list makes of its words; asked once, when the end is applied.

    Changing the list later does not change what has ended.
    """
    means = meaning(entries, end.sip_code, end.sip_phrase)
    return end if means is None else replace(end, said=means.value)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
