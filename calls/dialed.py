"""What one dialed call says about the carrier it was given to.

Only what the carrier's network did counts. Busy, no answer and a refusing callee show that it works; a number that does
not exist, a blocked caller, a call that never left us say nothing about it, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from calls.evidence import RetryClass


class Kind(StrEnum):
    """What a call says about its carrier."""

    CARRIED = "carried"  # the network did its work
    FAULT = "fault"
    REFUSED = "refused"  # for the carrier's own limit
    PENDING = "pending"  # nothing heard yet
    NEUTRAL = "neutral"


#: End reasons that say that the trunk is set up wrongly: every call fails alike until somebody mends it.
UNFIT = frozenset({"incompatible_media", "incompatible_signaling"})
#: End reasons that are the carrier's fault where nobody rang.
FAULTS = frozenset({"carrier_fault", "carrier_account", "carrier_redirect", "carrier_silence"}) | UNFIT
#: Retry classes that show a working network.
CARRIED = frozenset({RetryClass.ANSWERED, RetryClass.BUSY, RetryClass.NO_ANSWER, RetryClass.DECLINED})
#: Who followed the leg. Everybody else concludes from silence, which may as well be ours.
WITNESSES = frozenset({"event", "cdr"})


@dataclass(frozen=True, slots=True)
class Dialed:
    """One call given to the carrier. ``known_at``: its first ring or its end; ``heard_at``: when the carrier first said
    anything (a ring, an answer, a final code); ``pdd_s``: INVITE to the first 18x or 200. ``unfit``: refused for its form.
    """

    dialed_at: datetime
    kind: Kind
    known_at: datetime | None = None
    heard_at: datetime | None = None
    said: str = ""
    pdd_s: float | None = None
    answered: bool = False
    unfit: bool = False
    tenant: str = ""
    switch: str = ""


class Row(Protocol):
    """What is read of an attempt; store.outcomes.Outcome is one."""

    @property
    def claimed_at(self) -> datetime: ...
    @property
    def ringing_at(self) -> datetime | None: ...
    @property
    def early_at(self) -> datetime | None: ...
    @property
    def answered_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def evidence(self) -> str | None: ...
    @property
    def end_reason(self) -> str | None: ...
    @property
    def retry_class(self) -> str | None: ...
    @property
    def cause(self) -> str | None: ...
    @property
    def sip_code(self) -> int | None: ...
    @property
    def sip_phrase(self) -> str | None: ...
    @property
    def switch(self) -> str | None: ...
    @property
    def tenant(self) -> str: ...


def dialed(row: Row) -> Dialed:
    """The row of an attempt as what it says of its carrier."""
    heard = [at for at in (row.ringing_at, row.early_at, row.answered_at) if at is not None]
    first = min(heard, default=None)
    return Dialed(
        dialed_at=row.claimed_at,
        kind=_kind(row, first),
        known_at=first or row.ended_at,
        heard_at=first or (row.ended_at if row.sip_code is not None and row.end_reason != "carrier_silence" else None),
        said=_said(row),
        pdd_s=None if first is None else max(0.0, (first - row.claimed_at).total_seconds()),
        answered=row.answered_at is not None,
        unfit=row.end_reason in UNFIT and row.evidence in WITNESSES,
        tenant=row.tenant,
        switch=row.switch or "",
    )


def _kind(row: Row, first: datetime | None) -> Kind:
    if row.ended_at is None:
        return Kind.PENDING if first is None else Kind.CARRIED
    if row.answered_at is not None or row.retry_class in CARRIED:
        return Kind.CARRIED
    if row.cause == "GATEWAY_DOWN":
        return Kind.FAULT
    if row.evidence not in WITNESSES:
        return Kind.NEUTRAL if first is None else Kind.CARRIED
    if row.retry_class == RetryClass.CARRIER_CAPACITY:
        return Kind.REFUSED
    if row.end_reason in FAULTS:
        return Kind.FAULT if row.ringing_at is None else Kind.NEUTRAL
    return Kind.NEUTRAL if first is None or row.retry_class == RetryClass.BAD_NUMBER else Kind.CARRIED


def _said(row: Row) -> str:
    if row.ended_at is None:
        return "no answer"
    if row.sip_code is not None and row.end_reason != "carrier_silence":
        return f"{row.sip_code} {row.sip_phrase}" if row.sip_phrase else str(row.sip_code)
    return {"carrier_silence": "no answer", "switch_local": "gateway down"}.get(row.end_reason or "", row.end_reason or "")
