"""What is known of a call that may be dialed, and what the rules say to it: the vocabulary of calls/permission.py. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from calls.consent import Consent
from calls.places import NOWHERE, Place, Recipient
from calls.standing import Standing
from calls.windows import Limits


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a rule may look at. ``limits``: ring need, the call's window, the hours of its place, dials per day.

    A rule that needs more adds a field with a default here, or reads its member of ``standing.more``.
    """

    to: str
    caller: str
    agent_kind: str
    standing: Standing
    place: Place
    limits: Limits
    consent: Consent | None = None
    recipient: Recipient = NOWHERE
    window_is_recipients: bool = False  # the call's window is by the recipient's clock


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that forbids the dial. ``rule``: a key of :data:`calls.cause_table.BLOCKED_BY`; ``code``: stable, for
    programs; ``pointer``: RFC 6901, the field of the request that it is about; ``detail``: what is wrong, ``remedy``: what
    to do. ``until``: the first moment at which this rule no longer forbids it; None: for ever.
    """

    rule: str
    code: str
    pointer: str
    detail: str
    remedy: str
    until: datetime | None = None
    again: bool = False

    @property
    def final(self) -> bool:
        return self.until is None

    @property
    def words(self) -> str:
        return f"{self.detail}; {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        """Compact, for the decision."""
        until = None if self.until is None else self.until.isoformat()
        return {"rule": self.rule, "code": self.code, "detail": self.detail, "until": until}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all rules together say at ``at``, under ``ruleset``. No findings: it may be dialed."""

    at: datetime
    ruleset: str
    facts: Facts
    findings: tuple[Finding, ...] = ()

    @property
    def permitted(self) -> bool:
        return not self.findings

    @property
    def final(self) -> Finding | None:
        """The first finding that holds for ever, if there is one."""
        return next((one for one in self.findings if one.final), None)

    @property
    def first(self) -> Finding | None:
        """The finding that decides: one that holds for ever before one that passes."""
        return self.final or next(iter(self.findings), None)

    @property
    def refusing(self) -> tuple[Finding, ...]:
        """The findings for which a new call is not accepted."""
        return tuple(one for one in self.findings if one.final or one.again)

    @property
    def until(self) -> datetime | None:
        """When all findings have passed; None: there is none, or never."""
        return None if self.final else max((one.until for one in self.findings if one.until is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """The decision as it is kept with the attempt, compact JSON types."""
        place, standing = self.facts.place, self.facts.standing
        stated, whose = (self.facts.consent, "call") if self.facts.consent is not None else (standing.consent, "tenant")
        return {
            "ruleset": self.ruleset,
            "at": self.at.isoformat(),
            "permitted": self.permitted,
            "findings": [one.as_dict() for one in self.findings],
            "country": place.country or None,
            "zones": list(place.zones),
            "zone_by": place.by,
            "local_times": sorted(
                {self.at.astimezone(ZoneInfo(name)).isoformat(timespec="minutes") for name in place.zones}
            ),
            "hours": standing.hours,
            "consent": None if stated is None else {"by": whose, **stated.as_dict()},
            "caller_id": standing.caller_id,
        }
