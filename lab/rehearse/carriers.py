"""A carrier of a rehearsal: what it makes of calls, and the stand-in for whoever watches its health."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from budget import health
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope, interval_us
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.desk import Attempt
from lab.rehearse.plan import Outcome, Trunk
from lab.rehearse.referee import Meter, whole_calls
from lab.rehearse.wire import Wire
from settings import Settings

#: Refusals in a row after which nothing more is sent, us until it is tried again, and with how many calls.
REFUSALS, PAUSE_US, PROBES = 10, 5 * SECOND, 3
PROBE_US = SECOND // 2
#: us; probes that have not said anything by then are sent again.
RETRY_US = 40 * SECOND
#: us; between a digest trunk's two INVITEs.
CHALLENGE_US = 25_000


def limits_of(trunk: Trunk, settings: Settings) -> CarrierSpec:
    """The carrier's numbers as the budget wants them."""
    jitter = settings.jitter_for(None)
    return CarrierSpec(
        ScopeLimits(
            carrier_scope(trunk.id),
            trunk.channels,
            interval_us(trunk.cps, trunk.window_ms, jitter, trunk.invite_cost),
            linger_us=trunk.linger_ms * 1000,
            rest_us=int((trunk.window_ms + jitter) * 1000),
        ),
        (f"account:{trunk.account}",) if trunk.account else (),
        trunk.urgent_share,
        trunk.bulk_floor,
    )


@dataclass(slots=True)
class Seen:
    """Sums over the seconds in which a carrier was wanted: shares of its CPS, of its channels, and of whichever of its
    limits was nearest (its account's too, and of CPS what the pacing allows).
    """

    wanted_s: int = 0
    cps: float = 0.0
    channels: float = 0.0
    best: float = 0.0


class Carrier:
    """Takes calls and ends them; counts what it is sent."""

    def __init__(self, trunk: Trunk, settings: Settings, clock: Clock, meters: tuple[Meter, ...], seed: int) -> None:
        self.plan = self.trunk = trunk
        self.id, self.linger_us = trunk.id, trunk.linger_ms * 1000
        self._settings, self._clock = settings, clock
        self._random = Random(f"carrier {seed} {trunk.name}")
        #: Its own first, then its account's.
        self.meters = meters
        self.again_us = CHALLENGE_US if trunk.invite_cost > 1 else 0
        self.out = False
        self.state: health.State = "ok"
        self.troubled_until = 0
        self._refusals = self._good = 0
        self.seen = Seen()
        #: INVITEs and channel-us of its account at the last look.
        self.account_before = (0, 0)
        #: What the pacing allows of its CPS: W / (W + J), and whole calls only.
        limit, window_us = whole_calls(trunk.cps, trunk.window_ms)
        paced = limits_of(trunk, settings).limits.interval_us or window_us
        self.ceiling = trunk.invite_cost * window_us / paced / max(1, limit or 1)
        self.refused = self.stops = 0

    def takes(self, one: Attempt) -> tuple[Outcome, int]:
        """What becomes of the call, and us from its INVITE to its end."""
        if self.out:
            return "refused", int(self.trunk.behaviour.refusal_s * 1e6)
        return self.trunk.behaviour.draw(self._random)

    def changed(self, factor: float) -> CarrierSpec:
        """From now on ``factor`` of the planned limits; what the budget is to be told."""
        plan = self.plan
        self.trunk = replace(plan, cps=max(1.0, plan.cps * factor), channels=max(1, int(plan.channels * factor)))
        settle = int((plan.window_ms + self._settings.jitter_ms) * 1000)
        self.meters[0].change(self.trunk.cps, self.trunk.channels, self._clock.now, settle)
        self.troubled_until = self._clock.now + 3 * SECOND
        return limits_of(self.trunk, self._settings)

    def showed(self, outcome: str, wire: Wire) -> None:
        """A call has ended: refusals in a row stop the carrier, counted probes bring it back."""
        if outcome != "refused":
            self._refusals = 0
            if self.state == "probing":
                self._good += 1
                if self._good >= PROBES:
                    self._set(wire, "ok", "probes came through")
            return
        self.refused += 1
        self._refusals += 1
        if (self.state == "ok" and self._refusals >= REFUSALS) or self.state == "probing":
            self.stops += 1
            self._set(wire, "stopped", f"{self._refusals} calls refused in a row")
            self._clock.after(PAUSE_US, self._probe, wire)

    def _probe(self, wire: Wire) -> None:
        # Also while it is being probed: the controller that had its probes may be gone.
        if self.state != "ok":
            self._good = 0
            self._set(wire, "probing", "tried again")
            self._clock.after(RETRY_US, self._probe, wire)

    def _set(self, wire: Wire, state: health.State, why: str) -> None:
        self.state = state
        self.troubled_until = self._clock.now + 3 * SECOND
        health.set_health(wire, self.id, state, why, probes=PROBES, probe_interval_us=PROBE_US)

    def tell_again(self, wire: Wire) -> None:
        """After a rebuild: what Redis has forgotten of its health."""
        if self.state != "ok":
            health.set_health(wire, self.id, self.state, "as before", probes=PROBES, probe_interval_us=PROBE_US)

    @property
    def sound(self) -> bool:
        """Nothing is the matter with it."""
        return self.state == "ok" and not self.out and self._clock.now >= self.troubled_until
