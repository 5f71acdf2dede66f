"""From the backlog into the lanes. A lane holds a window of a few seconds; what is behind it waits in Postgres, in order.

A lane behind which something waits carries the overflow flag in Redis, so that new calls queue up behind that instead of
going straight into the lane. The flag is taken off only when a refill found less than it asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from redis import Redis

from budget import lanes
from budget.leases import leased
from budget.push import push
from crashpoint import crash_point
from jobs.picture import Picture, lane_of
from jobs.windows import fitted, wants, window
from settings import Settings
from store import laning
from store.laning import Ask, Waiting
from store.pool import Database
from store.reschedule import reschedule

#: Queries of one look, at most: the next look follows at once.
ROUNDS = 4
#: Rows read at once of a lane whose first rows are not to be dialed, for ever or for now; those are put out of the way.
SWEPT = 1000
#: Attempts pushed by one script: about a millisecond of Redis, which is waited for by whoever asks for a permit meanwhile.
PUSHED = 100


@dataclass(slots=True)
class Brought:
    """What a look did: attempts that are in their lanes now, which lanes those are, whether there is more to do at once."""

    pushed: int = 0
    lanes: set[str] = field(default_factory=set)
    more: bool = False


@dataclass(slots=True)
class Look:
    """One look of the feeder at the backlog."""

    epoch: int
    now: datetime
    brought: Brought = field(default_factory=Brought)
    busy: Counter[str] = field(default_factory=Counter)  # rows met under way, by lane: the next round reads on behind them
    swept: Counter[str] = field(default_factory=Counter)  # rounds in which the lane had rows that are not to be dialed

    def asks(self, lane: str, room: int, mark: datetime | None) -> list[Ask]:
        """What is asked of a lane that has room. Where a canceled queue is in the way, what came after the mark does not
        wait until that has been read through: it is asked for by itself.
        """
        if self.swept[lane] > 1:
            return []
        want = room + self.busy.pop(lane, 0)
        most = max(want, SWEPT) if self.swept[lane] else want
        return [Ask(lane, most)] if mark is None else [Ask(lane, want, after=mark), Ask(lane, most, upto=mark)]


class Refill:
    """The feeder's way from Postgres to the lanes. Keeps nothing between two looks."""

    def __init__(self, db: Database, redis: Redis, settings: Settings) -> None:
        self._db = db
        self._redis = redis
        self._settings = settings

    def feed(self, picture: Picture, epoch: int, now: datetime) -> Brought:
        """Fills every lane of which something is due, in order ``(due_at, id)``, up to its window.

        Raises RedisError or psycopg.Error when one is away; what was done until then stands.
        """
        look = Look(epoch, now)
        # The flags before the rows: whoever found a flag that was set later has its row looked for the next time.
        flagged = lanes.overflowing(self._redis)
        due = set(laning.due_lanes(self._db))
        fed = {name: lane for name in due if (lane := lane_of(name)) is not None and not picture.rests(lane)}
        windows = fitted(self._settings, {name: window(self._settings, picture.cps(lane)) for name, lane in fed.items()})
        every_mark = picture.marks()
        marks = {name: mark for name, lane in fed.items() if (mark := every_mark.get(lane.tenant_id)) is not None}
        open_lanes, bared = set(fed), set[str]()
        for _ in range(ROUNDS):
            room = self._room(open_lanes, windows)
            open_lanes &= room.keys()  # those that are full keep what they have behind them
            asks = [ask for name in sorted(open_lanes) for ask in look.asks(name, room[name], marks.get(name))]
            if not asks:
                break
            found = laning.refill(self._db, asks)
            self._bring(found, room, look)
            self._put_away(found, look)
            answers = Counter(row.ask for row in found)
            all_of_it = {ask.lane for ask in asks} - {a.lane for i, a in enumerate(asks) if answers[i] >= a.want}
            bared |= all_of_it
            open_lanes -= all_of_it
        behind = due - bared
        off = flagged - behind
        lanes.set_overflow(self._redis, on=behind - flagged, off=off)
        # At once again: for what does not fit into one look, and for those that a flag, now off, sent away meanwhile. What
        # was canceled can wait, because nothing waits for it.
        look.brought.more = bool(off or open_lanes - marks.keys())
        return look.brought

    def _room(self, names: Collection[str], windows: Mapping[str, int]) -> dict[str, int]:
        held = lanes.lengths(self._redis, names) if names else {}
        return wants(held, {name: windows[name] for name in names}, self._settings.feeder_batch)

    def _bring(self, found: Sequence[Waiting], room: Mapping[str, int], look: Look) -> None:
        left = dict(room)
        items: list[tuple[UUID, str]] = []
        # Who holds a lease may be about to give it back without knowing of this look: it is laned after that, not now.
        busy = leased(self._redis, [row.attempt_id for row in found if not (row.gone or row.held)])
        for row in found:
            if row.attempt_id in busy:
                look.busy[row.lane] += 1
            elif not (row.gone or row.held or row.closed) and left[row.lane] > 0:
                left[row.lane] -= 1
                items.append((row.attempt_id, row.lane))
        laned = [one for i in range(0, len(items), PUSHED) for one in push(self._redis, items[i : i + PUSHED])]
        if laned:
            crash_point("feeder.pushed")
            look.brought.pushed += laning.mark_pushed(self._db, laned, look.epoch, look.now)
            look.brought.lanes |= {lane for _, lane in items}

    def _put_away(self, found: Sequence[Waiting], look: Look) -> None:
        gone = [row for row in found if row.gone]
        held = [row for row in found if row.held and not row.gone]
        if gone:
            laning.park(self._db, [row.attempt_id for row in gone])
        if held:
            laning.hold(self._db, [row.attempt_id for row in held])
        # What waited past the end of its window gets the next one, and costs nobody a permit.
        closed = [row for row in found if row.closed and not (row.gone or row.held)]
        if closed:
            ids = [row.attempt_id for row in closed]
            reschedule(self._db, ids, pdd_s=self._settings.pdd_s, now=look.now)
        look.swept.update({row.lane for row in (*gone, *held, *closed)})
