"""The numbers that a test key may call, and what becomes of each call: docs/test-keys.md has the same table. Pure.

All are +1 NXX 555-01xx, which the numbering plan keeps for fiction, so that none is ever a person's; what happens is told by
the last four digits, in any area. The laboratory's carrier (lab/carrier/outcomes.py) does it; a test holds the two together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The route of every call placed with a test key, and its prefix, which no number has: no country code begins with 0.
TEST_ROUTE, NO_NUMBER = "test", "000000000000000"
#: How test numbers look, for people.
PATTERN = "+1 NXX 555-01xx"
_FORM = re.compile(r"[+]1[2-9][0-9]{2}555(01[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a call to a number that ends so. ``outcome``: the laboratory's own name of it; ``status``,
    ``end_reason`` and ``sip_code`` as the call has them in the end, after one attempt. ``stays``: the callee does not hang
    up, so the end is whoever's who does.
    """

    ending: str
    outcome: str
    happens: str
    status: str
    end_reason: str
    sip_code: int | None
    stays: bool = False


_ROWS = (
    ("0101", "busy", "rings, then busy (486)", "busy", "busy", 486),
    ("0102", "no_answer", "rings until the ring timeout; nobody answers", "no_answer", "no_answer", None),
    ("0103", "declined", "rings, then is refused by the callee (603)", "failed", "declined", 603),
    ("0104", "unknown_number", "no such number (404)", "failed", "bad_number", 404),
    ("0105", "fault", "a fault of the carrier (503)", "failed", "carrier_fault", 503),
    ("0106", "silent", "the carrier says nothing at all", "failed", "carrier_silence", 408),
    ("0107", "unavailable", "rings, then unavailable (480): out of reach", "no_answer", "unavailable", 480),
    ("0109", "answered_hangup", "answered; the callee talks and hangs up after 3 s", "completed", "hangup", 200),
    ("0110", "instant_hangup", "answered; the callee hangs up after 0.3 s", "completed", "hangup", 200),
    ("0115", "announcement", "an announcement, then no such number (404)", "failed", "bad_number", 404),
    ("0116", "network_blocked", "blocked by the network as spam (603)", "failed", "carrier_block", 603),
    ("0119", "trying_only", "100 Trying, and never another word", "failed", "carrier_silence", None),
    (
        "0125",
        "answered_tone_hangup",
        "answered; a tone of 440 Hz, then the callee hangs up after 3 s",
        "completed",
        "hangup",
        200,
    ),
    ("0138", "unwanted", "rings, then is refused as unwanted (607)", "failed", "carrier_block", 607),
    ("0139", "analytics", "blocked by the callee's network (608)", "failed", "carrier_block", 608),
)
#: The callee does not hang up: whoever does, or the longest talk time, ends them.
_STAY = (
    ("0108", "early_media", "audio before the answer (183), then answered"),
    ("0111", "late_ringing", "a late answer: rings after 9 s, then answered"),
    ("0118", "no_18x", "answered after 1 s without ringing"),
    ("0120", "answered", "answered; the callee talks on and off"),
    ("0122", "answered_silent", "answered; the callee says nothing"),
    ("0123", "answered_echo", "answered; you hear yourself 1 s later"),
    ("0124", "answered_dtmf", "answered; the callee presses 1 2 # after 1 s"),
    ("0140", "answered_machine", "answered by a machine: a greeting of 4 s, a beep, then silence"),
)
#: By ending.
FATES: dict[str, Fate] = {row[0]: Fate(*row) for row in _ROWS} | {
    row[0]: Fate(*row, "completed", "hangup", 200, stays=True) for row in _STAY
}


def fate_of(number: str) -> Fate | None:
    """What becomes of a test call to that number (E.164); None: it is no test number."""
    found = _FORM.fullmatch(number)
    return None if found is None else FATES.get(found[1])
