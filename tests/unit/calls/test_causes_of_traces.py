"""Every end that a real FreeSWITCH 1.10.12 reported in the recorded scenarios, typed in by hand, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from calls.causes import END_REASONS, Verdict, classify
from calls.evidence import End, Outcome, RetryClass

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True)
class Traced:
    """One CHANNEL_HANGUP_COMPLETE: the headers we read, times in microseconds since 1970."""

    name: str
    cause: str
    q850: int
    hangup: int
    meaning: Verdict
    code: int | None = None  # sip_invite_failure_status
    phrase: str | None = None
    disposition: str | None = None
    ringing: int | None = None
    early: int | None = None
    answered: int | None = None
    requested_by: str | None = None

    def end(self) -> End:
        hangup = at(self.hangup)
        assert hangup is not None
        return End(
            cause=self.cause,
            at=hangup,
            q850_cause=self.q850,
            sip_code=self.code,
            sip_phrase=self.phrase,
            disposition=self.disposition,
            ringing_at=at(self.ringing),
            early_at=at(self.early),
            answered_at=at(self.answered),
            requested_by=self.requested_by,
        )


def completed(hangup_by: str, reason: str = "hangup") -> Verdict:
    return Verdict(Outcome.COMPLETED, reason, RetryClass.ANSWERED, uncertain=False, hangup_by=hangup_by)


def failed(reason: str, retry_class: RetryClass, hangup_by: str | None, *, uncertain: bool = False) -> Verdict:
    return Verdict(Outcome.FAILED, reason, retry_class, uncertain, hangup_by)


CANCELED = Verdict(Outcome.CANCELED, "canceled", RetryClass.CANCELED, uncertain=True, hangup_by="platform")
CANCELED_BY_CUSTOMER = Verdict(Outcome.CANCELED, "canceled", RetryClass.CANCELED, uncertain=True, hangup_by="customer")

TRACES = [
    Traced(
        "answered_callee_hangs_up", "NORMAL_CLEARING", 16, 1795217442174387, completed("callee"),
        disposition="recv_bye", ringing=1795217438734398, answered=1795217439154398,
    ),
    Traced(
        "answered_dialer_hangs_up", "NORMAL_CLEARING", 16, 1795217443934388, completed("platform"),
        disposition="send_bye", ringing=1795217442494391, answered=1795217442894387,
    ),
    Traced(
        "answered_dialer_hangs_up, an agent asked", "NORMAL_CLEARING", 16, 1795217443934388, completed("agent"),
        disposition="send_bye", ringing=1795217442494391, answered=1795217442894387, requested_by="agent",
    ),
    Traced(
        "answer_then_instant_hangup", "NORMAL_CLEARING", 16, 1795217459814371, completed("callee"),
        disposition="recv_bye", ringing=1795217459094381, answered=1795217459474370,
    ),
    Traced(
        "answer_without_18x", "NORMAL_CLEARING", 16, 1795222191174367, completed("platform"),
        disposition="send_bye", answered=1795222190134369,
    ),
    Traced(
        "early_media_then_answer", "NORMAL_CLEARING", 16, 1795217458754385, completed("platform"),
        disposition="send_bye", early=1795217457334389, answered=1795217457734387,
    ),
    Traced(
        "trying_only_then_late_ringing", "NORMAL_CLEARING", 16, 1795222048054362, completed("platform"),
        disposition="send_bye", ringing=1795222046634367, answered=1795222047014393,
    ),
    Traced(
        "digest_challenge_407", "NORMAL_CLEARING", 16, 1795222049814366, completed("platform"),
        disposition="send_bye", ringing=1795222048374365, answered=1795222048794365,
    ),
    Traced(
        "redirect_302_followed", "NORMAL_CLEARING", 16, 1795222193294365, completed("platform"),
        disposition="send_bye", ringing=1795222191834364, answered=1795222192254409,
    ),
    Traced(
        "json_events", "NORMAL_CLEARING", 16, 1795222200714816, completed("callee"),
        disposition="recv_bye", ringing=1795222199994372, answered=1795222200394370,
    ),
    Traced(
        "inbound_call", "NORMAL_CLEARING", 16, 1795222225794400, completed("callee"),
        disposition="recv_bye", answered=1795222223794361,
    ),
    Traced(
        "audio_fork_agent_drops", "NORMAL_CLEARING", 16, 1795217655094371, completed("platform"),
        disposition="send_bye", ringing=1795217648054373, answered=1795217648454365,
    ),
    Traced(
        "audio_fork_connect_failed", "NORMAL_CLEARING", 16, 1795217669214366, completed("platform"),
        disposition="send_bye", ringing=1795217668754386, answered=1795217669154371,
    ),
    Traced(
        "audio_fork_metadata_with_spaces", "NORMAL_CLEARING", 16, 1795217668454367, completed("platform"),
        disposition="send_bye", ringing=1795217655374388, answered=1795217655794363,
    ),
    Traced(
        "audio_fork_play_and_control", "NORMAL_CLEARING", 16, 1795217647714370, completed("platform"),
        disposition="send_bye", ringing=1795217645754376, answered=1795217646174362,
    ),
    Traced(
        "duplicate_uuid_and_queries", "NORMAL_CLEARING", 16, 1795217463514389, completed("platform"),
        disposition="send_bye", ringing=1795217461594392, answered=1795217461994371,
    ),
    Traced(
        "fork_on_answer", "NORMAL_CLEARING", 16, 1795222199634386, completed("platform"),
        disposition="send_bye", ringing=1795222198214367, answered=1795222198614366,
    ),
    Traced(
        "record_playback_setvar", "NORMAL_CLEARING", 16, 1795217493914394, completed("platform"),
        disposition="send_bye", ringing=1795217491474386, answered=1795217491874393,
    ),
    Traced(
        "sendmsg_playback_and_break", "NORMAL_CLEARING", 16, 1795222197874365, completed("platform"),
        disposition="send_bye", ringing=1795222195214364, answered=1795222195614371,
    ),
    Traced(
        "switch_limits", "NORMAL_CLEARING", 16, 1795217593294365, completed("callee"),
        disposition="recv_bye", ringing=1795217592594370, answered=1795217592994366,
    ),
    Traced(
        "tombstone_in_hash", "NORMAL_CLEARING", 16, 1795222194894367, completed("platform"),
        disposition="send_bye", ringing=1795222194434367, answered=1795222194854363,
    ),
    Traced(
        "busy", "USER_BUSY", 17, 1795217444654400,
        Verdict(Outcome.BUSY, "busy", RetryClass.BUSY, uncertain=False, hangup_by="callee"),
        486, "Busy Here", "recv_refuse", ringing=1795217444254374,
    ),
    Traced(
        "declined", "CALL_REJECTED", 21, 1795217445394392, failed("declined", RetryClass.DECLINED, "callee"),
        603, "Decline", "recv_refuse", ringing=1795217444994391,
    ),
    Traced(
        "unknown_number", "UNALLOCATED_NUMBER", 1, 1795217445774386,
        failed("bad_number", RetryClass.BAD_NUMBER, "carrier"), 404, "Not Found", "recv_refuse",
    ),
    Traced(
        "unavailable_480", "NO_USER_RESPONSE", 18, 1795217446894374,
        Verdict(Outcome.NO_ANSWER, "unavailable", RetryClass.NO_ANSWER, uncertain=False, hangup_by="carrier"),
        480, "Temporarily Unavailable", "recv_refuse", ringing=1795217446494390,
    ),
    Traced(
        "carrier_fault_503", "NORMAL_TEMPORARY_FAILURE", 41, 1795217446154394,
        failed("carrier_fault", RetryClass.CARRIER_FAULT, "carrier"), 503, "Service Unavailable", "recv_refuse",
    ),
    Traced(
        "carrier_cps_limit_503", "NORMAL_TEMPORARY_FAILURE", 41, 1795222142814370,
        failed("carrier_capacity", RetryClass.CARRIER_CAPACITY, "carrier"), 503, "CPS limit exceeded", "recv_refuse",
    ),
    Traced(
        "network_blocked_603", "CALL_REJECTED", 21, 1795222096674369,
        failed("carrier_block", RetryClass.CARRIER_BLOCK, "carrier"), 603, "Network Blocked", "recv_refuse",
        ringing=1795222096474367,
    ),
    Traced(
        "no_answer_timeout", "NO_ANSWER", 19, 1795217451014390,
        Verdict(Outcome.NO_ANSWER, "no_answer", RetryClass.NO_ANSWER, uncertain=True, hangup_by="platform"),
        487, "CANCEL", "send_cancel", ringing=1795217447234371,
    ),
    Traced(
        "carrier_says_nothing", "NO_ANSWER", 19, 1795217457014386,
        failed("carrier_silence", RetryClass.UNKNOWN, "platform", uncertain=True), 487, "CANCEL", "send_cancel",
    ),
    Traced(
        "canceled_while_ringing", "ORIGINATOR_CANCEL", 16, 1795217461274382, CANCELED, 487, "CANCEL", "send_cancel",
        ringing=1795217460754393,
    ),
    Traced(
        "canceled_while_ringing, the customer asked", "ORIGINATOR_CANCEL", 16, 1795217461274382, CANCELED_BY_CUSTOMER,
        487, "CANCEL", "send_cancel", ringing=1795217460754393, requested_by="customer",
    ),
    Traced(
        "cancel_crosses_answer", "ORIGINATOR_CANCEL", 16, 1795222194114366, CANCELED_BY_CUSTOMER, 487, "CANCEL",
        "send_cancel", ringing=1795222193594367, requested_by="customer",
    ),
    Traced(
        "cancel_crosses_answer, the deadline passed", "ORIGINATOR_CANCEL", 16, 1795222194114366,
        Verdict(Outcome.NO_ANSWER, "no_answer", RetryClass.NO_ANSWER, uncertain=True, hangup_by="platform"),
        487, "CANCEL", "send_cancel", ringing=1795222193594367, requested_by="platform",
    ),
    Traced(
        "announcement_183_then_404", "UNALLOCATED_NUMBER", 1, 1795222052154362,
        failed("bad_number", RetryClass.BAD_NUMBER, "carrier"), 404, "Not Found", "recv_refuse",
        early=1795222050154364,
    ),
    Traced(
        "redirect_302_refused", "REQUESTED_CHAN_UNAVAIL", 44, 1795222191494365,
        failed("carrier_redirect", RetryClass.CARRIER_FAULT, "carrier"), 487, "CANCEL", "send_cancel",
    ),
]  # fmt: skip


@pytest.mark.parametrize("traced", TRACES, ids=lambda traced: traced.name)
def test_end_of_trace(traced: Traced) -> None:
    assert classify(traced.end()) == traced.meaning
    assert traced.meaning.end_reason in END_REASONS


# BACKGROUND_JOB is all that tells of these: no channel was made.
@pytest.mark.parametrize("reply", ["GATEWAY_DOWN", "INVALID_GATEWAY", "DESTINATION_OUT_OF_ORDER"])
def test_refused_inside_our_switch(reply: str) -> None:
    end = End(cause=reply, at=_EPOCH, local=True)
    assert classify(end) == failed("switch_local", RetryClass.SWITCH_LOCAL, None)


def test_out_of_order_that_may_be_the_carriers_is_not_local() -> None:
    """The same word is a live call's duplicate, a full switch or a carrier's Q.850 27: without proof, never redialed."""
    assert classify(End(cause="DESTINATION_OUT_OF_ORDER", at=_EPOCH)).retry_class is RetryClass.UNKNOWN
