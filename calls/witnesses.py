"""Two witnesses who followed one leg to its end, the event and the CDR, and do not tell the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from calls.causes import normalize
from calls.evidence import Evidence, Source
from calls.lifecycle import AttemptFacts

#: Who saw the leg itself end. Everybody else concludes, and is corrected rather than contradicted.
WITNESSES = frozenset({Source.EVENT, Source.CDR})


@dataclass(frozen=True, slots=True)
class Side:
    """What one witness says of the end, as far as two may not differ in it."""

    cause: str | None
    sip_code: int | None
    answered: bool


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Both sides whole, and the names of what differs."""

    event: Side
    cdr: Side

    @property
    def differ(self) -> tuple[str, ...]:
        return tuple(name for name in Side.__dataclass_fields__ if getattr(self.event, name) != getattr(self.cdr, name))


def contradiction(known: AttemptFacts, evidence: Evidence) -> Contradiction | None:
    """How ``evidence`` contradicts what the other witness has said, whose end is the one that is ``known``; None: it does
    not, or there is no other yet. Both keep their place in the record, and the event's word counts.
    """
    if evidence.end is None or known.evidence is None or {known.evidence, evidence.source} != WITNESSES:
        return None
    end = normalize(evidence.end)
    said = {
        evidence.source: Side(end.cause, end.sip_code, end.answered_at is not None),
        known.evidence: Side(known.cause, known.sip_code, known.answered_at is not None),
    }
    found = Contradiction(said[Source.EVENT], said[Source.CDR])
    return found if found.differ else None
