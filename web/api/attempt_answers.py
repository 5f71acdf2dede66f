"""Schemas of the dials of a call."""

from __future__ import annotations

from marshmallow import fields

from calls.cause_table import END_REASONS
from calls.evidence import Source
from calls.script import OUTCOMES
from web.api.answer_fields import Answer, moment, several, text, truth, whole
from web.api.call_answers import timings


class AttemptAnswer(Answer):
    """One dial."""

    id = text("UUID: channel UUID on the switch and SIP Call-ID at the carrier")
    number = whole("1, 2, 3 ... within the call")
    state = text("where the attempt is", enum=["queued", "dialing", "early", "ringing", "in_progress", "ended"])
    outcome = text("how it ended", null=True)
    evidence = text(
        "whose word the end rests on: the switch's event, its call detail record, its answer to a question; nobody's, by"
        " deadline (watchdog); or it was ended here without asking the switch (operator)",
        null=True,
        enum=[*(source.value for source in Source), None],
    )
    end_reason = text("why: see docs/webhooks.md for each", null=True, enum=[*END_REASONS, None])
    uncertain = truth("our cancel may have crossed an answer")
    cause = text("the switch's hangup cause", null=True)
    q850_cause = whole("Q.850 cause", null=True)
    sip_code = whole("the carrier's final SIP answer", null=True)
    sip_phrase = text("its words", null=True)
    hangup_by = text("who ended it", null=True)
    carrier = text("name of the carrier that it was given to", null=True)
    menu = text("what the callee chose in the agent's menu of keys", null=True, enum=[*OUTCOMES, None])
    queue_ms, pdd_ms, ring_ms, talk_ms, agent_connect_ms = timings()
    due_at = moment("not dialed before")
    dialed_at = moment("handed to the switch", null=True)
    ringing_at = moment("first 180", null=True)
    early_at = moment("first 183 with audio", null=True)
    answered_at = moment("answered", null=True)
    agent_heard_at = moment("the callee began to hear the agent", null=True)
    ended_at = moment("ended", null=True)
    decision = fields.Dict(
        required=True,
        allow_none=True,
        metadata={"description": "what the rules said when they were asked last: docs/rules.md; null: they were not asked"},
    )


class AttemptList(Answer):
    """Every dial of a call, first one first."""

    data = several(AttemptAnswer)
