"""Why somebody may be called by a machine at all: what the call says of it, and which countries ask for it. Pure.

Which country asks is data with its sources: calls/data/consent.toml. It is our reading of public texts and no legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from calls.data import document

#: Closed list, and what each means.
BASES: dict[str, str] = {
    "express_written": "prior express written consent, signed on paper or electronically",
    "express": "prior express consent, oral or written",
    "requested": "the callee asked for this very call",
    "contract": "the callee's contract needs the call: a delivery, an appointment, a payment",
    "existing_customer": "an existing business relationship",
    "legitimate_interest": "a legitimate interest that was weighed and written down",
    "emergency": "life, health or safety is at stake",
}
REFERENCE_MAX = 255
#: Kinds of agents by which a person speaks: a telephone. Of any other, one that is new here too, the voice is a machine's.
HUMAN_KINDS = frozenset({"sip"})


@dataclass(frozen=True, slots=True)
class Consent:
    """``basis``: a key of :data:`BASES`; ``at``: when it was given; ``reference``: where its proof is."""

    basis: str
    at: datetime | None = None
    reference: str | None = None

    @classmethod
    def read(cls, value: object) -> Consent | None:
        """As :meth:`as_dict` wrote it; None stays None. ValueError for anything else."""
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ValueError("consent: must be an object")
        basis, at, reference = (value.get(name) for name in ("basis", "at", "reference"))
        if not isinstance(basis, str) or basis not in BASES:
            raise ValueError(f"consent: basis must be one of {', '.join(BASES)}")
        if not isinstance(at, str | None) or not isinstance(reference, str | None):
            raise ValueError("consent: at and reference must be texts")
        return cls(basis, None if at is None else datetime.fromisoformat(at), reference)

    def as_dict(self) -> dict[str, str | None]:
        at = None if self.at is None else self.at.isoformat()
        return {"basis": self.basis, "at": at, "reference": self.reference}


@dataclass(frozen=True, slots=True)
class Demand:
    """A country's: the ``bases`` that it takes."""

    bases: frozenset[str]


def demand(country: str) -> Demand | None:
    """What the country asks for; None: nothing is known that it asks."""
    return _demands().get(country)


@lru_cache(maxsize=1)
def _demands() -> dict[str, Demand]:
    return {one["country"]: Demand(frozenset(one["bases"])) for one in document("consent")["country"]}
