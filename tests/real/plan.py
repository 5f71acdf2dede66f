"""Which calls are placed, and what each must come to."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import cycle, islice

from tests.contract.ends import ENDINGS

#: Refusals that use up no attempt: the call is tried again until its time is over, and the carrier slowed. They come last.
TRIED_AGAIN = ("cps_limit", "channel_limit", "circuits_busy", "not_acceptable")
#: Calls of each of those.
AGAIN = 4
#: What most calls come to, so that the carriers are not taken for faulty, nor for slow to ring; none of them talks for long.
USUAL = ("answered_hangup", "busy", "instant_hangup", "unavailable", "unknown_number")
#: Where our CANCEL ends it, and where no ring got through to us: (status, sip_code, end_reason).
UNHEARD = ("failed", None, "carrier_silence")
#: Outcomes that end by our CANCEL or not at all; what they come to where no 18x got through.
CANCELED = frozenset({"no_answer", "cancel_crosses", "announcement_only", "trying_only"})

Row = tuple[str, int | None, str]


@dataclass(frozen=True, slots=True)
class Planned:
    """A call to be placed: the outcome at the carrier, and the digits that ask for it."""

    outcome: str
    digits: str


def plan(calls: int, seed: int, outcomes: frozenset[str]) -> tuple[list[Planned], list[Planned]]:
    """(those that are tried once, shuffled; then those that are tried again): `calls` in all, of every one of `outcomes`."""
    again = [name for name in TRIED_AGAIN if name in outcomes]
    last = again * AGAIN
    others = sorted(outcomes - set(again) - set(USUAL))
    each = max(1, calls // (2 * len(outcomes)))
    first = [name for name in others for _ in range(max(1, each // 2) if name == "late_ringing" else each)]
    usual = cycle([name for name in USUAL if name in outcomes])
    first = [*first, *islice(usual, max(0, calls - len(first) - len(last)))]
    random.Random(seed).shuffle(first)
    return [Planned(name, ENDINGS[name].digits) for name in first], [Planned(name, ENDINGS[name].digits) for name in last]


def wanted(outcome: str, *, rang: bool) -> Row:
    """What an attempt comes to; `rang`: an 18x of it got through."""
    if outcome in CANCELED and not rang:
        return UNHEARD
    status, code, reason, _, _ = ENDINGS[outcome].row
    return status, code, reason
