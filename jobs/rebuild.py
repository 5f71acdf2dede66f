"""The budget rebuilt from Postgres, when Redis has forgotten it or is another Redis.

The new epoch's number comes first: from then on every claim of an older one is refused, and those that were in time are
seen. Whatever follows may break off at any point; the next look begins again with another number.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from redis import Redis

from budget import epoch as budget_epoch
from budget import lanes, permits
from budget.leases import UNCOUNTED
from budget.scopes import carrier_scope, interval_us
from budget.scripts import VERSION
from crashpoint import crash_point
from jobs import health
from jobs.picture import Picture, read, rest_us, sharing, state_lanes, state_limits
from jobs.version import refuse_newer
from settings import Settings
from store import attempts, carriers, laning
from store import epoch as store_epoch
from store.pool import Database

log = logging.getLogger(__name__)

#: Rows written by one statement.
BATCH = 2000


def ensure_epoch(db: Database, redis: Redis, settings: Settings, now: datetime) -> int:
    """The open epoch; when Redis has none, or not ours, the budget is rebuilt and a new one opened.

    An older version's epoch is closed for ours: its claims are refused from the bump on, its live calls are counted in ours,
    and every carrier rests as after any rebuild, so no window of a carrier sees the limit of both. Raises
    :class:`OtherScripts` when a newer version has opened it; ``EpochMoved`` or ``Overtaken`` when another leader is at it:
    nothing of that one's work was undone.
    """
    truth = store_epoch.get(db)
    refuse_newer(truth)
    marks = budget_epoch.marks(redis)  # in this order: whoever rebuilds in between makes the bump fail
    if truth.scripts == VERSION and truth.opened_at is not None and marks.opened == str(truth.epoch):
        return truth.epoch
    run_id = budget_epoch.run_id(redis)
    epoch = store_epoch.bump(db, truth.epoch, run_id, VERSION)
    about = {"epoch": epoch, "redis": run_id, "had": marks.opened, "scripts": f"{truth.scripts} -> {VERSION}"}
    log.warning("rebuilding the budget", extra=about)
    crash_point("rebuild.bumped")
    budget_epoch.begin(redis, marks, epoch)
    _still(db, epoch)
    budget_epoch.wipe(redis, epoch)
    crash_point("rebuild.wiped")
    picture = read(db)
    state_limits(redis, picture, settings)
    health.restore(db, redis, settings)
    for live in attempts.list_live(db, None):
        if live.fence is not None:
            lease = permits.Lease(live.attempt_id, live.fence, live.carrier_id or UNCOUNTED, live.switch or "")
            permits.adopt(redis, settings, lease, live.lane)
    crash_point("rebuild.adopted")
    _restore_lingers(db, redis, settings, now)
    # What the lanes held is all that changes here: not the backlog behind them. Then whoever pushes must queue behind it.
    while laning.forget_pushed(db, epoch, BATCH):
        pass
    lanes.set_overflow(redis, on=laning.due_lanes(db), off=())
    _still(db, epoch)
    crash_point("rebuild.ready")
    budget_epoch.open_epoch(redis, epoch, run_id, holds_us(settings, picture))
    crash_point("rebuild.opened")
    store_epoch.mark_open(db, epoch, now)
    state_lanes(redis, picture, settings, lanes.known_lanes(redis))
    return epoch


def _still(db: Database, epoch: int) -> None:
    """Postgres has the last word on whose rebuild it is."""
    if store_epoch.get(db).epoch != epoch:
        raise store_epoch.EpochMoved(f"epoch {epoch} is over: another leader rebuilds")


def holds_us(settings: Settings, picture: Picture) -> list[tuple[str, int]]:
    """us for each scope that has a rate: after a rebuild it rests so long, for its window, the jitter, and the last slot
    that may be out. An account or address waits for all of its carriers.

    A claim of the old epoch that was committed before the bump may still be written at its slot + G.
    """
    out = int((settings.slot_horizon_ms + settings.slot_grace_ms) * 1000)

    def rest(cps: float, window_ms: int, jitter_ms: float, cost: int) -> int:
        return out + rest_us(window_ms, jitter_ms, interval_us(cps, window_ms, jitter_ms, cost))

    known = picture.carriers.values()
    own = {c.id: rest(c.cps, c.window_ms, settings.jitter_for(c.jitter_ms, c.invite_cost), c.invite_cost) for c in known}
    holds = [(carrier_scope(carrier_id), us) for carrier_id, us in own.items()]
    for scope in picture.scopes.values():
        if scope.cps is not None:
            mine = sharing(picture, scope.scope)
            jitter = max((settings.jitter_for(c.jitter_ms, c.invite_cost) for c in mine), default=settings.jitter_ms)
            cost = max((c.invite_cost for c in mine), default=1)
            holds.append((scope.scope, max([rest(scope.cps, scope.window_ms, jitter, cost), *(own[c.id] for c in mine)])))
    return holds


def counts_s(settings: Settings, carrier: carriers.CarrierLimits | None, *, silent: bool, crashed: bool) -> float:
    """s; so long after its end a channel may still count at its carrier."""
    if crashed:
        return settings.crash_linger_s
    if silent:
        return settings.sip_death_s
    own = None if carrier is None else carrier.linger_ms
    return (settings.linger_ms if own is None else own) / 1000


def _restore_lingers(db: Database, redis: Redis, settings: Settings, now: datetime) -> None:
    """Channels of calls that have just ended and may still count at their carrier."""
    known = {c.id: c for c in carriers.list_limits(db)}
    ordinary = [counts_s(settings, c, silent=False, crashed=False) for c in known.values()]
    longest = max(settings.sip_death_s, settings.crash_linger_s, *ordinary, 0.0)
    for row in attempts.list_lingering(db, now - timedelta(seconds=longest)):
        lasts = counts_s(settings, known.get(row.carrier_id), silent=row.silent, crashed=row.crashed)
        left = lasts - (now - row.ended_at).total_seconds()
        if left > 0:
            permits.linger(redis, row.carrier_id, row.attempt_id, row.fence, int(left * 1_000_000))
