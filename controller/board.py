"""What the parts of one controller share: the switch's two links, the stores, and what only this process knows."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from gevent.event import Event
from gevent.lock import BoundedSemaphore
from redis import Redis

from controller.esl import EslLink
from settings import Settings
from store.pool import Database

#: Attempts remembered as seen at CHANNEL_CREATE; far above any switch's sessions.
SEEN_MAX = 50_000


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
    created: Seen = field(default_factory=Seen)  # CHANNEL_CREATE was seen on this events link
    kills: dict[UUID, str] = field(default_factory=dict)  # hangups that came before their channel: who asked
    stopping: Event = field(default_factory=Event)
    tombstones: bool = False  # this switch was seen to keep one; without them nothing proves what was sent
    originates: BoundedSemaphore = field(init=False)  # written and not yet acknowledged

    def __post_init__(self) -> None:
        self.originates = BoundedSemaphore(self.settings.max_unacked_originates)

    @property
    def may_dial(self) -> bool:
        """Both links are up, tombstones hold, and nobody asked us to stop.

        Without the events link an answer would go unseen.
        """
        return self.link.up and self.events.up and self.tombstones and not self.stopping.is_set()
