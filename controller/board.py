"""What the parts of one controller share: the switch's two links, the stores, and what only this process knows."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from gevent.event import Event
from gevent.lock import BoundedSemaphore
from redis import Redis

from calls.trunk import Trunk
from controller.duty import Alone, Duty
from controller.esl import EslLink
from settings import Settings
from store import attempts
from store.pool import Database
from store.together import Together

#: Attempts remembered as seen at CHANNEL_CREATE; far above any switch's sessions.
SEEN_MAX = 50_000
#: Claims of one transaction, and transactions of claims at once.
CLAIMS, CLAIMING = 32, 2


class Seen:
    """A bounded memory of ids, oldest forgotten first."""

    def __init__(self, size: int = SEEN_MAX) -> None:
        self._ids: OrderedDict[UUID, None] = OrderedDict()
        self._size = size

    def add(self, item: UUID) -> None:
        self._ids[item] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)

    def __contains__(self, item: UUID) -> bool:
        return item in self._ids


@dataclass
class Board:
    """One controller, one switch."""

    settings: Settings
    db: Database
    redis: Redis
    link: EslLink  # commands
    events: EslLink  # events only: a queued event is written before the next command is read
    duty: Duty | Alone = field(default_factory=Alone)
    created: Seen = field(default_factory=Seen)  # CHANNEL_CREATE was seen on this events link
    unproved: Seen = field(default_factory=Seen)  # sent, but the switch refused the tombstone
    kills: dict[UUID, str] = field(default_factory=dict)  # hangups that came before their channel: who asked
    unacked: dict[UUID, float] = field(default_factory=dict)  # originates written and not acknowledged: since when
    trunks: dict[UUID, Trunk] = field(default_factory=dict)  # how each carrier wants its calls; at most a second old
    stopping: Event = field(default_factory=Event)
    drained: bool = False  # an operator takes the switch out of service: controller/drained.py
    inherited: bool = True  # nothing is being taken back from an earlier controller of this switch: controller/takeover.py
    tombstones: int = 0  # the connection (link.counters.connects) on which the switch was seen to keep one
    unsettled: dict[UUID, int] = field(default_factory=dict)  # carriers with an INVITE that may leave late: their rest, us
    originates: BoundedSemaphore = field(init=False)  # written and not yet acknowledged
    claims: Together[attempts.Wanted, attempts.Claimed | attempts.Refused] = field(init=False)

    def __post_init__(self) -> None:
        self.originates = BoundedSemaphore(self.settings.max_unacked_originates)
        self.claims = Together(self._claim, most=CLAIMS, strokes=CLAIMING)

    def _claim(self, wanted: Sequence[attempts.Wanted]) -> list[attempts.Claimed | attempts.Refused | Exception]:
        settings = self.settings
        return attempts.claim_all(self.db, wanted, switch=settings.switch, pdd_s=settings.pdd_s, lab=settings.lab_switch)

    @property
    def may_dial(self) -> bool:
        """We are on duty and have taken over, both links are up, tombstones hold, the switch acknowledges and is not
        drained, and nobody asked us to stop.

        Without the events link an answer would go unseen. While an acknowledgement is overdue the switch stands still:
        what is written to it now would leave together with what it already has.
        """
        wanted = not self.stopping.is_set() and not self.drained
        up = self.duty.held and self.link.up and self.events.up
        return wanted and up and self.inherited and self.proves and not self.switch_stalled

    @property
    def proves(self) -> bool:
        """This very connection's switch keeps tombstones; without them nothing proves what was sent."""
        return self.tombstones > 0 and self.tombstones == self.link.counters.connects

    @property
    def switch_stalled(self) -> bool:
        """An originate was written longer than the pacing allows for, and the switch has not acknowledged it."""
        oldest = min(self.unacked.values(), default=None)
        return oldest is not None and time.monotonic() - oldest > self.settings.ack_limit_s
