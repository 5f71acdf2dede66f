"""How long calls keep their channel, told from those that have ended of late and those that are still on the line.

Only the ended ones would tell too little: long calls are the ones that have not ended yet. So the share of calls that are
still there after t seconds is estimated from both (Kaplan and Meier, with late entry for what began before the window), and
its integral is the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from budget.explain_eta import Hold


class Span(NamedTuple):
    """A call on a channel, in s since it took it: seen from ``seen_s`` on, until ``until_s``; ``over``: it ended then."""

    seen_s: float
    until_s: float
    over: bool


def hold_of(spans: Iterable[Span]) -> Hold | None:
    """None when no call has ended."""
    known = sorted(
        (span for span in spans if span.until_s > span.seen_s or span.over), key=lambda span: (span.until_s, not span.over)
    )
    ended = sum(span.over for span in known)
    if not ended:
        return None
    entries = sorted(span.seen_s for span in known)
    entered = 0
    share, at, mean, square = 1.0, 0.0, 0.0, 0.0
    for left, span in enumerate(known):
        mean += share * (span.until_s - at)
        square += share * (span.until_s**2 - at**2)
        at = span.until_s
        while entered < len(entries) and entries[entered] < at:
            entered += 1
        if span.over:
            share *= 1 - 1 / max(entered - left, 1)
    # Nobody was longer there; what remains then is taken for the time per end of all.
    rest = sum(span.until_s - span.seen_s for span in known) / ended
    mean, square = mean + share * rest, square + share * 2 * (at * rest + rest**2)
    return Hold(mean, math.sqrt(max(0.0, square - mean**2)), ended)
