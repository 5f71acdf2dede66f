"""The one table from a hangup to what it means. Data only; :mod:`calls.causes` reads it, first matching row wins.

Sources: FreeSWITCH's SIP to cause mapping (mod_sofia), RFC 3261 and RFC 3398 (SIP and Q.850), RFC 8197 and RFC 8688
(607, 608), RFC 8224 (identity), ATIS-1000099 (603 "Network Blocked"), and recorded events of FreeSWITCH 1.10.12.
Where nothing proves that nobody rang, the row says ``UNKNOWN``: such an attempt is never redialed. The proof is the
carrier's final code from a witness that followed the leg (so it would have seen the ring), not the cause alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from calls.evidence import Outcome, RetryClass
from calls.phrases import Text
from calls.rejects import Means

# Names of ours for ends without a channel; FreeSWITCH's own are in upper case.
NEVER_SENT = "never_sent"
CARRIER_SILENCE = "carrier_silence"  # past the deadline, nothing heard
RING_SILENCE = "ring_silence"  # past the deadline, last heard ringing
LOST = "lost"
CUSTOMER_CANCEL = "customer_cancel"
EXPIRED = "expired"
BLOCKED = "blocked"
#: What a rule that forbids a call for ever is called (calls/permission.py), and the end reason ``blocked_<rule>`` in words.
BLOCKED_BY: dict[str, str] = {
    "number": "The number is of a kind that is never dialed: emergency, premium rate, short code, satellite.",
    "trunk": "By then the trunk, or who is behind it, was not the agent's any more, or the trunk was another account's.",
    "destination": "The number is not on the account's list of destinations, of a higher risk, or dialed by nobody here.",
    "caller_id": "The number to show is neither verified for the account nor assigned to it.",
    "consent": "The callee's country asks for a consent that the call does not name.",
    "zone": "Nobody knows what time it is where the number rings.",
    "hours": "People there are not called at any hour that is left.",
    "window": "The call's window leaves no moment.",
    "suppressed": "The number is on the account's list of numbers that are not called, or on the house's.",
    "no_price": "The account's spend is capped, and nobody knows what calls to this number cost.",
}
OWN_CAUSES = frozenset(
    {NEVER_SENT, CARRIER_SILENCE, RING_SILENCE, LOST, CUSTOMER_CANCEL, EXPIRED, BLOCKED}
    | {f"{BLOCKED}_{rule}" for rule in BLOCKED_BY}
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row matches when every condition that is given holds."""

    outcome: Outcome
    reason: str  # a key of END_REASONS
    retry: RetryClass
    hangup_by: str | None = None  # of a canceled attempt: only where nobody is known to have asked
    uncertain: bool = False
    causes: frozenset[str] | None = None
    codes: frozenset[int] | None = None  # the carrier's final SIP answer; a row with codes needs one
    coded: bool | None = None  # whether the carrier gave a final answer at all
    text: Text | None = None  # what the phrase speaks of, where the carrier's own list says nothing of it
    said: Means | None = None  # what that list says
    rang: bool | None = None  # whether any 18x, with or without media, was seen
    own_cancel: bool | None = None  # whether our own CANCEL ended it
    local: bool | None = None  # whether the switch refused it without an INVITE
    requested: frozenset[str] | None = None  # who asked for the hangup; a row with it needs somebody


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


#: What the platform may note on a channel that it ends itself, by end reason.
NOTES: dict[str, str] = {
    **dict.fromkeys(
        _names("agent_address_refused agent_not_ready agent_refused agent_unknown agent_unreachable announcement_missing"),
        "agent_unavailable",
    ),
    "no_seat": "agent_unavailable",
    **dict.fromkeys(_names("agent_lost agent_protocol"), "agent_lost"),
    **dict.fromkeys(_names("announcement_failed media_lost relay_fault switch_link_lost voice_refused"), "media_lost"),
}

_CUSTOMERS = _names("customer agent operator")
_PLATFORM = _names("platform")

_LOCAL = _names("GATEWAY_DOWN INVALID_GATEWAY INVALID_PROFILE INVALID_URL CHAN_NOT_IMPLEMENTED")
_CANCEL = _names("ORIGINATOR_CANCEL NORMAL_CLEARING MANAGER_REQUEST NORMAL_UNSPECIFIED")
_TIMEOUT = _names("NO_ANSWER PROGRESS_TIMEOUT RECOVERY_ON_TIMER_EXPIRE") | {CARRIER_SILENCE, RING_SILENCE}
_CIRCUIT = _names("NORMAL_CIRCUIT_CONGESTION SWITCH_CONGESTION REQUESTED_CHAN_UNAVAIL")
_FAULT = _names(
    "NORMAL_TEMPORARY_FAILURE NETWORK_OUT_OF_ORDER DESTINATION_OUT_OF_ORDER SERVICE_UNAVAILABLE INTERWORKING"
    " SERVICE_NOT_IMPLEMENTED FACILITY_NOT_IMPLEMENTED EXCHANGE_ROUTING_ERROR NO_ROUTE_TRANSIT_NET NORMAL_UNSPECIFIED"
    " PROTOCOL_ERROR FACILITY_REJECTED"
)
_IDENTITY = _names("NO_IDENTITY BAD_IDENTITY_INFO UNSUPPORTED_CERTIFICATE INVALID_IDENTITY")
_NUMBER = _names("UNALLOCATED_NUMBER NO_ROUTE_DESTINATION NUMBER_CHANGED INVALID_NUMBER_FORMAT")
_MEDIA = _names("INCOMPATIBLE_DESTINATION BEARERCAPABILITY_NOTAUTH BEARERCAPABILITY_NOTIMPL")
_AWAY = _names("NO_USER_RESPONSE SUBSCRIBER_ABSENT")

_REDIRECT = frozenset(range(300, 400))
_REFUSED = frozenset(range(400, 700))
#: Not 404 ("no such line" is a dead number, and a full trunk is redialed for nothing) nor 600, which is busy everywhere.
_MAY_SPEAK_OF_CAPACITY = _codes(403, 429, 480, 500, 502, 503, 603)
_MAY_SPEAK_OF_MONEY = _codes(403, 404, 480, 500, 503, 603)
_MEDIA_CODES = _codes(406, 415, 488, 606)
#: What the far end cannot do with the form of our INVITE: too large, an extension, the session timer, the security.
_FORM = _codes(413, 414, 416, 417, 420, 421, 422, 423, 493, 494, 505, 513, 580)

_BUSY, _NO_ANSWER, _FAILED = Outcome.BUSY, Outcome.NO_ANSWER, Outcome.FAILED
_CANCELED, _EXPIRED, _BLOCKED = Outcome.CANCELED, Outcome.EXPIRED, Outcome.BLOCKED
_C = RetryClass

#: Only for attempts nobody answered; an answered one is completed before this table is asked.
# fmt: off
ROWS: tuple[Row, ...] = (
    # Ends of ours: no channel ever was.
    Row(_FAILED, "not_sent", _C.NOT_SENT, causes=_names(NEVER_SENT), rang=False),
    Row(_EXPIRED, "expired", _C.POLICY, "platform", causes=_names(EXPIRED)),
    Row(_BLOCKED, "blocked", _C.POLICY, "platform", causes=_names(BLOCKED)),
    *(Row(_BLOCKED, f"blocked_{rule}", _C.POLICY, "platform", causes=_names(f"{BLOCKED}_{rule}")) for rule in BLOCKED_BY),
    Row(_CANCELED, "canceled", _C.CANCELED, "customer", causes=_names(CUSTOMER_CANCEL)),

    # Refused inside our own switch. With a ring seen it cannot be this attempt's own refusal.
    Row(_FAILED, "switch_local", _C.SWITCH_LOCAL, local=True, rang=False),
    Row(_FAILED, "switch_local", _C.SWITCH_LOCAL, causes=_LOCAL, coded=False, rang=False),

    # A redirect we refuse. The switch drops its own leg, so it looks like a CANCEL of ours.
    Row(_FAILED, "carrier_redirect", _C.UNKNOWN, "carrier", True, codes=_REDIRECT, rang=True),
    Row(_FAILED, "carrier_redirect", _C.CARRIER_FAULT, "carrier", codes=_REDIRECT),
    Row(_FAILED, "carrier_redirect", _C.CARRIER_FAULT, "carrier",
        causes=_names("REQUESTED_CHAN_UNAVAIL"), own_cancel=True, rang=False),

    # Somebody of ours hung up before an answer; the CANCEL may have crossed a 200. The platform kills only what
    # outlived its deadline: that is a timeout, not a wish.
    Row(_CANCELED, "canceled", _C.CANCELED, None, True, causes=_CANCEL, coded=False, requested=_CUSTOMERS),
    Row(_NO_ANSWER, "no_answer", _C.NO_ANSWER, "platform", True,
        causes=_CANCEL, coded=False, requested=_PLATFORM, rang=True),
    Row(_FAILED, "carrier_silence", _C.UNKNOWN, "platform", True, causes=_CANCEL, coded=False, requested=_PLATFORM),
    Row(_CANCELED, "canceled", _C.CANCELED, "platform", True, causes=_CANCEL, coded=False, own_cancel=True),

    # What the carrier said, as its own list of texts reads it. A full trunk and a fault are proven only where nobody rang.
    Row(_FAILED, "carrier_capacity", _C.CARRIER_CAPACITY, "carrier", codes=_REFUSED, said=Means.CPS, rang=False),
    Row(_FAILED, "carrier_capacity", _C.CARRIER_CAPACITY, "carrier", codes=_REFUSED, said=Means.CHANNELS, rang=False),
    Row(_FAILED, "carrier_fault", _C.CARRIER_FAULT, "carrier", codes=_REFUSED, said=Means.OUTAGE, rang=False),
    Row(_FAILED, "carrier_block", _C.CARRIER_BLOCK, "carrier", codes=_REFUSED, said=Means.BLOCKED),
    Row(_FAILED, "bad_number", _C.BAD_NUMBER, "carrier", codes=_REFUSED, said=Means.BAD_NUMBER),
    Row(_FAILED, "carrier_capacity", _C.UNKNOWN, "carrier", True, codes=_REFUSED, said=Means.CPS),
    Row(_FAILED, "carrier_capacity", _C.UNKNOWN, "carrier", True, codes=_REFUSED, said=Means.CHANNELS),
    Row(_FAILED, "carrier_fault", _C.UNKNOWN, "carrier", True, codes=_REFUSED, said=Means.OUTAGE),

    # What the carrier said, by its code.
    Row(_BUSY, "busy", _C.BUSY, "callee", codes=_codes(486, 600)),
    Row(_FAILED, "identity_refused", _C.CARRIER_BLOCK, "carrier", codes=_codes(428, 436, 437, 438)),
    Row(_FAILED, "identity_refused", _C.CARRIER_BLOCK, "carrier", codes=_codes(403, 429, 503, 603), text=Text.IDENTITY),
    Row(_FAILED, "carrier_capacity", _C.CARRIER_CAPACITY, "carrier",
        codes=_MAY_SPEAK_OF_CAPACITY, text=Text.CAPACITY, rang=False),
    Row(_FAILED, "carrier_capacity", _C.CARRIER_CAPACITY, "carrier", codes=_codes(429), rang=False),
    Row(_FAILED, "carrier_capacity", _C.CARRIER_CAPACITY, "carrier",
        codes=_codes(480, 500, 502, 503), causes=_CIRCUIT, rang=False),
    Row(_FAILED, "carrier_account", _C.CARRIER_FAULT, "carrier", codes=_codes(401, 402, 407), rang=False),
    Row(_FAILED, "carrier_account", _C.CARRIER_FAULT, "carrier",
        codes=_MAY_SPEAK_OF_MONEY, text=Text.MONEY, rang=False),
    Row(_FAILED, "carrier_block", _C.CARRIER_BLOCK, "carrier", codes=_codes(480, 503, 603), text=Text.BLOCKED),
    Row(_FAILED, "carrier_block", _C.CARRIER_BLOCK, "carrier", codes=_codes(401, 402, 403, 407, 433, 607, 608)),
    Row(_FAILED, "declined", _C.DECLINED, "callee", codes=_codes(603)),
    Row(_FAILED, "bad_number", _C.BAD_NUMBER, "carrier", codes=_codes(404, 410, 484, 485, 604)),
    Row(_FAILED, "incompatible_media", _C.CONFIGURATION, "carrier", codes=_MEDIA_CODES, rang=False),
    Row(_FAILED, "incompatible_media", _C.UNKNOWN, "carrier", True, codes=_MEDIA_CODES),
    Row(_FAILED, "incompatible_signaling", _C.CONFIGURATION, "carrier", codes=_FORM, rang=False),
    Row(_NO_ANSWER, "unavailable", _C.NO_ANSWER, "carrier", codes=_codes(480)),
    # After ringing, 408 and 487 are the carrier's own ring timer. Before it, 408 is also what the switch notes when
    # nothing came at all, and then somebody may have rung.
    Row(_NO_ANSWER, "no_answer", _C.NO_ANSWER, "carrier", codes=_codes(408, 487), rang=True),
    Row(_FAILED, "carrier_silence", _C.UNKNOWN, "carrier", True, codes=_codes(408)),
    Row(_FAILED, "carrier_fault", _C.CARRIER_FAULT, "carrier", codes=_REFUSED, rang=False),
    Row(_FAILED, "carrier_fault", _C.UNKNOWN, "carrier", True, codes=_REFUSED),

    # Our own timeouts.
    Row(_NO_ANSWER, "no_answer", _C.NO_ANSWER, "platform", True, causes=_TIMEOUT, rang=True),
    Row(_FAILED, "carrier_silence", _C.UNKNOWN, "platform", True, causes=_TIMEOUT),

    # No code survived: the cause alone. CALL_REJECTED does not tell the callee's refusal from the network's.
    Row(_BUSY, "busy", _C.BUSY, "callee", causes=_names("USER_BUSY")),
    Row(_FAILED, "declined", _C.DECLINED, None, True, causes=_names("CALL_REJECTED")),
    Row(_FAILED, "carrier_block", _C.CARRIER_BLOCK, "carrier", causes=_names("UNWANTED OUTGOING_CALL_BARRED")),
    Row(_FAILED, "identity_refused", _C.CARRIER_BLOCK, "carrier", causes=_IDENTITY),
    Row(_FAILED, "bad_number", _C.BAD_NUMBER, "carrier", causes=_NUMBER),
    Row(_FAILED, "incompatible_media", _C.UNKNOWN, "carrier", True, causes=_MEDIA),
    Row(_NO_ANSWER, "unavailable", _C.NO_ANSWER, "carrier", causes=_AWAY),
    Row(_CANCELED, "canceled", _C.CANCELED, "platform", True, causes=_names("ORIGINATOR_CANCEL")),
    Row(_FAILED, "switch_ended", _C.UNKNOWN, "platform", True, own_cancel=True),
    Row(_FAILED, "carrier_fault", _C.UNKNOWN, "carrier", True, causes=_FAULT | _CIRCUIT),
    Row(_FAILED, "lost", _C.UNKNOWN, None, True),
)
# fmt: on

#: Why an attempt ended; the closed list of ``end_reason``, each with its meaning for people.
END_REASONS: dict[str, str] = {
    "hangup": "The call was answered and one side hung up; hangup_by says which.",
    "max_duration": "The call was answered and reached its longest talk time.",
    "media_timeout": "The call was answered and its audio stopped coming.",
    "dropped": "The call was answered and a fault cut it off.",
    "end_not_seen": "The call was answered; nobody saw how it ended.",
    "agent_unavailable": "The agent could not be reached or was not ready in time, so the platform hung up.",
    "agent_lost": "The agent's connection failed during the call, so the platform hung up.",
    "media_lost": "The platform could not carry the audio any further and hung up.",
    "busy": "The line was busy.",
    "no_answer": "The phone rang and nobody answered in time.",
    "unavailable": "The phone could not be reached at the moment: switched off, out of coverage or not registered.",
    "declined": "The callee refused the call.",
    "bad_number": "The carrier says that this number does not exist or cannot be reached at all.",
    "carrier_capacity": "The carrier's trunk was full; nobody rang.",
    "carrier_fault": "The carrier answered with a fault.",
    "carrier_account": "The carrier refused our trunk: credentials or credit.",
    "carrier_block": "The carrier's network blocked the call.",
    "identity_refused": "The carrier refused the caller's signed identity (STIR/SHAKEN).",
    "carrier_redirect": "The carrier redirected the call to another address, which is never followed.",
    "carrier_silence": "The carrier said nothing in time; whether a phone rang is unknown.",
    "incompatible_media": "Both sides found no common audio format; the trunk's codecs are set up wrongly.",
    "incompatible_signaling": "The carrier cannot do with the form of our INVITE; the trunk is set up wrongly.",
    "switch_local": "Our own switch refused the call before anything was sent.",
    "switch_ended": "Our own switch ended the attempt before an answer; whether a phone rang is unknown.",
    "not_sent": "The call never reached our switch.",
    "lost": "Nobody saw how the attempt ended; whether a phone rang is unknown.",
    "canceled": "The call was canceled before an answer.",
    "caller_gave_up": "The caller hung up before the call was answered.",
    "agent_busy": "The call came in while its agents or its tenant had as many as they may have; the caller heard busy.",
    "house_full": "The call came in while the carrier's channels, the switch or the platform had no place for it.",
    "expired": "The call's time to be dialed ran out.",
    "blocked": "A rule of the platform or the tenant forbade the call.",
    **{f"blocked_{rule}": words for rule, words in BLOCKED_BY.items()},
}
