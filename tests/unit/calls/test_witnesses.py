"""What two witnesses of one leg may not differ in, and who is no witness."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from calls.evidence import End, Evidence, Source, State
from calls.lifecycle import AttemptFacts, fold
from calls.witnesses import Side, contradiction

ATTEMPT = UUID("0193f4a0-0000-7000-8000-000000000001")
T0 = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
BUSY = End("USER_BUSY", T0, q850_cause=17, sip_code=486, sip_phrase="Busy Here", disposition="recv_refuse", ringing_at=T0)
ANSWERED = End("NORMAL_CLEARING", T0, sip_code=200, disposition="recv_bye", answered_at=T0)


def said(source: Source, end: End) -> Evidence:
    return Evidence(ATTEMPT, source.value, source, State.ENDED, end.at, end)


def known(*evidence: Evidence) -> AttemptFacts:
    return fold(AttemptFacts(), evidence)


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        (BUSY, ()),
        # A moment more or less, other words, another note: no other end.
        (replace(BUSY, at=T0 + timedelta(seconds=1), sip_phrase="BUSY", note="agent_lost", ringing_at=None), ()),
        (replace(BUSY, cause="user_busy "), ()),
        (replace(BUSY, sip_code=600), ("sip_code",)),
        (replace(BUSY, cause="CALL_REJECTED"), ("cause",)),
        (replace(BUSY, answered_at=T0), ("answered",)),
        (ANSWERED, ("cause", "sip_code", "answered")),
    ],
)
@pytest.mark.parametrize("sources", [(Source.EVENT, Source.CDR), (Source.CDR, Source.EVENT)])
def test_two_witnesses(sources: tuple[Source, Source], other: End, differ: tuple[str, ...]) -> None:
    first, second = sources
    found = contradiction(known(said(first, BUSY)), said(second, other))
    assert (found.differ if found else ()) == differ
    if found:
        of_busy = found.event if first is Source.EVENT else found.cdr
        assert of_busy == Side("USER_BUSY", 486, answered=False)


def test_our_own_cancel_is_no_answer_of_the_carriers() -> None:
    canceled = End("ORIGINATOR_CANCEL", T0, sip_code=487, sip_phrase="CANCEL", disposition="send_cancel")
    assert contradiction(known(said(Source.EVENT, canceled)), said(Source.CDR, replace(canceled, sip_code=None))) is None


@pytest.mark.parametrize("weak", [Source.RECONCILE, Source.WATCHDOG, Source.OPERATOR])
@pytest.mark.parametrize("strong", [Source.EVENT, Source.CDR])
def test_a_conclusion_is_corrected_and_contradicts_nobody(weak: Source, strong: Source) -> None:
    lost = End("lost", T0)
    assert contradiction(known(said(weak, lost)), said(strong, ANSWERED)) is None
    assert contradiction(known(said(strong, ANSWERED)), said(weak, lost)) is None


def test_one_witness_alone_contradicts_nobody() -> None:
    assert contradiction(AttemptFacts(), said(Source.CDR, ANSWERED)) is None
    ringing = Evidence(ATTEMPT, "r", Source.EVENT, State.RINGING, T0)
    assert contradiction(known(said(Source.CDR, ANSWERED)), ringing) is None
    assert contradiction(known(said(Source.EVENT, BUSY)), said(Source.EVENT, ANSWERED)) is None
