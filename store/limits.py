"""Between a call's row and the rules of when it may be dialed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from calls.evidence import RetryClass
from calls.hours import legal
from calls.places import Place, Recipient, place_of
from calls.retry import NOBODY_RANG
from calls.rules import RetryRules
from calls.windows import Limits, Opens, RecipientWindow, WindowError, read_window, zone
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
    """When the call may be dialed, by what held for its tenant when it was accepted. ``rang``: its own dials that may have
    rung, ``others``: those of other calls to its number. Raises :class:`Unreadable`.
    """
    place = place_of_call(call, None)
    limits, _ = limits_at(call, rules, pdd_s, place, rang, others)
    kept = isinstance(call.recipient, dict) and call.recipient.get("hours") == "country"
    return replace(limits, hours=legal(place.countries, place.zones)) if kept and place.zones else limits


def place_of_call(call: Call, default_zone: str | None) -> Place:
    """Where its phone is. ``default_zone``: its tenant's now; None: as it was at the accept. Raises :class:`Unreadable`."""
    try:
        recipient = Recipient.read(call.recipient)
    except ValueError as error:
        raise Unreadable(f"the stored recipient cannot be read: {error}") from error
    return place_of(call.to_number, recipient, default_zone or recipient.otherwise)


def limits_at(
    call: Call,
    rules: RetryRules,
    pdd_s: float,
    place: Place,
    rang: Collection[datetime] = (),
    others: Collection[datetime] = (),
) -> tuple[Limits, bool]:
    """The same without hours, for a phone at ``place``, and whether its window goes by the clock there. Without a zone such
    a window is left out: calls/outbound_rules.py forbids the call for that. Raises :class:`Unreadable`.
    """
    window: Opens | None = None
    days, recipients = rules.time_zone, False
    try:
        stored = None if call.dial_window is None else read_window(call.dial_window)
    except WindowError as error:
        raise Unreadable(f"the stored window cannot be read: {error}") from error
    if isinstance(stored, RecipientWindow):
        recipients = True
        if place.zones:
            window, days = stored.at(place.zones), place.zones[0]
    elif stored is not None:
        window, days = stored, stored.zone.key
    limits = Limits(
        zone=zone(days),
        need=timedelta(seconds=pdd_s + call.ring_timeout_s),
        window=window,
        per_day=rules.per_day,
        number_per_day=rules.number_per_day,
        rang=rang,
        number_rang=(*rang, *others),
    )
    return limits, recipients


def dials(past: Iterable[Past]) -> list[datetime]:
    """When the call was dialed and may have rung."""
    return [one.claimed_at for one in past if one.claimed_at is not None and one.rang]


def classes(past: Iterable[Past]) -> tuple[RetryClass, ...]:
    """How the call's attempts ended; classes that are written alike (store/classes.py) are treated alike here."""
    return tuple(found for one in past if (found := known(one.retry_class)) is not None)
