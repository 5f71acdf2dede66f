"""How often a call's voice may begin anew, and how long the switch may refuse it."""

from __future__ import annotations

from controller.relay.fair import Pace

#: Beginnings: so many at once, and a second in the long run. Each costs the switch 29 kB until the hangup.
BURST, RATE = 30, 0.5
#: s; between two tries while the switch is not there, or refuses; and then at most.
AGAIN_S, _LATER_S = 0.1, 2.0
#: s; then it is asked whether the channel is there.
REFUSED_S = 3.0


class Patience:
    """Times are of any one clock."""

    def __init__(self) -> None:
        self._pace = Pace(RATE, BURST)
        self._tired = False
        self._told = False
        self._times = 0  # it refused, in a row
        self._since = 0.0

    def allows(self, now: float) -> bool:
        """Whether the switch may be asked now; it counts as asked."""
        allowed = self._pace.allows(now)
        self._tired = self._tired or not allowed
        return allowed

    def tires(self) -> bool:
        """It was not, for the first time."""
        first, self._told = self._tired and not self._told, self._tired
        return first

    def taken(self) -> None:
        """It has the voice."""
        self._times = 0

    def refused(self, now: float) -> float:
        """It will not have it. Returns s until the next try."""
        if self._times == 0:
            self._since = now
        self._times += 1
        return min(AGAIN_S * self._times, _LATER_S)

    def over(self, now: float) -> bool:
        """Whether it has refused for too long."""
        return self._times > 0 and now >= self._since + REFUSED_S
