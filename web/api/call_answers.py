"""Schemas of calls and of what happened to them."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from calls.cause_table import END_REASONS
from calls.script import OUTCOMES
from calls.windows import DAYS
from web.api.answer_fields import Answer, moment, part, several, text, texts, truth, whole
from web.api.queue_answers import QueueAnswer

_CALL = "call_0190b2c3d4e57f60718293a4b5c6d7e8"
_AGENT = "agent_0190b2c3d4e57f60718293a4b5c6d7e8"
STATUSES = (
    "queued", "dialing", "early", "ringing", "in_progress",
    "completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked",
)  # fmt: skip
PRIORITIES = ("urgent", "normal", "bulk")
ANSWERED_BY = ("human", "machine", "fax", "unknown")


def timings() -> tuple[fields.Integer, ...]:
    """The lengths of a dial's parts: calls/timings.py."""
    return (
        whole("ms; from when it might be dialed (due_at) to when it was (dialed_at)", null=True),
        whole("ms; post-dial delay: from dialed_at to the far end's first 180 or 183, or the answer if none", null=True),
        whole("ms; from the first 180, or 183 if no 180 came, to the answer or the end", null=True),
        whole("ms; from the answer to the end", null=True),
        whole("ms; from the answer to when the callee began to hear the agent", null=True),
    )


def _gaps(after: str) -> fields.List[Any]:
    return fields.List(fields.Integer(), required=True, metadata={"description": f"s; gaps after {after}"})


class RetryAnswer(Answer):
    """How a call is retried."""

    max_attempts = whole("attempts over all reasons together")
    per_day = whole("dials per local day that may have rung; null: no cap", null=True)
    number_per_day = whole("the same of all your calls to the number; null: no cap", null=True)
    on_unknown = truth("whether it is dialed again though nobody saw whether the phone rang")
    on_declined = truth("whether whoever refused the call is called once more, on another day")
    busy_gaps_s = _gaps("a busy line")
    no_answer_gaps_s = _gaps("no answer")
    carrier_gaps_s = _gaps("a proven fault of the carrier")


class WindowAnswer(Answer):
    """When a call may be dialed, by the clock where the phone is."""

    time_zone = text("IANA time zone, or recipient: the callee's own", example="Europe/Berlin")
    days = fields.List(fields.String(metadata={"enum": list(DAYS)}), required=True)
    from_ = text("from this minute on", data_key="from", example="09:00")
    to = text("until just before this minute", example="20:00")


class RecipientAnswer(Answer):
    """Where a callee is, as it was given."""

    timezone = text("IANA time zone", null=True)
    country = text("ISO 3166-1", null=True)


class ConsentAnswer(Answer):
    """On what ground a call is made."""

    basis = text("docs/rules.md has all of them")
    at = moment("when it was given", null=True)
    reference = text("where its proof is", null=True)


class AskedRecording(Answer):
    """How a call is recorded."""

    start = text("answer: from the answer on; after_notice: from the end of the notice on", enum=["answer", "after_notice"])
    notice = text("file that is played as the notice; null: the agent gives it, or none is needed", null=True)


class CallAnswer(Answer):
    """A call and all that is known of it now."""

    id = text("the call", example=_CALL)
    direction = text("inbound: somebody called one of your numbers", enum=["outbound", "inbound"])
    status = text("where the call is; all but the first five are final", enum=list(STATUSES))
    status_at = moment("since when")
    to = text("number dialed, E.164; of an inbound call your own", example="+4930123456")
    from_ = text(
        "number shown, E.164; of an inbound call the caller's, or anonymous", data_key="from", example="+442079460000"
    )
    agent_id = text("who talks", example=_AGENT)
    priority = text("class of service", enum=list(PRIORITIES))
    end_reason = text("why it ended: see docs/webhooks.md for each", null=True, enum=[*END_REASONS, None])
    hangup_by = text("who ended it", null=True)
    answered_by = text("what answered; null: not known", null=True, enum=[*ANSWERED_BY, None])
    answered_by_ms = whole("ms; from the answer to when that was known", null=True)
    sip_code = whole("the carrier's final SIP answer", null=True)
    q850_cause = whole("Q.850 cause", null=True)
    carrier = text("name of the carrier that the attempt was given to (the timings are of the same attempt)", null=True)
    queue_ms, pdd_ms, ring_ms, talk_ms, agent_connect_ms = timings()
    menu = text(
        "what the callee chose in the agent's menu of keys; null: nothing, or there was none",
        null=True,
        enum=[*OUTCOMES, None],
    )
    attempt_count = whole("attempts so far that count towards max_attempts, a waiting one included")
    max_attempts = whole("attempts over all reasons together")
    retry = part(RetryAnswer, "how it is retried: docs/retries.md; null: accepted by an earlier version", null=True)
    window = part(WindowAnswer, "when it may be dialed; null: at any time", null=True)
    recipient = part(RecipientAnswer, "where the callee is; null: nothing was given", null=True)
    consent = part(ConsentAnswer, "null: none was given with the call", null=True)
    recording = part(AskedRecording, "how it is recorded; null: not at all", null=True)
    recording_ids = texts("its recordings, first one first: one per answered dial")
    ring_timeout_s = whole("s; first ringing to answer")
    max_duration_s = whole("s; longest talk")
    cancel_requested = truth("a hangup, or an end of all that is queued, was asked for")
    due_at = moment("not dialed before; later after a retry was decided, or outside of its window")
    expires_at = moment("not dialed after")
    created_at = moment("accepted")
    answered_at = moment("answered", null=True)
    ended_at = moment("ended", null=True)
    client_reference = text("yours", null=True)
    batch_id = text("the batch it was posted with; null: alone", null=True)
    test = truth("true: placed with a test key, so it went to the laboratory (docs/test-keys.md)")
    transfer_of = text("the call that was to be put through to this one; null: it was posted or came in", null=True)
    metadata = fields.Dict(required=True, metadata={"description": "yours; returned as sent"})
    sequence = whole("of the last webhook about this call")


class PlacedCallAnswer(CallAnswer):
    """A call that was accepted."""

    queue = fields.Nested(
        QueueAnswer,
        allow_none=True,
        metadata={"description": "with queue=true alone: where it stands; null: it is not waiting any more"},
    )


class CallPage(Answer):
    """A page of calls, newest first. With filters a page may hold few calls or none, and there be more all the same."""

    data = several(CallAnswer)
    has_more = truth("there may be more in that direction")
    next_cursor = text(
        "give it as starting_after, or as ending_before where that was asked for, to go on; null: there is nothing more",
        null=True,
    )


class CanceledQueueAnswer(Answer):
    """Every queued call accepted until then is canceled."""

    canceled_before = moment("calls with a created_at up to this, and not ended, are not dialed any more")


class EventAnswer(Answer):
    """One thing that was seen or decided."""

    id = text("the event")
    type = text("what")
    source = text(
        "who saw or decided it: event, cdr, reconcile, watchdog, operator, api, budget, relay, policy, recording, agent"
    )
    at = moment("when it happened, by the witness's clock")
    recorded_at = moment("when it became known here")
    attempt_id = text("the attempt, as the switch and the carrier know it", null=True)
    data = fields.Dict(required=True)


class EventList(Answer):
    """Everything known of a call in the order it was recorded."""

    data = several(EventAnswer)
