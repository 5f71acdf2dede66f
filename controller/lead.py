"""How far ahead this process needs its slots: long enough for RQ's bookkeeping and the claim, and not a millisecond more.

What lies between the permit and the write is work of ours: a slot that comes too soon is burned for everybody, one
that lies further ahead than needed makes an urgent call wait behind it. So it is measured, call by call.
"""

from __future__ import annotations

#: Of the largest time seen, and s on top: the next one may take longer.
SPARE, SPARE_S = 1.25, 0.006
#: How fast a large one is forgotten, per call.
FORGET = 0.06
#: A slot missed says that all of it was too little.
MISSED = 1.5


class LeadMeter:
    """``lead_s`` between ``least_s`` and ``most_s``; begins at the most."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least, self._most = least_s, most_s
        self._seen = most_s

    @property
    def lead_s(self) -> float:
        """s from asking for a permit to the earliest slot that will be made."""
        return min(self._most, max(self._least, self._seen * SPARE + SPARE_S))

    def took(self, seconds: float) -> None:
        """A call was ready to be written ``seconds`` after work on it began."""
        self._seen = max(seconds, self._seen + (seconds - self._seen) * FORGET)

    def missed(self) -> None:
        """A call was not ready at its slot."""
        self._seen = min(self._most, self._seen * MISSED)
