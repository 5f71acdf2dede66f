"""The referee of call state. It hears of every INVITE at the carriers, of every leg's true course, of what was written down
as evidence and of every webhook, and asks the product nothing. What must never be is put down the moment it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from calls.evidence import End, Evidence, Outcome, Source, State
from lab.rehearse.clock import BEGIN_US, SECOND, Clock
from lab.rehearse.desk import Attempt
from lab.rehearse.ledger import Ledger
from lab.stories import Story
from settings import Settings
from store.rows import Attempt as Row
from store.rows import Call

if TYPE_CHECKING:
    from lab.rehearse.carriers import Carrier

ENDS = frozenset(f"call.{outcome}" for outcome in Outcome)
#: us; evidence that was written down so shortly before an INVITE may have come after its claim.
CLAIMED_US = 60_000
#: s; a silent attempt's time runs from its claim, and its INVITE may have waited in a lost link's socket, or before a switch
#: that stood still (for up to 4 s here: world.py).
SOCKET_S = 4.5
#: What each way of ending is to be called, and that nobody knows.
CALLED = {
    "busy": "busy", "declined": "declined", "unavailable_480": "unavailable", "network_blocked_603": "carrier_block",
    "announcement_183_then_404": "bad_number", "unknown_number": "bad_number", "carrier_cps_limit_503": "carrier_capacity",
    "carrier_fault_503": "carrier_fault", "redirect_302_refused": "carrier_redirect", "no_answer_timeout": "no_answer",
    "carrier_says_nothing": "carrier_silence",
}  # fmt: skip
NOBODY_KNOWS = frozenset({"lost", "carrier_silence", "switch_ended"})


@dataclass(slots=True)
class Leg:
    """What really became of an attempt that left for its carrier, and what of it was written down, when."""

    call_id: UUID
    trace: str
    began: int
    reached: dict[State, int] = field(default_factory=dict)
    ended: int | None = None
    killed: bool = False
    crashed: bool = False
    open: bool = True
    written: dict[State, int] = field(default_factory=dict)
    written_end: bool = False  # by a witness that followed the leg


class Witness:
    """``call_of``: whose attempt it is; ``ledger`` counts limits and keeps the event log; s: longest ring and talk."""

    def __init__(
        self, clock: Clock, settings: Settings, ledger: Ledger, call_of: Callable[[UUID], UUID], ring_s: float, talk_s: float
    ) -> None:
        self._clock, self._settings, self._ledger, self._call_of = clock, settings, ledger, call_of
        self._ring_s, self._talk_s = ring_s, talk_s
        self.legs: dict[UUID, Leg] = {}
        self._last: dict[UUID, UUID] = {}
        self._sequences: dict[UUID, int] = {}
        self._ends: dict[UUID, str] = {}
        self.asked: dict[UUID, int] = {}
        self._counted: Counter[UUID] = Counter()
        self.broken: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        s = settings
        self._gaps = {
            "busy": s.retry_busy_s, "no_answer_timeout": s.retry_no_answer_s, "unavailable_480": s.retry_no_answer_s,
            "carrier_cps_limit_503": s.retry_capacity_s, "carrier_fault_503": s.retry_carrier_s,
            "redirect_302_refused": s.retry_carrier_s,
        }  # fmt: skip

    def breaks(self, what: str, about: object) -> None:
        """Something that must never be."""
        self.broken[what] += 1
        at = (self._clock.now - BEGIN_US) / SECOND
        self.first.setdefault(what, f"at {at:.3f} s: {about}")
        self._ledger.happened(f"BROKEN {what} {about}")

    # --- what happens ---------------------------------------------------------------------------------------------

    def invited(self, one: Attempt, carrier: Carrier, story: Story) -> None:
        """An INVITE arrived at the carrier."""
        self._ledger.invited(one, carrier)
        now, call = self._clock.now, self._call_of(one.id)
        if one.id in self.legs:
            self.breaks("a second INVITE for one attempt", one.id)
        before = self._last.get(call)
        if before is not None:
            self._may_follow(one.id, self.legs[before], now)
        if call in self.asked and self.asked[call] < now - CLAIMED_US:
            self.breaks("dialed though it was called off", one.id)
        trace = "crossed" if story.shape.crossed else story.shape.trace
        self._counted[call] += trace != "carrier_cps_limit_503"
        if self._counted[call] > self._settings.max_attempts:
            self.breaks("more attempts than allowed", one.id)
        self.legs[one.id] = Leg(call, trace, now)
        self._last[call] = one.id
        self.seen["INVITEs"] += 1

    def invited_again(self, carrier: Carrier) -> None:
        self._ledger.invited_again(carrier)

    def _may_follow(self, attempt: UUID, leg: Leg, now: int) -> None:
        """Whether a call may be dialed again after what happened to ``leg``, its last INVITE."""
        if leg.open:
            self.breaks("a number dialed while it rings", attempt)
            return
        if leg.ended is None and not leg.crashed:
            self.breaks("dialed again before its end", attempt)
            return
        known = {state for state, at in leg.written.items() if at < now - CLAIMED_US}
        if State.IN_PROGRESS in leg.reached and (leg.written_end or State.IN_PROGRESS in known):
            self.breaks("somebody who answered is called again", attempt)
        elif leg.written_end and not leg.killed:
            gap = self._gaps.get("no_answer_timeout" if leg.trace == "crossed" else leg.trace)
            assert leg.ended is not None
            if gap is None:
                self.breaks("an end that is not retried is dialed again", f"{attempt} after {leg.trace}")
            elif now - leg.ended < gap * SECOND:
                self.breaks("a retry comes too soon", f"{attempt} after {leg.trace}")
        else:
            # Nobody followed it to its end: only a phone that was heard ringing, and long ago, may be rung again.
            rang = min((at for state, at in leg.written.items() if state in (State.RINGING, State.EARLY)), default=None)
            if rang is None:
                self.breaks("an unknown end is dialed again", attempt)
            elif now - rang < self._settings.retry_no_answer_s * SECOND:
                self.breaks("a retry comes too soon", f"{attempt} after a ring that nobody followed")

    def reached(self, attempt: UUID, state: State) -> None:
        self.legs[attempt].reached[state] = self._clock.now

    def killed(self, attempt: UUID, who: str | None) -> None:
        """Its channel is hung up by us. The platform may do that only to what outlived its time."""
        leg, now = self.legs[attempt], self._clock.now
        leg.killed = True
        if who != "platform":
            return
        rang = min((leg.reached[s] for s in (State.RINGING, State.EARLY) if s in leg.reached), default=None)
        if State.IN_PROGRESS in leg.reached:
            since, most_s = leg.reached[State.IN_PROGRESS], self._talk_s
        elif rang is not None:
            since, most_s = rang, self._ring_s
        else:
            since, most_s = leg.began, float(self._settings.pdd_s) - SOCKET_S
        if now - since < most_s * SECOND:
            self.breaks("hung up before its time", f"{attempt} {leg.trace}")

    def crashed(self, one: Attempt) -> None:
        self.legs[one.id].crashed = True
        self._ledger.left_house(one)
        self.seen["legs whose switch died"] += 1

    def ended(self, one: Attempt, end: End) -> None:
        self.legs[one.id].ended = self._clock.now
        self._ledger.happened(f"end {one.id} {end.cause}")
        self._ledger.left_house(one)

    def freed(self, one: Attempt, carrier: Carrier) -> None:
        """The carrier has no leg of it any more."""
        leg = self.legs[one.id]
        leg.open = False
        self._ledger.left_carrier(one, carrier, leg.trace)

    # --- what is written down -------------------------------------------------------------------------------------

    def wrote(self, batch: Iterable[Evidence]) -> None:
        """Evidence was committed."""
        for evidence in batch:
            leg = self.legs.get(evidence.attempt_id)
            if leg is None:
                continue
            if evidence.end is None:
                leg.written.setdefault(evidence.state, self._clock.now)
            elif evidence.source in (Source.EVENT, Source.CDR):
                leg.written_end = True

    def told(self, call: UUID, sequence: int, kind: str) -> None:
        """A webhook was written."""
        if sequence != self._sequences.get(call, 0) + 1:
            self.breaks("webhooks with a gap", f"{call}: {sequence} after {self._sequences.get(call, 0)}")
        self._sequences[call] = sequence
        self._ledger.happened(f"told {call} {sequence} {kind}")
        if call in self._ends and kind != "call.corrected":
            self.breaks("a call that ended goes on", f"{call}: {kind} after {self._ends[call]}")
        if kind in ENDS:
            self._ends.setdefault(call, kind)

    def stays(self, row: Row, late_s: float) -> None:
        """A state outlasts its deadline while everybody is there to notice."""
        self.breaks("a state outlasts its deadline", f"{row.id} {row.state} by {late_s:.1f} s")

    # --- the verdict ----------------------------------------------------------------------------------------------

    def judge(self, calls: Iterable[Call], rows: Iterable[Row]) -> None:
        """Every call has one end; no row says what did not happen."""
        for call in calls:
            if not call.ended or call.id not in self._ends:
                self.breaks("a call without an end", f"{call.id} {call.status}")
            if call.status == "canceled" and call.id not in self.asked:
                self.breaks("canceled, and nobody asked", call.id)
        for row in rows:
            leg = self.legs.get(row.id)
            if row.state != State.ENDED:
                self.breaks("an attempt without an end", f"{row.id} {row.state}")
            elif leg is not None:
                self._judge_leg(row, leg)
            elif row.outcome in ("completed", "busy", "no_answer") and row.evidence != Source.WATCHDOG:
                self.breaks("a wrong end", f"{row.id} {row.outcome}, never sent")

    def _judge_leg(self, row: Row, leg: Leg) -> None:
        answered = State.IN_PROGRESS in leg.reached
        says = f"{row.id} {row.outcome} {row.end_reason} by {row.evidence}, but it was {leg.trace}"
        if row.end_reason in NOBODY_KNOWS and not leg.written_end:
            self.seen["unknown ends"] += 1
        if (row.outcome == Outcome.COMPLETED) != answered:
            # Only where nothing of the answer was ever written down may it be missing, and then nobody may be sure.
            heard = State.IN_PROGRESS in leg.written or leg.written_end
            if row.outcome == Outcome.COMPLETED or heard or not (row.uncertain or row.retry_class == "unknown"):
                self.breaks("a wrong end", says)
        elif answered and row.answered_at is not None and row.ended_at is not None and row.answered_at > row.ended_at:
            self.breaks("a wrong end", f"{says}: ended before its answer")
        elif not answered and leg.written_end and not leg.killed:
            right = CALLED.get("no_answer_timeout" if leg.trace == "crossed" else leg.trace)
            if row.end_reason != right:
                self.breaks("a wrong end", says)
        elif row.retry_class == "not_sent":
            self.breaks("a wrong end", says)
