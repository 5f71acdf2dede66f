"""Where an agent's calls may be transferred: an allow-list, because a model may choose the number. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Of an entry: a whole E.164 number, or the beginning of one and a star.
ENTRY = re.compile(r"[+][1-9][0-9]{0,14}[*]|[+][1-9][0-9]{5,14}")
ENTRIES_MOST = 100


def allowed(number: str, entries: Iterable[str]) -> bool:
    """Whether ``number`` (E.164) is one of the entries or begins as one of them; no entries: nothing is allowed."""
    return any(number.startswith(one[:-1]) if one.endswith("*") else number == one for one in entries)
