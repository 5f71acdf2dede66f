"""Schemas of what the API answers: documentation, and what the tests hold every answer against."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from calls.caps import LIMITS
from calls.cause_table import END_REASONS
from calls.evidence import Source
from calls.windows import DAYS

_TIME = {"format": "date-time"}
_CALL = "call_0190b2c3d4e57f60718293a4b5c6d7e8"
_AGENT = "agent_0190b2c3d4e57f60718293a4b5c6d7e8"
STATUSES = (
    "queued", "dialing", "early", "ringing", "in_progress",
    "completed", "failed", "no_answer", "busy", "canceled", "expired", "blocked",
)  # fmt: skip
PRIORITIES = ("urgent", "normal", "bulk")
AGENT_KINDS = ("websocket", "announcement")
ANSWERED_BY = ("human", "machine", "fax", "unknown")


def _text(description: str, *, null: bool = False, data_key: str | None = None, **metadata: Any) -> fields.String:
    described = {"description": description, **metadata}
    return fields.String(required=True, allow_none=null, data_key=data_key, metadata=described)


def _time(description: str, *, null: bool = False, data_key: str | None = None) -> fields.String:
    return _text(description, null=null, data_key=data_key, **_TIME)


def _whole(description: str, *, null: bool = False) -> fields.Integer:
    return fields.Integer(required=True, allow_none=null, metadata={"description": description})


def _number(description: str) -> fields.Float:
    return fields.Float(required=True, allow_none=True, metadata={"description": description})


def _truth(description: str) -> fields.Boolean:
    return fields.Boolean(required=True, metadata={"description": description})


def _timings() -> tuple[fields.Integer, ...]:
    """The lengths of a dial's parts: calls/timings.py."""
    return (
        _whole("ms; from when it might be dialed (due_at) to when it was (dialed_at)", null=True),
        _whole("ms; post-dial delay: from dialed_at to the far end's first 180 or 183, or the answer if none", null=True),
        _whole("ms; from the first 180, or 183 if no 180 came, to the answer or the end", null=True),
        _whole("ms; from the answer to the end", null=True),
        _whole("ms; from the answer to when the callee began to hear the agent", null=True),
    )


def _gaps(after: str) -> fields.List[Any]:
    return fields.List(fields.Integer(), required=True, metadata={"description": f"s; gaps after {after}"})


class Answer(Schema):
    """An answer may gain members; a client must not mind."""

    class Meta:
        unknown = EXCLUDE


class FieldErrorAnswer(Answer):
    """One fault of one field."""

    pointer = fields.String(metadata={"description": "RFC 6901 pointer into the body"})
    parameter = fields.String(metadata={"description": "name of a query parameter"})
    header = fields.String(metadata={"description": "name of a header"})
    code = _text("stable code for programs")
    detail = _text("what is wrong and what would be right")


class ReachedLimitAnswer(Answer):
    """The limit that is reached."""

    scope = _text("which kind of limit", enum=["request_rate", "queue_full"])
    name = _text("whose")
    limit = _whole("how much is allowed")
    current = _whole("how much there is")


class ProblemAnswer(Answer):
    """RFC 9457 problem."""

    type = _text("/v1/docs/errors#<code>: where the code is explained", format="uri-reference")
    title = _text("the HTTP status in words")
    status = _whole("the HTTP status")
    detail = _text("what went wrong and what to do")
    instance = _text("path of the request")
    code = _text("stable code for programs")
    request_id = _text("as in X-Request-Id; leads to the log")
    errors = fields.List(fields.Nested(FieldErrorAnswer))
    retry_after_s = fields.Integer(metadata={"description": "s; as in Retry-After"})
    limit = fields.Nested(ReachedLimitAnswer, metadata={"description": "of a 429"})
    scope = fields.String(metadata={"description": "of a 403 missing_scope: what the key lacks"})
    call_status = fields.String(
        metadata={"description": "of a 409 not_in_progress: where the call is", "enum": list(STATUSES)}
    )


class RetryAnswer(Answer):
    """How a call is retried."""

    max_attempts = _whole("attempts over all reasons together")
    per_day = _whole("dials per local day that may have rung; null: no cap", null=True)
    number_per_day = _whole("the same of all your calls to the number; null: no cap", null=True)
    on_unknown = _truth("whether it is dialed again though nobody saw whether the phone rang")
    on_declined = _truth("whether whoever refused the call is called once more, on another day")
    busy_gaps_s = _gaps("a busy line")
    no_answer_gaps_s = _gaps("no answer")
    carrier_gaps_s = _gaps("a proven fault of the carrier")


class WindowAnswer(Answer):
    """When a call may be dialed, by the clock where the phone is."""

    time_zone = _text("IANA time zone, or recipient: the callee's own", example="Europe/Berlin")
    days = fields.List(fields.String(metadata={"enum": list(DAYS)}), required=True)
    from_ = _text("from this minute on", data_key="from", example="09:00")
    to = _text("until just before this minute", example="20:00")


class RecipientAnswer(Answer):
    """Where a callee is, as it was given."""

    timezone = _text("IANA time zone", null=True)
    country = _text("ISO 3166-1", null=True)


class ConsentAnswer(Answer):
    """On what ground a call is made."""

    basis = _text("docs/rules.md has all of them")
    at = _time("when it was given", null=True)
    reference = _text("where its proof is", null=True)


class AskedRecording(Answer):
    """How a call is recorded."""

    start = _text("answer: from the answer on; after_notice: from the end of the notice on", enum=["answer", "after_notice"])
    notice = _text("file that is played as the notice; null: the agent gives it, or none is needed", null=True)


class CallAnswer(Answer):
    """A call and all that is known of it now."""

    id = _text("the call", example=_CALL)
    direction = _text("inbound: somebody called one of your numbers", enum=["outbound", "inbound"])
    status = _text("where the call is; all but the first five are final", enum=list(STATUSES))
    status_at = _time("since when")
    to = _text("number dialed, E.164; of an inbound call your own", example="+4930123456")
    from_ = _text(
        "number shown, E.164; of an inbound call the caller's, or anonymous", data_key="from", example="+442079460000"
    )
    agent_id = _text("who talks", example=_AGENT)
    priority = _text("class of service", enum=list(PRIORITIES))
    end_reason = _text("why it ended: see docs/webhooks.md for each", null=True, enum=[*END_REASONS, None])
    hangup_by = _text("who ended it", null=True)
    answered_by = _text("what answered; null: not known", null=True, enum=[*ANSWERED_BY, None])
    answered_by_ms = _whole("ms; from the answer to when that was known", null=True)
    sip_code = _whole("the carrier's final SIP answer", null=True)
    q850_cause = _whole("Q.850 cause", null=True)
    carrier = _text("name of the carrier that the attempt was given to (the timings are of the same attempt)", null=True)
    queue_ms, pdd_ms, ring_ms, talk_ms, agent_connect_ms = _timings()
    attempt_count = _whole("attempts so far that count towards max_attempts, a waiting one included")
    max_attempts = _whole("attempts over all reasons together")
    retry = fields.Nested(
        RetryAnswer,
        required=True,
        allow_none=True,
        metadata={"description": "how it is retried: docs/retries.md; null: accepted by an earlier version"},
    )
    window = fields.Nested(
        WindowAnswer, required=True, allow_none=True, metadata={"description": "when it may be dialed; null: at any time"}
    )
    recipient = fields.Nested(
        RecipientAnswer,
        required=True,
        allow_none=True,
        metadata={"description": "where the callee is; null: nothing was given"},
    )
    consent = fields.Nested(
        ConsentAnswer, required=True, allow_none=True, metadata={"description": "null: none was given with the call"}
    )
    recording = fields.Nested(
        AskedRecording, required=True, allow_none=True, metadata={"description": "how it is recorded; null: not at all"}
    )
    recording_ids = fields.List(
        fields.String(), required=True, metadata={"description": "its recordings, first one first: one per answered dial"}
    )
    ring_timeout_s = _whole("s; first ringing to answer")
    max_duration_s = _whole("s; longest talk")
    cancel_requested = fields.Boolean(
        required=True, metadata={"description": "a hangup, or an end of all that is queued, was asked for"}
    )
    due_at = _time("not dialed before; later after a retry was decided, or outside of its window")
    expires_at = _time("not dialed after")
    created_at = _time("accepted")
    answered_at = _time("answered", null=True)
    ended_at = _time("ended", null=True)
    client_reference = _text("yours", null=True)
    batch_id = _text("the batch it was posted with; null: alone", null=True)
    test = _truth("true: placed with a test key, so it went to the laboratory (docs/test-keys.md)")
    metadata = fields.Dict(required=True, metadata={"description": "yours; returned as sent"})
    sequence = _whole("of the last webhook about this call")


class CallPage(Answer):
    """A page of calls, newest first. With filters a page may hold few calls or none, and there be more all the same."""

    data = fields.List(fields.Nested(CallAnswer), required=True)
    has_more = fields.Boolean(required=True, metadata={"description": "there may be more in that direction"})
    next_cursor = _text(
        "give it as starting_after, or as ending_before where that was asked for, to go on; null: there is nothing more",
        null=True,
    )


class CanceledQueueAnswer(Answer):
    """Every queued call accepted until then is canceled."""

    canceled_before = _time("calls with a created_at up to this, and not ended, are not dialed any more")


class EventAnswer(Answer):
    """One thing that was seen or decided."""

    id = _text("the event")
    type = _text("what")
    source = _text("who saw or decided it: event, cdr, reconcile, watchdog, operator, api, budget, relay, policy, recording")
    at = _time("when it happened, by the witness's clock")
    recorded_at = _time("when it became known here")
    attempt_id = _text("the attempt, as the switch and the carrier know it", null=True)
    data = fields.Dict(required=True)


class EventList(Answer):
    """Everything known of a call in the order it was recorded."""

    data = fields.List(fields.Nested(EventAnswer), required=True)


ACTION_RESULTS = (
    "hung_up", "canceled", "paused", "resumed", "sent", "played", "cut_short", "not_played", "too_late", "ended",
    "already_ended", "refused",
)  # fmt: skip


class ActionAnswer(Answer):
    """Something that was asked of a call."""

    id = _text("the action")
    type = _text("what was asked", enum=["hangup", "pause_recording", "resume_recording", "dtmf", "play"])
    requested_by = _text("who asked", enum=["customer", "agent", "operator", "platform"])
    idempotency_key = _text("the Idempotency-Key it was asked under", null=True)
    attempt_id = _text("the attempt that it concerns")
    status = _text(
        "whether it was carried out; playing: the switch has the file, and its end is waited for",
        enum=["requested", "playing", "done"],
    )
    result = _text(
        "what came of it. canceled: the call was waiting and was not dialed; sent: the switch presses the keys; played: to"
        " its end; cut_short: the call ended first; not_played: the switch could not; too_late: it could not be carried out"
        " in time; ended: the call was over before it came to that, or before it was known",
        null=True,
        enum=[*ACTION_RESULTS, None],
    )
    created_at = _time("asked")
    done_at = _time("carried out", null=True)


class ActionList(Answer):
    """All that was asked of a call, first one first."""

    data = fields.List(fields.Nested(ActionAnswer), required=True)


class AttemptAnswer(Answer):
    """One dial."""

    id = _text("UUID: channel UUID on the switch and SIP Call-ID at the carrier")
    number = _whole("1, 2, 3 ... within the call")
    state = _text("where the attempt is", enum=["queued", "dialing", "early", "ringing", "in_progress", "ended"])
    outcome = _text("how it ended", null=True)
    evidence = _text(
        "whose word the end rests on: the switch's event, its call detail record, its answer to a question; nobody's, by"
        " deadline (watchdog); or it was ended here without asking the switch (operator)",
        null=True,
        enum=[*(source.value for source in Source), None],
    )
    end_reason = _text("why: see docs/webhooks.md for each", null=True, enum=[*END_REASONS, None])
    uncertain = fields.Boolean(required=True, metadata={"description": "our cancel may have crossed an answer"})
    cause = _text("the switch's hangup cause", null=True)
    q850_cause = _whole("Q.850 cause", null=True)
    sip_code = _whole("the carrier's final SIP answer", null=True)
    sip_phrase = _text("its words", null=True)
    hangup_by = _text("who ended it", null=True)
    carrier = _text("name of the carrier that it was given to", null=True)
    queue_ms, pdd_ms, ring_ms, talk_ms, agent_connect_ms = _timings()
    due_at = _time("not dialed before")
    dialed_at = _time("handed to the switch", null=True)
    ringing_at = _time("first 180", null=True)
    early_at = _time("first 183 with audio", null=True)
    answered_at = _time("answered", null=True)
    agent_heard_at = _time("the callee began to hear the agent", null=True)
    ended_at = _time("ended", null=True)
    decision = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "what the rules said when they were asked last: docs/rules.md; null: they were not asked"},
    )


class AttemptList(Answer):
    """Every dial of a call, first one first."""

    data = fields.List(fields.Nested(AttemptAnswer), required=True)


class AgentAnswer(Answer):
    """Who talks to whoever answers."""

    id = _text("the agent", example=_AGENT)
    name = _text("unique in your account")
    kind = _text("websocket: your own server; announcement: plays audio", enum=list(AGENT_KINDS))
    url = _text("websocket: address", null=True)
    audio = _text("announcement: file", null=True)
    paused = fields.Boolean(required=True, metadata={"description": "true: its calls wait until it is resumed"})
    created_at = _time("created")
    archived_at = _time("put away: it takes no call any more; null: it is in use", null=True)


class AgentPage(Answer):
    """A page of agents, newest first."""

    data = fields.List(fields.Nested(AgentAnswer), required=True)
    has_more = fields.Boolean(required=True)
    next_cursor = _text("give it as starting_after; null on the last page", null=True)


class LimitAnswer(Answer):
    """One limit."""

    scope = _text("what it limits", enum=["tenant", "campaign", "request_rate", "queue", "cap"])
    name = _text("of your account, or of the campaign")
    unit = _text(
        "what is counted; spend in millionths of the currency of this system's prices",
        enum=["channels", "calls_per_s", "requests_per_s", "queued_calls", *LIMITS],
    )
    max = _number("how much is allowed; null: no limit of yours")
    current = _number("how much there is; null: not known")


class LimitList(Answer):
    """Every limit of the account."""

    data = fields.List(fields.Nested(LimitAnswer), required=True)
