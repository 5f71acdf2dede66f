"""The controllers of a rehearsal: pumps that ask as controller/pump.py does, dials that leave at their slot, ends.

An INVITE arrives at its carrier at most J after its slot, sometimes exactly so late. A controller that crashes takes what it
had not sent with it; its calls live on, and another takes over.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple
from uuid import UUID

from budget import permits
from lab.rehearse.carriers import Carrier
from lab.rehearse.clock import SECOND, Clock
from lab.rehearse.desk import Attempt, Desk, State
from lab.rehearse.ledger import Ledger
from lab.rehearse.wire import Wire
from settings import Settings

#: us; what a wake-up takes to a pump, and an end to its release.
HEARD_US = 300
RELEASED_US = 20_000
#: us before its slot at which an attempt is claimed.
CLAIM_US = 8_000
#: us; a live call's lease is renewed this often.
RENEW_US = 20 * SECOND


class Invite(NamedTuple):
    """An INVITE on its way, by the permit it was sent under."""

    attempt: Attempt
    fence: int
    claim_us: int


class Pump:
    """Of one carrier at one switch. ``due``: when it asks next, None: not at all."""

    __slots__ = ("carrier", "due", "paced", "site")

    def __init__(self, carrier: Carrier, site: Site) -> None:
        self.carrier, self.site = carrier, site
        self.due: int | None = None
        self.paced = False


class Site:
    """A switch and its controller: ``up`` while one is there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = True
        self.pumps: dict[UUID, Pump] = {}
        self.granted: dict[UUID, Attempt] = {}
        self.unsent: list[Attempt] = []
        self.live: dict[UUID, Attempt] = {}
        self.ended: list[Attempt] = []
        self.releasing = False


class Floor:
    """All controllers together."""

    def __init__(
        self, clock: Clock, wire: Wire, settings: Settings, desk: Desk, ledger: Ledger, carriers: dict[UUID, Carrier],
        switches: tuple[str, ...], seed: int, lead_us: int,
    ) -> None:  # fmt: skip
        self._clock, self._wire, self._settings, self._desk, self._ledger = clock, wire, settings, desk, ledger
        self._random = Random(f"floor {seed}")
        self._idle_us = int(settings.pump_idle_s * SECOND)
        self._jitter_us = int(settings.jitter_ms * 1000)
        self._lead_us = lead_us
        self.carriers = carriers
        self.sites = {name: Site(name) for name in switches}
        for site in self.sites.values():
            site.pumps = {carrier_id: Pump(carrier, site) for carrier_id, carrier in carriers.items()}
        #: The epoch as Postgres has it, and since when.
        self.epoch, self.epoch_at = 1, 0
        self.ready = True
        self.linger: list[tuple[int, UUID, UUID, int]] = []

    def begin(self) -> None:
        """Every pump asks; leases are renewed from now on."""
        for site in self.sites.values():
            self._start(site)
        self._clock.after(RENEW_US, self._renew)

    def _start(self, site: Site) -> None:
        for pump in site.pumps.values():
            self._ask_at(pump, self._clock.now, paced=False)

    def heard(self, texts: list[str]) -> None:
        """Wake-ups: ``<carrier> <switch or *> <delay us>``, or for everybody."""
        for text in texts:
            words = text.split(" ")
            if text in ("*", "epoch"):
                self._clock.after(HEARD_US, self._wake_all)
            elif text == "refill":
                self._desk.refill_soon()
            elif text == "lanes":
                self._clock.after(HEARD_US, self._desk.state_lanes)
            elif len(words) == 3:
                for site in self.sites.values() if words[1] == "*" else [self.sites[words[1]]]:
                    self._clock.after(HEARD_US + int(words[2]), self._wake, site.pumps[UUID(words[0])])

    def _wake_all(self, _: object) -> None:
        for site in self.sites.values():
            for pump in site.pumps.values():
                self._wake(pump)

    def _wake(self, pump: Pump) -> None:
        if pump.due is not None and not pump.paced and pump.due > self._clock.now:
            self._ask_at(pump, self._clock.now, paced=False)

    def _ask_at(self, pump: Pump, when: int, *, paced: bool) -> None:
        pump.due, pump.paced = when, paced
        self._clock.at(when, self._ask, pump)

    def _ask(self, pump: Pump) -> None:
        now = self._clock.now
        if pump.due != now:
            return  # woken earlier, or gone
        site, carrier = pump.site, pump.carrier
        answer = permits.grant(
            self._wire, self._settings, carrier.id, site.name, want=self._settings.grants_at_once, lead_us=self._lead_us
        )
        self._ledger.asked(answer)
        for permit in answer.grants:
            one = self._desk.granted(permit.attempt_id)
            if one is None:
                self._ledger.ghost(permit.attempt_id)
                continue
            one.fence, one.epoch, one.slot = permit.fence, permit.epoch, now + permit.slot_us
            one.switch, one.carrier = site.name, carrier.id
            site.granted[one.id] = one
            self._under_permit(one)
        wait = self._idle_us if answer.next_us is None else min(self._idle_us, answer.next_us)
        self._ask_at(pump, now + max(1, wait), paced=answer.paced)

    def _under_permit(self, one: Attempt) -> None:
        self._clock.at(one.slot + self._late_us(), self._invite, Invite(one, one.fence, one.slot - CLAIM_US))

    def _late_us(self) -> int:
        chance = self._random.random()
        if chance < 0.05:
            return 0
        return self._jitter_us - 1 if chance < 0.1 else self._random.randint(2_000, 10_000)

    def _invite(self, invite: Invite) -> None:
        one = invite.attempt
        if one.fence == invite.fence and one.state in (State.DROPPED, State.CLAIMED):
            return  # the controller that would have sent it is gone
        if one.fence != invite.fence or one.state != State.GRANTED or not self._claimed(one, invite.claim_us):
            # Given back, or the claim was refused: the permit is not ours any more, or it is no use.
            if permits.refuse(self._wire, one.id, invite.fence):
                self._ledger.stray("refused a permit that somebody else had dealt with")
            return
        site = self.sites[one.switch]
        carrier = self.carriers[one.carrier] if one.carrier else None
        assert carrier is not None
        del site.granted[one.id]
        site.live[one.id] = one
        one.state = State.CLAIMED
        self._ledger.invited(one, carrier)
        one.invited = True
        with self._wire.posted(expected=1 if self.ready else 0):
            permits.mark_claimed(self._wire, one.id, one.fence)
        outcome, lasts_us = carrier.takes(one)
        if carrier.again_us:
            self._clock.after(carrier.again_us, self._ledger.invited_again, carrier)
        self._goes(one, outcome, lasts_us)

    def _goes(self, one: Attempt, outcome: str, lasts_us: int) -> None:
        """From its INVITE on the call takes its course."""
        self._clock.after(lasts_us, self._end, (one, outcome))

    def in_time(self, one: Attempt) -> bool:
        """A permit of an earlier epoch whose claim comes, or came, before the present one began."""
        return one.slot - CLAIM_US < self.epoch_at

    def _claimed(self, one: Attempt, claim_us: int) -> bool:
        """The claim compares epochs: one of an older epoch was in time only if it came before the new one."""
        return one.epoch == self.epoch or claim_us < self.epoch_at

    def _end(self, what: tuple[Attempt, str]) -> None:
        one, outcome = what
        carrier = self.carriers[one.carrier] if one.carrier else None
        assert carrier is not None
        self._ledger.ended(one, carrier, outcome)
        site = self.sites[one.switch]
        del site.live[one.id]
        site.ended.append(one)
        self._desk.over(one, again_us=self._settings.retry_carrier_s * SECOND if outcome == "refused" else None)
        carrier.showed(outcome, self._wire)
        if not site.releasing:
            site.releasing = True
            self._clock.after(RELEASED_US, self._release, site)

    def _release(self, site: Site) -> None:
        site.releasing = False
        if not site.up or not site.ended:
            return
        ended, site.ended = site.ended, []
        with self._wire.posted(expected=len(ended) if self.ready else 0):
            permits.release_all(self._wire, [(one.id, one.fence) for one in ended])
        for one in ended:
            assert one.carrier is not None
            self.linger.append((self._clock.now + self.carriers[one.carrier].linger_us, one.carrier, one.id, one.fence))
            self._desk.forget(one)
        if len(self.linger) > 10_000:
            self.linger = [entry for entry in self.linger if entry[0] > self._clock.now]

    def crash(self, name: str) -> None:
        """The controller of the switch is gone. What it had claimed and not sent somebody has to find."""
        site = self.sites[name]
        site.up = False
        for pump in site.pumps.values():
            pump.due = None
        for one in site.granted.values():
            if self._clock.now >= one.slot - CLAIM_US:
                one.state = State.CLAIMED
                site.unsent.append(one)
            else:
                one.state = State.DROPPED  # its INVITE never leaves; the sweep finds it
        site.granted = {}

    def take_over(self, name: str) -> None:
        """Another controller has the switch: it releases what has ended and gives back what was claimed and never sent."""
        site = self.sites[name]
        site.up = True
        for one in site.unsent:
            if not permits.requeue(self._wire, one.id, one.fence) and self.ready:
                self._ledger.stray("a claimed and unsent attempt had no lease")
            else:
                self._desk.back(one)  # where Redis has just been wiped, by the rebuild
        site.unsent = []
        self._release(site)
        self._start(site)

    def give_back(self) -> None:
        """Popped and never claimed: back to the front of the lane, as the feeder does it."""
        for attempt_id, fence in permits.overdue_pops(self._wire, self._clock.now, 200):
            one = self._desk.attempts.get(attempt_id)
            if one is not None and one.state == State.DROPPED and one.fence == fence:
                if permits.requeue(self._wire, attempt_id, fence):
                    self._desk.back(one)
                    self._ledger.swept += 1
            else:
                self._ledger.stray(f"a popped attempt that nobody had left: {one.state.name if one else 'unknown'}")
                permits.mark_claimed(self._wire, attempt_id, fence)

    def _renew(self, _: object) -> None:
        for site in self.sites.values():
            live = list(site.live) if site.up else []
            for i in range(0, len(live), 1000):
                permits.renew(self._wire, self._settings, live[i : i + 1000])
        self._clock.after(RENEW_US, self._renew)
