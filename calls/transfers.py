"""Where an agent's calls may be transferred: an allow-list, because a model may choose the number. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Of an entry: a whole E.164 number, the beginning of one and a star, or an agent's id.
ENTRY = re.compile(r"[+][1-9][0-9]{0,14}[*]|[+][1-9][0-9]{5,14}|agent_[0-9a-f]{32}")
ENTRIES_MOST = 100


def allowed(target: str, entries: Iterable[str]) -> bool:
    """Whether ``target`` (E.164, or an agent's id) is one of the entries or begins as one of them; no entries: nothing is
    allowed.
    """
    return any(target.startswith(one[:-1]) if one.endswith("*") else target == one for one in entries)
