"""Calls that come in: whose they are, who calls, and how one ends that nobody answered. Pure.

Nothing that a caller sends is believed further than it is checked here: a number is E.164 or it is not shown at all, names
and display texts are never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from calls.cause_table import NOTES
from calls.evidence import End, Outcome

#: Stands for a caller who shows no number, or none that can be read.
ANONYMOUS = "anonymous"
#: The route of every call that comes in, in the name of its lane.
ROUTE = "inbound"

# Notes of the platform on a channel that it refuses (trunkline_end_reason), besides those of cause_table.NOTES.
AGENT_BUSY, HOUSE_FULL, AGENT_PAUSED = "agent_busy", "house_full", "agent_paused"
_OURS = frozenset({"customer", "agent", "operator"})
#: What nobody saw the end of: ends without a channel.
_UNSEEN = frozenset({"lost", "never_sent", "carrier_silence", "ring_silence"})

#: The final answer that a cause stands for while the call is unanswered (mod_sofia); 480 for any other.
_ANSWERS = {
    "UNALLOCATED_NUMBER": 404,
    "NO_ROUTE_DESTINATION": 404,
    "USER_BUSY": 486,
    "ORIGINATOR_CANCEL": 487,
    "INCOMPATIBLE_DESTINATION": 488,
    "NORMAL_CIRCUIT_CONGESTION": 503,
    "NORMAL_TEMPORARY_FAILURE": 503,
    "NETWORK_OUT_OF_ORDER": 503,
    "SWITCH_CONGESTION": 503,
    "CALL_REJECTED": 603,
}
_E164 = re.compile(r"[1-9][0-9]{6,14}")
_DIALED = re.compile(r"[0-9*#+]{1,32}")


def number_of(text: str | None) -> str | None:
    """``+`` and digits of what a carrier sent as a number: with ``+``, ``00`` or neither before the country code. None: it
    is no number in E.164.
    """
    digits = (text or "").removeprefix("+").removeprefix("00")
    return f"+{digits}" if _E164.fullmatch(digits) else None


def caller_of(text: str | None) -> str:
    """The caller's number, or :data:`ANONYMOUS`."""
    return number_of(text) or ANONYMOUS


def dialed(text: str | None) -> str:
    """What was dialed, fit for a log: digits and ``* # +``, at most 32; ``?`` for anything else."""
    return text if text and _DIALED.fullmatch(text) else "?"


@dataclass(frozen=True, slots=True)
class Source:
    """An address that a carrier may call from."""

    carrier_id: UUID
    host: str
    port: int


def carrier_of(sources: Iterable[Source], host: str, port: int | None, wanted: UUID | None) -> UUID | None:
    """Whose call it is that came from there: the carrier with exactly this address; else the number's own (``wanted``), if
    it has this host or nobody has; else any that has. None: nobody's, and so nobody counts it.
    """
    there = [source for source in sources if source.host == host]
    exact = {source.carrier_id for source in there if source.port == port}
    hosts = {source.carrier_id for source in there}
    for found in (exact, hosts):
        if wanted in found or not found:
            continue
        return min(found, key=str)
    return wanted


def final_answer(cause: str) -> int:
    """The SIP status that a caller was given whose channel ended so, unanswered."""
    return _ANSWERS.get(cause, 480)


def unanswered(end: End) -> tuple[Outcome, str, str | None]:
    """Outcome, end_reason and who hung up, of a call that came in and was not answered."""
    if end.cause == "ORIGINATOR_CANCEL" and end.disposition != "send_refuse":
        return Outcome.CANCELED, "caller_gave_up", "caller"
    if end.cause in _UNSEEN:
        return Outcome.FAILED, "lost", None
    if end.note == AGENT_BUSY:
        return Outcome.BUSY, "agent_busy", "platform"
    if end.note == HOUSE_FULL:
        return Outcome.FAILED, "house_full", "platform"
    if end.note == AGENT_PAUSED:
        return Outcome.FAILED, "agent_unavailable", "platform"
    if end.note in NOTES:
        return Outcome.FAILED, NOTES[end.note], "platform"
    if end.requested_by in _OURS:
        return Outcome.CANCELED, "canceled", end.requested_by
    if end.cause == "INCOMPATIBLE_DESTINATION":
        return Outcome.FAILED, "incompatible_media", "platform"
    return Outcome.NO_ANSWER, "no_answer", "platform"
