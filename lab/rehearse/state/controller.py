"""A controller of a rehearsal: the flow of controller/dial.py and controller/writer.py with their questions played.

It knows what a process knows: :class:`Mind` dies with it. What it decides comes from the product's rules.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from budget import permits
from budget.hold import hold
from calls.evidence import End, Evidence, Source, State
from calls.watch import linger_s
from lab.rehearse.clock import SECOND
from lab.rehearse.desk import Attempt
from lab.rehearse.desk import State as Place
from lab.rehearse.floor import CLAIM_US
from lab.rehearse.state.house import House
from lab.rehearse.state.switch import Switch
from store.attempts import Applied

if TYPE_CHECKING:
    from lab.rehearse.state.floor import StateFloor

#: us; a command's way to the switch, its acknowledgement, a transaction, what follows it.
WAY_US, ACK_US, COMMIT_US, FREE_US = 500, 1_500, 2_000, 300
#: Refused for ever; for any other reason the attempt has to come back into a lane.
FINAL = frozenset({"gone", "canceled", "expired", "not_queued"})


@dataclass(eq=False)
class Mind:
    """What only this process knows."""

    queue: deque[Evidence] = field(default_factory=deque)
    waits: Counter[UUID] = field(default_factory=Counter)
    kills: dict[UUID, str] = field(default_factory=dict)
    created: set[UUID] = field(default_factory=set)
    unsettled: set[UUID] = field(default_factory=set)  # carriers with an INVITE that may leave late
    suspects: dict[UUID, int] = field(default_factory=dict)
    orphans: dict[UUID, int] = field(default_factory=dict)
    leaks: dict[UUID, int] = field(default_factory=dict)
    skipped: set[UUID] = field(default_factory=set)
    catch_up: bool = True
    flushing: bool = False
    passing: bool = False


class Controller:
    """Of one switch. ``linked``: both links to it are up."""

    def __init__(self, switch: Switch, house: House, floor: StateFloor) -> None:
        self.switch, self.house, self.floor = switch, house, floor
        self.mind: Mind | None = None
        self.cut_until = 0
        self._random = house.random
        switch.tell = self._on_network
        switch.refused = self._on_refusal

    @property
    def linked(self) -> bool:
        return self.mind is not None and self.switch.up and self.house.clock.now >= self.cut_until

    def born(self) -> Mind:
        """A process begins, knowing nothing."""
        self.mind = Mind()
        return self.mind

    # --- dialing --------------------------------------------------------------------------------------------------

    def under_permit(self, one: Attempt, late_us: int) -> None:
        """A permit was had: the claim shortly before its slot, the INVITE ``late_us`` after it."""
        self.house.clock.at(one.slot - CLAIM_US, self._claim, (self.mind, one, one.fence, one.slot + late_us))

    def _claim(self, what: tuple[Mind, Attempt, int, int]) -> None:
        mind, one, fence, invite_us = what
        house = self.house
        if mind is not self.mind or house.away:
            return  # popped and never claimed: the sweep finds it
        if not self.linked:
            self._give_back(one, fence)
            return
        assert one.carrier is not None
        why = house.books.claim(
            one.id, fence=fence, epoch=one.epoch, switch=self.switch.name, carrier_id=one.carrier, now=house.now,
            pdd_s=house.settings.pdd_s,
        )  # fmt: skip
        if why is None:
            one.state = Place.CLAIMED
            house.clock.at(invite_us - WAY_US, self._write, (mind, one, fence))
            return
        permits.refuse(house.wire, one.id, fence)
        if why in FINAL:
            house.desk.attempts.pop(one.id, None)
        elif one.fence == fence:
            house.desk.lane_again(one)

    def _write(self, what: tuple[Mind, Attempt, int]) -> None:
        mind, one, fence = what
        if mind is not self.mind:
            return  # claimed, and nothing was sent
        if one.id in mind.kills:
            self.record(self._unsent(one.id, "customer_cancel", mind.kills.pop(one.id)))
            return
        chance = self._random.random()
        if not self.linked or chance < self.house.odds.missed:
            self._burn(one, fence)
        elif chance < self.house.odds.missed + self.house.odds.cut:
            # The link breaks: what was written may still sit in its socket, and nobody hears whether it arrived.
            if self._random.random() < 0.5:
                self.house.clock.after(self._random.randint(0, 2_500_000), self._arrives, (None, one, fence))
            self._unacknowledged(mind, one)
        else:
            self.house.clock.after(WAY_US, self._arrives, (mind, one, fence))

    def _burn(self, one: Attempt, fence: int) -> None:
        """The slot passed unused and nothing was written."""
        house = self.house
        if house.away or not house.books.unclaim(one.id, fence, house.now):
            return
        if house.books.attempts[one.id].state != State.QUEUED:  # a hangup came meanwhile
            permits.release(house.wire, one.id, fence, linger_us=0)
            house.desk.attempts.pop(one.id, None)
        else:
            self._give_back(one, fence)

    def _give_back(self, one: Attempt, fence: int) -> None:
        if permits.requeue(self.house.wire, one.id, fence):
            self.house.desk.back(one)
        elif one.fence == fence:
            self.house.desk.lane_again(one)

    def _unacknowledged(self, mind: Mind, one: Attempt) -> None:
        assert one.carrier is not None
        mind.unsettled.add(one.carrier)
        self._rest(one.carrier)

    def settle(self) -> None:
        """The link is up again: what the lost one's socket still held may leave now, so those carriers rest."""
        assert self.mind is not None
        for carrier in sorted(self.mind.unsettled):
            self._rest(carrier)
        self.mind.unsettled.clear()

    def _rest(self, carrier: UUID) -> None:
        hold(self.house.wire, carrier, self.floor.rest_us(carrier))

    def _arrives(self, what: tuple[Mind | None, Attempt, int]) -> None:
        mind, one, fence = what
        if not self.switch.up or (mind is not None and self.house.clock.now < self.cut_until):
            if mind is not None and mind is self.mind:
                self._unacknowledged(mind, one)
            return
        assert one.carrier is not None
        carrier = self.floor.carriers[one.carrier]
        self.switch.originate(one, fence, carrier, self.floor.story(carrier))
        if mind is not None:
            self.house.clock.after(ACK_US, self._acknowledged, (mind, one, fence))

    def _acknowledged(self, what: tuple[Mind, Attempt, int]) -> None:
        mind, one, fence = what
        if mind is not self.mind:
            return
        if self.linked:
            permits.mark_claimed(self.house.wire, one.id, fence)
        else:
            self._unacknowledged(mind, one)

    def _unsent(self, attempt: UUID, cause: str, by: str | None) -> Evidence:
        end = End(cause, self.house.now, local=True, requested_by=by)
        return Evidence(attempt, f"never_sent:{attempt}", Source.RECONCILE, State.ENDED, end.at, end)

    # --- events ---------------------------------------------------------------------------------------------------

    def _on_network(self, evidence: Evidence) -> None:
        """An event leaves the switch: lost, late, twice, or as it should."""
        if evidence.end is not None:
            self.house.record_call(evidence.attempt_id, evidence.end)
        odds, random, clock = self.house.odds, self._random, self.house.clock
        if not self.linked or random.random() < odds.lost:
            return
        for _ in range(2 if random.random() < odds.twice else 1):
            late = random.randint(0, 1_500_000) if random.random() < odds.late else random.randint(200, 5_000)
            clock.after(late, self._heard, (self.mind, evidence))

    def _heard(self, what: tuple[Mind, Evidence]) -> None:
        mind, evidence = what
        if mind is not self.mind:
            return
        if evidence.state is State.DIALING:
            mind.created.add(evidence.attempt_id)
            who = mind.kills.get(evidence.attempt_id)
            if who is not None and self.linked and self.switch.kill(evidence.attempt_id, who):
                mind.kills.pop(evidence.attempt_id, None)
        self.record(evidence)

    def _on_refusal(self, evidence: Evidence, _local: bool) -> None:
        """BACKGROUND_JOB with -ERR: believed where there is and was no channel."""
        if self.linked and self._random.random() >= self.house.odds.lost:
            self.house.clock.after(1_000, self._refused, (self.mind, evidence))

    def _refused(self, what: tuple[Mind, Evidence]) -> None:
        mind, evidence = what
        if mind is not self.mind or evidence.attempt_id in mind.created or not self.linked:
            return
        if not self.switch.exists(evidence.attempt_id):
            self.record(evidence)

    # --- writing down ---------------------------------------------------------------------------------------------

    def record(self, evidence: Evidence) -> None:
        """As EventWriter.record."""
        mind = self.mind
        assert mind is not None
        mind.waits[evidence.attempt_id] += 1
        mind.queue.append(evidence)
        if not mind.flushing:
            mind.flushing = True
            self.house.clock.after(int(self.house.settings.event_batch_ms * 1000), self._flush, mind)

    def _flush(self, mind: Mind) -> None:
        if mind is not self.mind:
            return
        if self.house.away:
            self.house.clock.after(50_000, self._flush, mind)
            return
        batch = [mind.queue.popleft() for _ in range(min(len(mind.queue), self.house.settings.event_batch_max))]
        self.house.clock.after(COMMIT_US, self._commit, (mind, batch))

    def _commit(self, what: tuple[Mind, list[Evidence]]) -> None:
        mind, batch = what
        if mind is not self.mind:
            if self._random.random() < 0.5:
                self.house.apply(batch)  # killed while it waited for the commit
            return
        applied = self.house.apply(batch)
        self.house.clock.after(FREE_US, self._after, (mind, batch, applied))

    def _after(self, what: tuple[Mind, list[Evidence], Sequence[Applied]]) -> None:
        """The end is committed: the channel is given back, then the tombstone goes."""
        mind, batch, applied = what
        if mind is not self.mind:
            return
        ends = {evidence.attempt_id: evidence for evidence in batch if evidence.state is State.ENDED}
        for row in applied:
            end = ends.get(row.attempt_id)
            if end is not None and row.state == State.ENDED:
                self.free(mind, row, end)
        for evidence in batch:
            mind.waits[evidence.attempt_id] -= 1
            if mind.waits[evidence.attempt_id] <= 0:
                del mind.waits[evidence.attempt_id]
        mind.flushing = bool(mind.queue)
        if mind.queue:
            self.house.clock.after(int(self.house.settings.event_batch_ms * 1000), self._flush, mind)

    def free(self, mind: Mind, row: Applied, evidence: Evidence) -> None:
        """As EventWriter._free."""
        mind.kills.pop(row.attempt_id, None)
        settings = self.house.settings
        if row.fence is not None:
            lasts = linger_s(evidence.end, sip_death_s=settings.sip_death_s, crash_linger_s=settings.crash_linger_s)
            self.floor.release(row.attempt_id, row.fence, row.carrier_id, None if lasts is None else int(lasts * SECOND))
        if self.linked:
            self.switch.tombstones.pop(row.attempt_id, None)
