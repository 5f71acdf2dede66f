"""Calls that one account asks for at the same moment, accepted in one stroke: nobody waits for company, but whoever asks
while a stroke is under way goes along with the next. Under load that spares most statements, commits and round trips.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID
from weakref import WeakValueDictionary

import psycopg
from psycopg_pool import PoolTimeout

from crashpoint import crash_point
from store import calls
from store.calls import Accepted, Asked
from store.pool import Database
from store.together import BrokenOff, NotBegun, Together
from web.api.push import lane
from web.auth import tenant
from web.runtime import runtime

#: Calls in one stroke, a few ms of work; and strokes of one account at once, in one process.
MOST, STROKES = 32, 1

#: One per account, for as long as somebody asks.
_desks: WeakValueDictionary[tuple[Database, UUID], Together[Asked, Accepted]] = WeakValueDictionary()


def accept_together(asked: Asked) -> Accepted:
    """The request's call, accepted and, where it is due, in its lane. Raises what :func:`store.calls.accept_asked` gives
    in place of it, and what that raises.
    """
    place = (runtime().tenants, tenant().id)
    desk = _desks.get(place)
    if desk is None:
        desk = _desks[place] = Together(_accept, most=MOST, strokes=STROKES, look=True)
    try:
        return desk.do(asked)
    except NotBegun as error:
        raise PoolTimeout("the account's calls of before are not accepted yet") from error  # nothing was done
    except BrokenOff as error:
        raise psycopg.OperationalError("another request was ended while it accepted this one's call") from error


def _accept(asked: Sequence[Asked]) -> list[Accepted | Exception]:
    """By whoever is the first of the stroke, as the account of all of it."""
    ours = runtime()
    done = calls.accept_asked(ours.database, tenant().id, asked, max_queued=ours.settings.tenant_max_queued)
    made = [
        (one, call) for one, call in zip(asked, done, strict=True) if not isinstance(call, Exception) and call.replay is None
    ]
    if made:
        crash_point("web.committed")
        lane([call for one, call in made if call.call.due_at <= one.now and not call.held])
        crash_point("web.laned")
    return done
