"""Schemas of a call's record: what is known of it and what was said in it, in one place."""

from __future__ import annotations

from marshmallow import fields

from web.api.answer_fields import Answer, moment, part, several, text, truth, whole
from web.api.attempt_answers import AttemptAnswer
from web.api.call_answers import CallAnswer
from web.api.recording_answers import RecordingAnswer


class EventCountAnswer(Answer):
    """Events of one type, in short; GET /v1/calls/{id}/events has each."""

    type = text("what happened", example="call.result")
    source = text("who saw or decided it", example="agent")
    count = whole("how often")
    first_at = moment("first, by the witness's clock")
    last_at = moment("last")


class ResultAnswer(Answer):
    """What the agent of an attempt handed in. The lists are as it wrote them: docs/runtime.md."""

    attempt_id = text("the attempt")
    agent_id = text("the agent that handed it in", example="agent_0190b2c37d1e7a11b6f0c2d4e6f80123")
    outcome = text("in the agent's own word", example="appointment_booked")
    summary = text("in its words; null: none, erased, or not shown to this key", null=True)
    data = fields.Dict(
        required=True, allow_none=True, metadata={"description": "what else it says; null: erased, or not shown to this key"}
    )
    transcript = fields.List(
        fields.Dict(), required=True, allow_none=True, metadata={"description": "who said what; null as above"}
    )
    latencies = fields.List(
        fields.Dict(), required=True, allow_none=True, metadata={"description": "how long what took; null as above"}
    )
    tool_calls = fields.List(
        fields.Dict(), required=True, allow_none=True, metadata={"description": "tools it used; null as above"}
    )
    recording_parts = fields.List(
        fields.Dict(), required=True, allow_none=True, metadata={"description": "audio that its side keeps; null as above"}
    )
    turn_count = whole("turns of the transcript that it handed in")
    tool_call_count = whole("tool calls that it handed in")
    received_at = moment("handed in")
    retention_until = moment("what was said is kept until then")
    erased_at = moment("what was said was erased; null: it was not", null=True)


class ResultList(Answer):
    """The results of a call's attempts, first one first."""

    data = several(ResultAnswer)


class RecordAnswer(Answer):
    """A call with all that belongs to it."""

    call = part(CallAnswer, "as GET /v1/calls/{id} shows it")
    attempts = several(AttemptAnswer, "every dial, first one first")
    events = several(EventCountAnswer, "what happened, in short")
    recordings = several(RecordingAnswer, "one per answered dial; url is null for a key without recordings:read")
    results = several(ResultAnswer, "what agents handed in, at most one per dial and agent")
    said = truth("false: this key has no recordings:read, so what was said is left out")
