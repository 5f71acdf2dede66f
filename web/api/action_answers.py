"""Schemas of what was asked of a call."""

from __future__ import annotations

from web.api.answer_fields import Answer, moment, several, text

ACTION_RESULTS = (
    "hung_up", "canceled", "paused", "resumed", "sent", "played", "cut_short", "not_played", "too_late", "ended",
    "already_ended", "refused", "transferred", "not_transferred", "agent_failed",
)  # fmt: skip


class ActionAnswer(Answer):
    """Something that was asked of a call."""

    id = text("the action")
    type = text(
        "what was asked",
        enum=["hangup", "pause_recording", "resume_recording", "dtmf", "play", "transfer", "hold", "resume"],
    )
    requested_by = text("who asked", enum=["customer", "agent", "operator", "platform"])
    idempotency_key = text("the Idempotency-Key it was asked under", null=True)
    attempt_id = text("the attempt that it concerns")
    status = text(
        "whether it was carried out; playing: the switch has the file, and its end is waited for; holding: the"
        " call is on hold",
        enum=["requested", "playing", "holding", "done"],
    )
    result = text(
        "what came of it. canceled: the call was waiting and was not dialed; sent: the switch presses the keys; played: to"
        " its end; cut_short: the call ended first; not_played: the switch could not; too_late: it could not be carried out"
        " in time; ended: the call was over before it came to that, or before it was known; transferred: who answered was"
        " put through; not_transferred: nobody was, and leg_call_id says why. Of a hold it is what ended it: resumed,"
        " transferred, agent_failed (its fallback is heard), ended",
        null=True,
        enum=[*ACTION_RESULTS, None],
    )
    leg_call_id = text("transfer: the call to whom it is put through", null=True)
    created_at = moment("asked")
    done_at = moment("carried out", null=True)


class ActionList(Answer):
    """All that was asked of a call, first one first."""

    data = several(ActionAnswer)
