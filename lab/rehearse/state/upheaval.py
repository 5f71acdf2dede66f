"""What else goes wrong in a rehearsal of state: switches die, links break; feeder, watchdog or Postgres are away."""

from __future__ import annotations

from collections.abc import Callable

from budget import leases
from calls.evidence import State
from jobs.rebuild import counts_s
from lab.rehearse.clock import SECOND
from lab.rehearse.desk import State as Place
from lab.rehearse.plan import Fault
from lab.rehearse.state.desk import micros
from lab.rehearse.state.floor import StateFloor
from lab.rehearse.upheaval import Upheaval

#: s; who ended longer ago lingers nowhere any more.
LINGERS_S = 310


class StateUpheaval(Upheaval):
    """The faults of the budget's rehearsal, and those of call state."""

    _floor: StateFloor

    def acts(self) -> dict[str, Callable[[Fault], None]]:
        more = {
            "switch": self._switch, "link": self._link, "feeder": self._feeder, "watchdog": self._watchdog,
            "postgres": self._postgres,
        }  # fmt: skip
        return {**super().acts(), **more}

    def _switch(self, fault: Fault) -> None:
        self._note(fault, f"switch {fault.subject} dies")
        switch = self._floor.switches[fault.subject]
        if not switch.up:
            return
        switch.crash()

        def again(_: object) -> None:
            switch.restart()
            self._up_again(fault.subject)

        self._clock.after(fault.for_us, again)

    def _link(self, fault: Fault) -> None:
        self._note(fault, f"link {fault.subject}")
        controller = self._floor.controllers[fault.subject]
        controller.cut_until = max(controller.cut_until, self._clock.now + fault.for_us)
        self._clock.after(fault.for_us + 1, lambda _: self._up_again(fault.subject))

    def _up_again(self, name: str) -> None:
        """As Controller._on_up: what the lost connection's socket still held may leave now."""
        controller = self._floor.controllers[name]
        if controller.mind is None or not controller.linked:
            return
        controller.settle()
        self._floor.rounds[name].now_please()
        self._floor.rounds[name].notify()

    def _feeder(self, fault: Fault) -> None:
        self._note(fault, "feeder")
        desk = self._floor.house.desk
        desk.feeding = False

        def back(_: object) -> None:
            desk.feeding = True

        self._clock.after(fault.for_us, back)

    def _watchdog(self, fault: Fault) -> None:
        self._note(fault, "watchdog")
        house = self._floor.house
        house.watchdog_away = max(house.watchdog_away, self._clock.now + fault.for_us)

    def _postgres(self, fault: Fault) -> None:
        self._note(fault, "postgres")
        house = self._floor.house
        house.books_away = max(house.books_away, self._clock.now + fault.for_us)

    def _bring_back(self) -> None:
        """As jobs/rebuild.py: leases of the live rows, lingers of those that ended, everything queued into its lane."""
        floor, books, desk = self._floor, self._floor.house.books, self._floor.house.desk
        books.epoch = floor.epoch
        for name in floor.sites:
            for row in books.live(name):
                if row.carrier_id is not None and row.fence is not None:
                    lease = leases.Lease(row.id, row.fence, row.carrier_id, name)
                    leases.adopt(self._wire, self._settings, lease, row.lane)
        self._linger()
        for one in list(desk.attempts.values()):
            if books.attempts[one.id].state == State.QUEUED:
                one.state = Place.LANED
            elif one.state == Place.LANED:
                del desk.attempts[one.id]  # it ended while it waited

    def _linger(self) -> None:
        books, now = self._floor.house.books, self._clock.now
        self._floor.linger = []
        for row in books.ended_since(now - LINGERS_S * SECOND):
            if row.carrier_id is None or row.fence is None or row.local or row.ended_at is None:
                continue
            silent = row.ringing_at is None and row.early_at is None and row.answered_at is None and row.sip_code is None
            crashed = row.note == "switch_restarted" or row.evidence == "watchdog"
            lasts = counts_s(self._settings, None, silent=silent, crashed=crashed)
            own = self._floor.carriers[row.carrier_id].linger_us / SECOND
            until = micros(row.ended_at) + int((lasts if silent or crashed else own) * SECOND)
            self._floor.linger.append((until, row.carrier_id, row.id, row.fence))
