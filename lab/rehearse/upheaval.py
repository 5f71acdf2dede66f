"""What goes wrong in a rehearsal: crashes, wipes, outages, changed limits; the rebuild, in the order of jobs/rebuild.py."""

from __future__ import annotations

from collections.abc import Callable

from budget import epoch, leases, permits, scopes
from budget.scopes import CarrierSpec, ScopeLimits, carrier_scope
from lab.rehearse.carriers import limits_of
from lab.rehearse.clock import BEGIN_US, SECOND, Clock
from lab.rehearse.desk import Attempt, Desk, State
from lab.rehearse.floor import Floor
from lab.rehearse.ledger import Ledger
from lab.rehearse.plan import Fault, Plan
from lab.rehearse.wire import Wire
from settings import Settings

#: us; so long after a fault nobody is expected to be at a limit.
TROUBLE_US = 3 * SECOND


class Upheaval:
    """Makes the plan's faults happen. ``calm_at``: from then on nothing is the matter."""

    def __init__(
        self, plan: Plan, settings: Settings, clock: Clock, wire: Wire, desk: Desk, floor: Floor, ledger: Ledger,
        caps: list[ScopeLimits],
    ) -> None:  # fmt: skip
        self._settings, self._clock, self._wire = settings, clock, wire
        self._desk, self._floor, self._ledger, self._caps = desk, floor, ledger, caps
        self._by_name = {carrier.trunk.name: carrier for carrier in floor.carriers.values()}
        self.calm_at = 0
        self.happened: list[tuple[int, int, str]] = []
        acts = self.acts()
        for fault in plan.faults:
            clock.at(BEGIN_US + fault.at_us, acts[fault.kind], fault)

    def acts(self) -> dict[str, Callable[[Fault], None]]:
        """What each kind of fault does."""
        return {"crash": self._crash, "wipe": self._wipe, "outage": self._outage, "limits": self._limits}

    def _note(self, fault: Fault, text: str) -> None:
        now = self._clock.now
        self.happened.append((now - BEGIN_US, fault.for_us, text))
        self._ledger.happened(text)
        if fault.kind in ("crash", "wipe"):
            self.calm_at = max(self.calm_at, now + fault.for_us + TROUBLE_US)

    def _crash(self, fault: Fault) -> None:
        if not self._floor.sites[fault.subject].up:
            return
        self._note(fault, f"crash {fault.subject}")
        self._floor.crash(fault.subject)
        self._clock.after(fault.for_us, lambda _: self._floor.take_over(fault.subject))

    def _outage(self, fault: Fault) -> None:
        carrier = self._by_name[fault.subject]
        self._note(fault, f"outage {fault.subject}")
        carrier.out = True
        carrier.troubled_until = self._clock.now + fault.for_us + TROUBLE_US

        def over(_: object) -> None:
            carrier.out = False

        self._clock.after(fault.for_us, over)

    def _limits(self, fault: Fault) -> None:
        carrier = self._by_name[fault.subject]
        self._note(fault, f"limits {fault.subject} x{fault.factor:g}")
        scopes.set_carriers(self._wire, [carrier.changed(fault.factor)])

        def back(_: object) -> None:
            scopes.set_carriers(self._wire, [carrier.changed(1.0)])

        self._clock.after(fault.for_us, back)

    def _wipe(self, fault: Fault) -> None:
        self._note(fault, "wipe")
        self._wire.wipe()
        self._floor.ready = False
        self._clock.after(fault.for_us, self._rebuild)

    def limits(self) -> list[CarrierSpec]:
        """Every carrier's numbers as they are now."""
        return [limits_of(carrier.trunk, self._settings) for carrier in self._floor.carriers.values()]

    def open(self) -> None:
        """The first epoch, with nothing to rebuild."""
        marks = epoch.marks(self._wire)
        epoch.begin(self._wire, marks, self._floor.epoch)
        scopes.set_carriers(self._wire, self.limits())
        scopes.set_scopes(self._wire, self._caps)
        epoch.open_epoch(self._wire, self._floor.epoch, "rehearsal", [])
        self._desk.state_lanes()

    def _rebuild(self, _: object) -> None:
        now, floor, wire = self._clock.now, self._floor, self._wire
        marks = epoch.marks(wire)
        # From here on claims of the old epoch are refused; those before it count.
        floor.epoch, floor.epoch_at = floor.epoch + 1, now
        epoch.begin(wire, marks, floor.epoch)
        epoch.wipe(wire, floor.epoch)
        wire.set_clock()
        scopes.set_carriers(wire, self.limits())
        scopes.set_scopes(wire, self._caps)
        self._bring_back()
        for until, carrier_id, attempt_id, fence in floor.linger:
            if until > now:
                permits.linger(wire, carrier_id, attempt_id, fence, until - now)
        holds = [(carrier_scope(c.id), self._hold_us(c.trunk.window_ms)) for c in floor.carriers.values()]
        holds += [(one.scope, self._hold_us(1000)) for one in self._caps]
        epoch.open_epoch(wire, floor.epoch, "rehearsal", holds)
        floor.ready = True
        for carrier in floor.carriers.values():
            carrier.tell_again(wire)
        self._desk.state_lanes()
        self._desk.push_again()

    def _bring_back(self) -> None:
        """Live calls get their leases again; whatever was not claimed in time goes back into its lane."""
        for one in list(self._desk.attempts.values()):
            if one.state in (State.CLAIMED, State.OVER) or (one.state == State.GRANTED and self._floor.in_time(one)):
                self._adopt(one)
            else:
                one.state = State.LANED
        for site in self._floor.sites.values():
            site.granted = {k: one for k, one in site.granted.items() if one.state == State.GRANTED}

    def _adopt(self, one: Attempt) -> None:
        assert one.carrier is not None
        with self._wire.posted(expected=1):
            lease = leases.Lease(one.id, one.fence, one.carrier, one.switch)
            leases.adopt(self._wire, self._settings, lease, one.line.spec.name)

    def _hold_us(self, window_ms: int) -> int:
        s = self._settings
        return int((window_ms + s.jitter_for(None) + s.slot_horizon_ms + s.slot_grace_ms) * 1000)
