"""/v1/calls/{id}/queue: where a call stands, how long it will wait, and which limit holds it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from flask import Response, current_app

from budget.explain import Eta, Hold, LaneNow, Span, Standing, forecast, hold_of, lane, standing
from store import place, scopes
from store.place import EXACT, SPANS, Waiting
from store.snapshot import stamp
from web.api.parser import Blueprint
from web.api.queue_answers import QueueAnswer
from web.api.queue_words import OWN, UNAVAILABLE, Blocked, blocked
from web.api.respond import answer, path_id, refuses
from web.auth import tenant
from web.problems import Problem, not_found
from web.runtime import runtime

_EXTENSION = "trunkline.queue"
#: s; how long calls last is asked that often.
RECENT_S = 5.0
#: s; over which it is told what was served of each class.
ARRIVING_S = 60.0
#: s; over which it is told how many slots were used, at most and at least.
SERVED_S, SERVED_LEAST_S = 30.0, 5.0

blueprint = Blueprint("queue", __name__, url_prefix="/v1/calls", description="Where a call stands in the queue")


@dataclass(frozen=True, slots=True)
class Picture:
    """How long the calls of each carrier keep their channel, calls/s served of each class, and of each carrier how long ago
    its calls were dialed, s.
    """

    read_at: float
    holds: Mapping[UUID, Hold]
    arriving: Mapping[str, float]
    dialed_ago: Mapping[UUID, list[float]]
    whole: bool

    def served(self, over_s: float) -> dict[UUID, float] | None:
        """Calls/s that each carrier took in the last ``over_s``; None: too short a time, or too many calls, to tell."""
        if over_s < SERVED_LEAST_S or not self.whole:
            return None
        return {one: sum(ago <= over_s for ago in agos) / over_s for one, agos in self.dialed_ago.items()}


@dataclass
class Recent:
    """A picture for each set of carriers, taken anew every RECENT_S."""

    _kept: dict[frozenset[UUID], Picture] = field(default_factory=dict)

    def of(self, carriers: Collection[UUID]) -> Picture:
        key, now = frozenset(carriers), time.monotonic()
        found = self._kept.get(key)
        if found is None or now - found.read_at > RECENT_S:
            kept = {known: picture for known, picture in self._kept.items() if now - picture.read_at <= RECENT_S}
            found = _picture(now, place.spans(runtime().system, key))
            self._kept = {**kept, key: found}
        return found


def _picture(now: float, spans: list[place.Span]) -> Picture:
    holds, dialed = {}, {}
    for carrier in {span.carrier_id for span in spans}:
        its = [span for span in spans if span.carrier_id == carrier]
        dialed[carrier] = [span.ago_s + span.until_s for span in its]
        hold = hold_of(Span(s.seen_s, s.until_s, s.over) for s in its)
        if hold is not None:
            holds[carrier] = hold
    ended = [span for span in spans if span.over]
    # As many as are read at most: they reach no further back.
    reach_s = ARRIVING_S if len(ended) < SPANS else min(ARRIVING_S, max(1.0, *(span.ago_s for span in ended)))
    late = [span.priority for span in ended if span.ago_s <= reach_s]
    arriving = {priority: late.count(priority) / reach_s for priority in set(late)}
    whole = len(ended) < SPANS and len(spans) - len(ended) < SPANS
    return Picture(now, holds, arriving, dialed, whole)


@blueprint.get("/<call_id>/queue", scope="calls:read")
@blueprint.response(200, QueueAnswer)
@refuses(blueprint, 404, 409)
@blueprint.doc(operationId="getCallQueue")
def get_queue(call_id: str) -> Response:
    """Read a queued call's place

    And which limit holds it, and when it will probably be dialed. 409 with the code `not_queued` means that the call is not
    waiting any more; read the call itself then.
    """
    call = place.waiting(runtime().database, tenant().id, path_id("call", call_id))
    if call is None:
        raise not_found("call")
    if call.attempt_id is None or call.due_at is None:
        raise Problem(409, "not_queued", f"This call is not waiting: its status is {call.status}.")
    return answer(_told(call, call.attempt_id))


def place_now(call_id: UUID) -> dict[str, Any] | None:
    """The same of the tenant's call that was just accepted; None: it is not waiting any more."""
    call = place.waiting(runtime().database, tenant().id, call_id)
    if call is None or call.attempt_id is None or call.due_at is None:
        return None
    return _told(call, call.attempt_id)


def _told(call: Waiting, attempt_id: UUID) -> dict[str, Any]:
    position, eta, held = _look(call, attempt_id)
    return {
        "position": f"{EXACT}+" if position is not None and position > EXACT else position,
        "eta_s": None if eta is None else {"p50": eta.p50, "p90": eta.p90},
        "blocked_by": None if held is None else held.as_dict(),
        "due_at": stamp(call.due_at),
        "as_of": stamp(call.now),
    }


def _look(call: Waiting, attempt_id: UUID) -> tuple[int | None, Eta | None, Blocked | None]:
    """Position, forecast and what holds it."""
    assert call.due_at is not None
    if call.canceled or call.expired:
        return None, None, Blocked("call", "canceled" if call.canceled else "expired")
    if call.due_at > call.now:
        return None, None, Blocked("call", "not_before" if call.number == 1 else "retry")
    ours = runtime()
    if call.agent_paused:
        # It waits beside its lane; this is where it comes back to.
        before = place.queued_before(ours.database, tenant().id, call.lane, call.due_at, attempt_id, call.pushed_epoch)
        return before + 1, None, Blocked("agent", "paused")
    found = ours.gate.ask(lambda: _in_redis(call, attempt_id), lambda: None)
    if found is not None:
        return found
    before = place.queued_before(ours.database, tenant().id, call.lane, call.due_at, attempt_id)
    return before + 1, None, UNAVAILABLE


def _in_redis(call: Waiting, attempt_id: UUID) -> tuple[int | None, Eta | None, Blocked | None]:
    ours = runtime()
    stands = standing(ours.redis, call.lane, attempt_id)
    if stands.slot_us is not None:
        slot_s = round(stands.slot_us / 1e6, 2)
        return 0, Eta(slot_s, slot_s + 0.5), None
    now = lane(ours.redis, call.lane)
    if now.held.name in ("closed", "rebuilding"):
        # Lanes are empty then, or about to be.
        assert call.due_at is not None
        before = place.queued_before(ours.database, tenant().id, call.lane, call.due_at, attempt_id)
        return before + 1, None, blocked(now.held)
    position = _position(call, attempt_id, stands)
    if tenant().paused:
        return position, None, Blocked("tenant", "paused")
    eta = None if position > EXACT else _eta(call, now, position)
    return position, eta, _own_numbers(blocked(now.held), now)


def _eta(call: Waiting, now: LaneNow, position: int) -> Eta | None:
    ours = runtime()
    recent = _recents().of([one.carrier_id for one in now.carriers])
    since = place.first_due(ours.database, call.lane)
    worked_s = 0.0 if since is None else (call.now - since).total_seconds()
    return forecast(
        ours.redis,
        now,
        position,
        holds=recent.holds,
        arriving=recent.arriving,
        queued=lambda ids: place.queued_of(ours.system, ids),
        served=recent.served(min(SERVED_S, worked_s)),
    )


def _position(call: Waiting, attempt_id: UUID, stands: Standing) -> int:
    if stands.rank is not None:
        return stands.rank + 1
    if stands.length >= EXACT:
        return EXACT + 1
    assert call.due_at is not None
    # Behind what the lane holds: those that are in no lane and come before it.
    before = place.unlaned_before(
        runtime().database,
        tenant().id,
        call.lane,
        call.due_at,
        attempt_id,
        [one for one in stands.laned if one != attempt_id],
    )
    return stands.length + before + 1


def _own_numbers(found: Blocked, now: LaneNow) -> Blocked:
    """A rate of the enterprise's own as it was set; in Redis only its pace is known."""
    if found.scope not in OWN or found.name != "cps":
        return found
    name = next((one.scope for one in now.scopes if one.kind == found.scope), "")
    stated = scopes.get_scopes(runtime().database, [name]).get(name)
    return replace(found, limit=None if stated is None else stated.cps)


def _recents() -> Recent:
    found = current_app.extensions.setdefault(_EXTENSION, Recent())
    assert isinstance(found, Recent)
    return found
