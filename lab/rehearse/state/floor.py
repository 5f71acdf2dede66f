"""The controllers of a rehearsal of state, and the sweep of what was popped and never claimed."""

from __future__ import annotations

from random import Random
from uuid import UUID

from budget import permits
from budget.scopes import carrier_scope
from budget.scripts import PREFIX
from calls.evidence import State
from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import SECOND
from lab.rehearse.desk import Attempt
from lab.rehearse.floor import Floor, Pump
from lab.rehearse.state.controller import Controller
from lab.rehearse.state.desk import RING_S
from lab.rehearse.state.house import House
from lab.rehearse.state.rounds import Rounds
from lab.rehearse.state.switch import Switch
from lab.stories import SHAPES, Story, draw

#: us; a pump whose switch cannot be dialed looks again after this.
UNLINKED_US = 100_000
_FAULT = next(shape for shape in SHAPES if shape.trace == "carrier_fault_503")


class StateFloor(Floor):
    """Pumps as ever; what a permit leads to is a claim, a row, a command to a switch that may not hear it."""

    house: House

    def furnish(self, house: House, seed: int) -> None:
        """A switch and a controller for each site."""
        self.house = house
        self.switches = {name: Switch(name, self._clock, house.witness, seed) for name in self.sites}
        self.controllers = {name: Controller(switch, house, self) for name, switch in self.switches.items()}
        self.rounds = {name: Rounds(controller) for name, controller in self.controllers.items()}
        self._stories = {id_: Random(f"stories {seed} {c.trunk.name}") for id_, c in self.carriers.items()}
        house.call_wanted = self._call_wanted

    def _call_wanted(self, switch: str | None) -> None:
        for name, rounds in self.rounds.items():
            if switch in (name, None):
                rounds.notify()

    def begin(self) -> None:
        for controller, rounds in zip(self.controllers.values(), self.rounds.values(), strict=True):
            rounds.begin(controller.born())
        for site in self.sites.values():
            self._start(site)

    def story(self, carrier: Carrier) -> Story:
        """What a carrier makes of the next call."""
        random = self._stories[carrier.id]
        if carrier.out:
            return Story(_FAULT, None, None, None, int(carrier.trunk.behaviour.refusal_s * SECOND))
        return draw(random, ring_timeout_s=RING_S, pdd_s=self._settings.pdd_s, talk_s=carrier.trunk.behaviour.talk_s)

    def _ask(self, pump: Pump) -> None:
        now = self._clock.now
        if pump.due == now and not self.controllers[pump.site.name].linked:
            self._ask_at(pump, now + UNLINKED_US, paced=False)
        else:
            super()._ask(pump)

    def _under_permit(self, one: Attempt) -> None:
        self.controllers[one.switch].under_permit(one, self._late_us())

    def rest_us(self, carrier: UUID) -> int:
        """us; how long the carrier rests after an INVITE of unknown time."""
        return int((self.carriers[carrier].trunk.window_ms + self._settings.jitter_for(None)) * 1000)

    def release(self, attempt: UUID, fence: int, carrier: UUID | None, linger_us: int | None) -> bool:
        """Gives a lease back; what lingers is remembered, as Postgres would tell it after a rebuild."""
        ours = permits.release(self._wire, attempt, fence, linger_us=linger_us)
        if carrier is not None:
            lasts = self.carriers[carrier].linger_us if linger_us is None else linger_us
            self.linger.append((self._clock.now + lasts, carrier, attempt, fence))
            if len(self.linger) > 10_000:
                self.linger = [entry for entry in self.linger if entry[0] > self._clock.now]
        self._desk.attempts.pop(attempt, None)
        self._wire.post(("UNLINK", f"rq:job:{attempt}"))
        return ours

    def leases(self, switch: str | None) -> list[tuple[UUID, int, UUID, bool]]:
        """(attempt, fence, carrier, whether it waits for its claim) of every lease, or of one switch's."""
        carriers = list(self.carriers)
        held = self._wire.ask(*(("ZRANGE", f"{PREFIX}held:{carrier_scope(c)}", 0, -1) for c in carriers))
        listed = [(c, raw.decode()) for c, names in zip(carriers, held, strict=True) for raw in names]
        if not listed:
            return []
        (told,) = self._wire.ask(("MGET", *(f"{PREFIX}lease:{name}" for _, name in listed)))
        found: list[tuple[str, int, UUID]] = []
        for (carrier, name), text in zip(listed, told, strict=True):
            words = (text or b"").decode().split(" ")
            if text is not None and switch in (None, words[3]):
                found.append((name, int(words[0]), carrier))
        if not found:
            return []
        (popped,) = self._wire.ask(("ZMSCORE", f"{PREFIX}popped", *(name for name, _, _ in found)))
        return [(UUID(name), fence, own, at is not None) for (name, fence, own), at in zip(found, popped, strict=True)]

    def crash(self, name: str) -> None:
        """The controller is gone with all that it only knew itself."""
        site = self.sites[name]
        site.up = False
        for pump in site.pumps.values():
            pump.due = None
        self.controllers[name].mind = None

    def take_over(self, name: str) -> None:
        """Another process has the switch."""
        self.sites[name].up = True
        self.rounds[name].begin(self.controllers[name].born())
        self._start(self.sites[name])

    def give_back(self) -> None:
        """As Feeder.give_back: Postgres says whether what was popped was claimed."""
        if not self.house.desk.feeding or self.house.away:
            return
        for attempt_id, fence in permits.overdue_pops(self._wire, self._clock.now, 200):
            row = self.house.books.attempts.get(attempt_id)
            one = self._desk.attempts.get(attempt_id)
            if row is not None and row.state == State.QUEUED:
                if permits.requeue(self._wire, attempt_id, fence) and one is not None:
                    self._desk.back(one)
                    self._ledger.swept += 1
            elif row is not None and row.state != State.ENDED:
                permits.mark_claimed(self._wire, attempt_id, fence, acknowledged=False)
            else:
                out = row is not None and row.fence == fence
                self.release(attempt_id, fence, None, None if out else 0)
