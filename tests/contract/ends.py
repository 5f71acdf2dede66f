"""What becomes of a call for each outcome of the lab carrier: the one table that every switch is held to.

Used by the contract test of ends and by the run of docs/real-freeswitch.md. An end row is (status, sip_code, end_reason,
q850, hangup_by), as it stands on an attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

EndRow = tuple[str, int | None, str, int | None, str | None]


@dataclass(frozen=True, slots=True)
class Ending:
    """`digits`: the called number's last four. `states`: the attempt's states as events tell them, in order.

    `retry`: the class that the retry policy goes by. `invites`: transactions on the wire. `ring_s`: given to the switch
    as ring time, beyond PDD_S; `longest_s`: the longest talk time.
    """

    digits: str
    row: EndRow
    states: str
    retry: str
    invites: int = 1
    ring_s: int = 15
    longest_s: int = 20


#: s; from the INVITE to the first 18x.
PDD_S = 3


def _ended(states: str = "") -> str:
    return f"dialing {states} ended".replace("  ", " ")


ANSWERED = _ended("ringing in_progress")

ENDINGS: dict[str, Ending] = {
    "answered_hangup": Ending("0109", ("completed", 200, "hangup", 16, "callee"), ANSWERED, "answered"),
    "instant_hangup": Ending("0110", ("completed", 200, "hangup", 16, "callee"), ANSWERED, "answered"),
    "hangup_on_ack": Ending("0134", ("completed", 200, "hangup", 16, "callee"), ANSWERED, "answered"),
    "no_18x": Ending(
        "0118", ("completed", 200, "max_duration", 16, "platform"), _ended("in_progress"), "answered", longest_s=1
    ),
    "challenge": Ending(
        "0113", ("completed", 200, "max_duration", 16, "platform"), ANSWERED, "answered", invites=2, longest_s=1
    ),
    "early_media": Ending(
        "0108", ("completed", 200, "max_duration", 16, "platform"), _ended("early in_progress"), "answered", longest_s=2
    ),
    "lost_ack": Ending("0130", ("completed", 200, "hangup", 16, "callee"), ANSWERED, "answered"),
    "lost_bye": Ending("0131", ("completed", 200, "max_duration", 16, "platform"), ANSWERED, "answered", longest_s=3),
    "lost_our_bye": Ending("0132", ("completed", 200, "max_duration", 16, "platform"), ANSWERED, "answered", longest_s=2),
    "reinvite": Ending("0133", ("completed", 200, "hangup", 16, "callee"), ANSWERED, "answered"),
    "busy": Ending("0101", ("busy", 486, "busy", 17, "callee"), _ended("ringing"), "busy"),
    "no_answer": Ending("0102", ("no_answer", None, "no_answer", 19, "platform"), _ended("ringing"), "no_answer", ring_s=1),
    "declined": Ending("0103", ("failed", 603, "declined", 21, "callee"), _ended("ringing"), "declined"),
    "network_blocked": Ending("0116", ("failed", 603, "carrier_block", 21, "carrier"), _ended("ringing"), "carrier_block"),
    "unwanted": Ending("0138", ("failed", 607, "carrier_block", 16, "carrier"), _ended("ringing"), "carrier_block"),
    "analytics": Ending("0139", ("failed", 608, "carrier_block", 21, "carrier"), _ended(), "carrier_block"),
    "unknown_number": Ending("0104", ("failed", 404, "bad_number", 1, "carrier"), _ended(), "bad_number"),
    "unavailable": Ending("0107", ("no_answer", 480, "unavailable", 18, "carrier"), _ended("ringing"), "no_answer"),
    "fault": Ending("0105", ("failed", 503, "carrier_fault", 41, "carrier"), _ended(), "carrier_fault"),
    "cps_limit": Ending("0117", ("failed", 503, "carrier_capacity", 41, "carrier"), _ended(), "carrier_capacity"),
    "channel_limit": Ending("0126", ("failed", 503, "carrier_capacity", 41, "carrier"), _ended(), "carrier_capacity"),
    "circuits_busy": Ending("0137", ("failed", 503, "carrier_capacity", 34, "carrier"), _ended(), "carrier_capacity"),
    "not_acceptable": Ending("0128", ("failed", 488, "incompatible_media", 88, "carrier"), _ended(), "configuration"),
    "timer_too_small": Ending("0129", ("completed", 200, "hangup", 16, "callee"), ANSWERED, "answered"),
    "redirect": Ending("0112", ("failed", 302, "carrier_redirect", 44, "carrier"), _ended(), "carrier_fault"),
    "silent": Ending("0106", ("failed", 408, "carrier_silence", 102, "carrier"), _ended(), "unknown"),
    "trying_only": Ending(
        "0119", ("failed", None, "carrier_silence", 19, "platform"), _ended(), "unknown", ring_s=2
    ),
    "announcement": Ending("0115", ("failed", 404, "bad_number", 1, "carrier"), _ended("early"), "bad_number"),
    "announcement_only": Ending(
        "0135", ("no_answer", None, "no_answer", 19, "platform"), _ended("early"), "no_answer", ring_s=1
    ),
    "early_then_ringing": Ending("0136", ("busy", 486, "busy", 17, "callee"), _ended("early ringing"), "busy"),
    "late_ringing": Ending("0111", ("completed", 200, "max_duration", 16, "platform"), ANSWERED, "answered", longest_s=1),
    "cancel_crosses": Ending(
        "0114", ("no_answer", None, "no_answer", 19, "platform"), _ended("ringing"), "no_answer", ring_s=1
    ),
}  # fmt: skip
