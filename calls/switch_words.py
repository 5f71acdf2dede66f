"""How a switch words the end of a leg: one reading for its events and for its call detail records. Pure.

Both carry the same channel variables and the same times, so that two witnesses of one leg can be compared at all. All texts
come from strangers: each is bounded, and taken only when it is what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from calls.causes import REQUESTERS
from calls.evidence import End
from calls.inbound import final_answer

#: The text of a channel variable; None when it is absent, empty, or no text.
Variable: TypeAlias = Callable[[str], str | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = re.compile(r"[1-9][0-9]{14,16}")  # 2001 to the year 5138
_NUMBER = re.compile(r"[0-9]{1,3}")
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]+")
_PHRASE_CHARS = 200
#: The SIP stack's own code for a challenge that it could not answer, or that came again after its answer: 401 or 407.
_BAD_CREDENTIALS = "904"


def end_of(
    variable: Variable,
    *,
    at: datetime,
    cause: str | None,
    ringing_at: datetime | None,
    early_at: datetime | None,
    answered_at: datetime | None,
    inbound: bool = False,
) -> End:
    """The end of a leg as its channel's variables tell it; ``cause``: as told beside them, if it is. ``inbound``: it is a
    caller's.
    """
    cause = cause or variable("hangup_cause") or ""
    disposition = word(variable("sip_hangup_disposition"))
    if answered_at is None and disposition == "recv_bye":
        # 200 and BYE were read in one go, by a switch that had stood still. A callee may only end what it has answered.
        answered_at = at
    sip_code, sip_phrase = _final_answer(variable, disposition) if not inbound else (None, None)
    if inbound:
        early_at = None  # media flows from the answer on, which the switch calls progress too
        sip_code = 200 if answered_at is not None else final_answer(word(cause) or "")
    if sip_code is None and answered_at is not None:
        sip_code = 200  # noted only when the far end hangs up; an answered INVITE had no other
    requested_by = variable("trunkline_hangup_by")
    return End(
        cause=word(cause) or "NORMAL_UNSPECIFIED",
        at=at,
        q850_cause=_number(variable("hangup_cause_q850"), 1, 127),
        sip_code=sip_code,
        sip_phrase=sip_phrase,
        disposition=disposition,
        ringing_at=ringing_at,
        early_at=early_at,
        answered_at=answered_at,
        requested_by=requested_by if requested_by in REQUESTERS else None,
        note=word(variable("trunkline_end_reason")),
        inbound=inbound,
    )


def _final_answer(variable: Variable, disposition: str | None) -> tuple[int | None, str | None]:
    """The carrier's final answer to the INVITE and its words.

    For a CANCEL of its own the switch notes 487 "CANCEL", also when the carrier said something else (302) or nothing.
    """
    failure = _number(variable("sip_invite_failure_status"), 200, 699)
    words = variable("sip_invite_failure_phrase")
    if variable("sip_term_status") == _BAD_CREDENTIALS:
        return 407, None
    own_cancel = disposition == "send_cancel" or (failure == 487 and words == "CANCEL")
    protocol = variable("proto_specific_hangup_cause") or ""
    noted = _number(protocol.removeprefix("sip:"), 200, 699) if protocol.startswith("sip:") else None
    for code in (_number(variable("sip_term_status"), 200, 699), failure, noted):
        if code is not None and not (code == 487 and own_cancel):
            return code, phrase(words) if code == failure else None
    return None, None


def micros(text: str | None) -> datetime | None:
    """A time of the switch, microseconds since 1970 in UTC; 0 means never."""
    if text is None or _MICROS.fullmatch(text) is None:
        return None
    return _EPOCH + timedelta(microseconds=int(text))


def uuid_of(text: str | None) -> UUID | None:
    """A UUID in its usual form of 36 characters."""
    if text is None or len(text) != 36:
        return None
    try:
        return UUID(text)
    except ValueError:
        return None


def word(text: str | None) -> str | None:
    """A name of the switch's: letters, digits and _."""
    return text if text and _WORD.fullmatch(text) else None


def phrase(text: str | None) -> str | None:
    """A stranger's words on one line, without what no terminal should be sent."""
    return " ".join(_UNPRINTABLE.sub(" ", text or "").split())[:_PHRASE_CHARS] or None


def _number(text: str | None, low: int, high: int) -> int | None:
    if text is None or _NUMBER.fullmatch(text) is None:
        return None
    return int(text) if low <= int(text) <= high else None
