"""Between an attempt's retry class and the text of its column, which versions before and after this one read too.

A version before raises on a class that it does not know. So a newer class is written as an older one that it is treated as
where nobody tells them apart, and known again by the rest of its row. A class of a later version is read as one that is
never redialed, uses up an attempt, and may have rung.
"""

from __future__ import annotations

from calls.dialed import UNFIT
from calls.evidence import RetryClass

#: What versions before migration 0012 do not know, and what they treat alike: nobody rang, and free; never repeated.
_WRITTEN = {RetryClass.CONFIGURATION: RetryClass.SWITCH_LOCAL, RetryClass.INBOUND: RetryClass.POLICY}


def written(retry_class: RetryClass | None) -> str | None:
    """The column of an attempt of that class."""
    return None if retry_class is None else _WRITTEN.get(retry_class, retry_class).value


def known(column: str | None) -> RetryClass | None:
    """The class as the column alone says it."""
    if column is None:
        return None
    try:
        return RetryClass(column)
    except ValueError:
        return RetryClass.POLICY


def read(column: str | None, end_reason: str | None, *, inbound: bool) -> RetryClass | None:
    """The class as the whole row says it."""
    found = known(column)
    if found is RetryClass.SWITCH_LOCAL and end_reason in UNFIT:
        return RetryClass.CONFIGURATION
    if found is RetryClass.POLICY and inbound:
        return RetryClass.INBOUND
    return found
