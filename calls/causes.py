"""From one end to its meaning: outcome, reason, what the retry policy must know. :mod:`cause_table` has the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from calls.cause_table import END_REASONS, NOTES, OWN_CAUSES, ROWS, Row
from calls.evidence import End, Outcome, RetryClass
from calls.inbound import unanswered
from calls.phrases import Text, subject_of

__all__ = ["END_REASONS", "OWN_CAUSES", "REQUESTERS", "Verdict", "classify", "normalize"]

# A BYE may carry any of these and still be a side hanging up: a carrier's menu that says busy hangs up with busy.
_HANGUPS = frozenset(
    {
        "NORMAL_CLEARING",
        "NORMAL_UNSPECIFIED",
        "MANAGER_REQUEST",
        "ORIGINATOR_CANCEL",
        "NONE",
        "UNSPECIFIED",
        "SUCCESS",
        "USER_BUSY",
        "NO_ANSWER",
        "CALL_REJECTED",
    }
)
_ANSWERED_REASONS: dict[str, str] = {
    "ALLOTED_TIMEOUT": "max_duration",
    "ALLOTTED_TIMEOUT": "max_duration",
    "MEDIA_TIMEOUT": "media_timeout",
}
#: Who may ask for a hangup.
REQUESTERS = frozenset({"customer", "agent", "operator", "platform"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an end means. ``uncertain``: the callee may have answered or rung though the evidence does not show it."""

    outcome: Outcome
    end_reason: str
    retry_class: RetryClass
    uncertain: bool
    hangup_by: str | None


def normalize(end: End) -> End:
    """``end`` without the switch's own notes: causes in one case, no 487 that is only the echo of our CANCEL."""
    cause = end.cause if end.cause in OWN_CAUSES else end.cause.strip().upper()
    echo = end.sip_code == 487 and end.disposition == "send_cancel"
    known = end.requested_by is None or end.requested_by in REQUESTERS
    return replace(
        end,
        cause=cause,
        sip_code=None if echo else end.sip_code,
        sip_phrase=None if echo else end.sip_phrase,
        requested_by=end.requested_by if known else "platform",  # the watchdog and its like are the platform
    )


def classify(end: End) -> Verdict:
    """The meaning of ``end``. Total: every end has one, ``lost`` at the worst."""
    end = normalize(end)
    if end.answered_at is not None:
        return _answered(end)
    if end.inbound:
        outcome, why, by = unanswered(end)
        return Verdict(outcome, why, RetryClass.INBOUND, uncertain=False, hangup_by=by)
    if (reason := _noted(end)) is not None and end.sip_code is None:
        # We hung up for a reason of our own while the phone may have rung: another try is one more ring for somebody.
        return Verdict(Outcome.FAILED, reason, RetryClass.NO_ANSWER, uncertain=True, hangup_by="platform")
    rang = end.ringing_at is not None or end.early_at is not None
    text = subject_of(end.sip_phrase)
    for row in ROWS:
        if _matches(row, end, rang, text):
            by = row.hangup_by
            if row.outcome is Outcome.CANCELED and end.requested_by is not None:
                by = end.requested_by
            return Verdict(row.outcome, row.reason, row.retry, row.uncertain, by)
    raise AssertionError("the table's last row matches everything")


def _matches(row: Row, end: End, rang: bool, text: Text | None) -> bool:
    return (
        (row.causes is None or end.cause in row.causes)
        and (row.codes is None or end.sip_code in row.codes)
        and (row.text is None or (text is row.text and end.said is None))
        and (row.said is None or end.said == row.said)
        and (row.rang is None or rang is row.rang)
        and (row.own_cancel is None or (end.disposition == "send_cancel") is row.own_cancel)
        and (row.local is None or end.local is row.local)
        and (row.coded is None or (end.sip_code is not None) is row.coded)
        and (row.requested is None or end.requested_by in row.requested)
    )


def _noted(end: End) -> str | None:
    """The end reason of a fault of ours that made the platform hang up."""
    return NOTES.get(end.note or "") if end.requested_by == "platform" and end.disposition != "recv_bye" else None


def _answered(end: End) -> Verdict:
    """A call that was answered is completed, whatever its cause."""
    if end.cause in OWN_CAUSES:
        reason = "end_not_seen"
    elif (noted := _noted(end)) is not None:
        reason = noted
    else:
        reason = _ANSWERED_REASONS.get(end.cause, "hangup" if end.cause in _HANGUPS else "dropped")
    return Verdict(Outcome.COMPLETED, reason, RetryClass.ANSWERED, uncertain=False, hangup_by=_who(end, reason))


def _who(end: End, reason: str) -> str | None:
    """Who ended an answered call. A BYE that came in settles it, also where we had just asked for a hangup."""
    if end.disposition == "recv_bye":
        return "carrier" if reason == "dropped" else "caller" if end.inbound else "callee"
    if end.requested_by is not None:
        return end.requested_by
    ours = reason in ("max_duration", "media_timeout") or end.disposition in ("send_bye", "send_cancel")
    return "platform" if ours else None
