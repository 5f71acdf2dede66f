"""The judge of limits of our own (tenant, campaign, caller-ID pool, agents, switch, everything): what they promise.

Their channels count as a carrier's do. Their rate is a promise about grants: the slots of the calls that were dialed, not
the moments at which the INVITEs reach a carrier. A switch that stands still sends what it was given when it wakes up, and
then one more may arrive in a window. A carrier's own limits are kept from that by resting it, ours are not (docs/budget.md).
"""

from __future__ import annotations

from bisect import bisect_left, insort

from lab.rehearse.clock import SECOND
from lab.rehearse.referee import Broken, Meter

#: us; slots are remembered so long behind the newest. No INVITE is later than that: a switch stands still for seconds here.
KEPT_US = 60 * SECOND
#: Slots looked at before old ones are forgotten.
PRUNE_AT = 8192


class OwnMeter(Meter):
    """A scope of ours. ``jitter_us``: J; in any half-open window of W + J lie at most as many slots as W allows.

    ``at_wire`` counts the INVITEs that ended a window of W with more than that in it; it judges nothing.
    """

    def __init__(self, scope: str, cps: float | None, channels: int | None, *, jitter_us: int) -> None:
        super().__init__(scope, cps, channels)
        self._jitter_us = jitter_us
        self._slots: list[int] = []
        self.at_wire = self.peak_slots = 0

    def sent(self, slot: int, now: int) -> None:
        """A call's INVITE arrived, dialed under a permit for ``slot``. One that left before its slot counts when it left."""
        arrived, most = self._in_window(now), self._rate.at(now)
        self.at_wire += most is not None and arrived > most
        slots, slot = self._slots, min(slot, now)
        if len(slots) > PRUNE_AT:
            del slots[: bisect_left(slots, slots[-1] - KEPT_US)]
        insort(slots, slot)
        allowed = self._rate.at(slot)
        if allowed is None:
            return
        count, at = self._most_around(slot)
        self.peak_slots = max(self.peak_slots, count)
        if count > allowed:
            self.broken.append(Broken(self.scope, "slots granted in a window", count, allowed, at))

    def _most_around(self, slot: int) -> tuple[int, int]:
        """Of all windows with ``slot`` in them: the most slots, and the last slot of that window."""
        slots, span = self._slots, self.window_us + self._jitter_us
        most, at = 0, slot
        first = bisect_left(slots, slot - span + 1)
        last = bisect_left(slots, slot + 1) - 1
        while last < len(slots) and slots[last] < slot + span:
            while slots[first] <= slots[last] - span:
                first += 1
            if last - first + 1 > most:
                most, at = last - first + 1, slots[last]
            last += 1
        return most, at
