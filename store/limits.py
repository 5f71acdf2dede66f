"""Between a call's row and the rules of when it may be dialed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from calls.evidence import RetryClass
from calls.retry import NOBODY_RANG
from calls.rules import RetryRules
from calls.windows import Limits, Window, WindowError, zone
from store.classes import known
from store.rows import Call

#: As parameter ``quiet`` of the queries that ask when somebody's phone may have rung.
QUIET = sorted(one.value for one in NOBODY_RANG)
#: Dials before this do not matter to any local day that is not over: no day is longer, wherever it is.
REACH = timedelta(hours=50)


class Unreadable(ValueError):
    """A call's stored rules or window say nothing that could be obeyed: it must not be dialed."""


@dataclass(frozen=True, slots=True)
class Past:
    """An attempt of the call before the one in question. ``rang``: it may have."""

    attempt_id: UUID
    number: int
    retry_class: str | None
    claimed_at: datetime | None
    rang: bool


def rules_of(call: Call, platform: RetryRules) -> RetryRules:
    """The call's own rules where it has some. Raises :class:`Unreadable`."""
    try:
        return platform if call.retry is None else platform.with_(call.retry)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"the stored retry rules cannot be read: {error}") from error


def limits_of(
    call: Call, rules: RetryRules, pdd_s: float, rang: Collection[datetime] = (), others: Collection[datetime] = ()
) -> Limits:
    """When the call may be dialed. ``rang``: its own dials that may have rung, ``others``: those of other calls to its
    number. Raises :class:`Unreadable`.
    """
    try:
        window = None if call.dial_window is None else Window.read(call.dial_window)
    except WindowError as error:
        raise Unreadable(f"the stored window cannot be read: {error}") from error
    return Limits(
        zone=zone(rules.time_zone) if window is None else window.zone,
        need=timedelta(seconds=pdd_s + call.ring_timeout_s),
        window=window,
        per_day=rules.per_day,
        number_per_day=rules.number_per_day,
        rang=rang,
        number_rang=(*rang, *others),
    )


def dials(past: Iterable[Past]) -> list[datetime]:
    """When the call was dialed and may have rung."""
    return [one.claimed_at for one in past if one.claimed_at is not None and one.rang]


def classes(past: Iterable[Past]) -> tuple[RetryClass, ...]:
    """How the call's attempts ended; classes that are written alike (store/classes.py) are treated alike here."""
    return tuple(found for one in past if (found := known(one.retry_class)) is not None)
