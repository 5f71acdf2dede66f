"""Calls with rules of their own, and short ways to dial and end them at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from calls.evidence import Evidence
from calls.retry import RetryRules
from calls.windows import Window
from store import attempts
from store.attempts import Claimed, Refused
from store.calls import Accepted
from tests.store.conftest import T0, TIMERS, World

#: Noon of a Wednesday, and the calls' numbers below are each a test's own.
NOON = T0.replace(minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
OFFICE = Window.read({"time_zone": "UTC", "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:30"})
#: The last moment from which 25 s to ring and 30 s to answer end inside of it.
LAST = NOON.replace(hour=17, minute=29, second=5)
_numbers: Iterator[int] = iter(range(15_112_000_000, 15_113_000_000))


def new_number() -> str:
    return f"+49{next(_numbers)}"


def rules(**changes: Any) -> RetryRules:
    return RetryRules().with_(changes)


def waiting(world: World, **changes: Any) -> Accepted:
    """A call due at noon, for a week, to a number of its own."""
    given = {"to_number": new_number(), "due_at": NOON, "expires_at": NOON + 7 * DAY, "retry": rules(), **changes}
    return world.accept(**given)


def claim(world: World, attempt_id: UUID, moment: datetime, **changes: Any) -> Claimed | Refused:
    return world.claim(attempt_id, now=moment, clock=moment, **changes)


def dialed(world: World, attempt_id: UUID, moment: datetime = NOON) -> None:
    found = claim(world, attempt_id, moment)
    assert isinstance(found, Claimed), found


def ends(world: World, evidence: Evidence, moment: datetime, platform: RetryRules | None = None) -> attempts.Applied:
    (applied,) = attempts.apply_evidence(world.db, [evidence], rules=platform or RetryRules(), timers=TIMERS, now=moment)
    return applied


def ended(world: World, attempt_id: UUID, moment: datetime, cause: str = "USER_BUSY", **known: Any) -> attempts.Applied:
    if cause == "USER_BUSY":
        known |= {"sip_code": 486, "sip_phrase": "Busy Here", "disposition": "recv_refuse"}
    seconds = (moment - T0).total_seconds()
    return ends(world, world.ended(attempt_id, cause, seconds, **known), moment)


def the_queued(world: World, accepted: Accepted) -> Any:
    """due_at, dial_until, in a lane, of the call's queued attempt."""
    ((due_at, until, laned),) = world.rows(
        "SELECT due_at, dial_until, pushed_epoch IS NOT NULL FROM attempts WHERE call_id = %s AND state = 'queued'",
        accepted.call.id,
    )
    return due_at, until, laned


def events(world: World, accepted: Accepted, kind: str) -> list[Any]:
    return [row[0] for row in world.rows(
        "SELECT data FROM call_events WHERE call_id = %s AND type = %s ORDER BY id", accepted.call.id, kind
    )]  # fmt: skip
