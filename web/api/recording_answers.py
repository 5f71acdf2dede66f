"""Schemas of what the API answers about recordings."""

from __future__ import annotations

from store.recordings import FAILURES, STATES
from web.api.answer_fields import Answer, moment, several, text, truth, whole


class PauseAnswer(Answer):
    """A stretch that is silent."""

    from_ = moment("since when", data_key="from")
    to = moment("until when; null: still", null=True)


class RecordingAnswer(Answer):
    """One recording: stereo WAV, the callee left, the agent right."""

    id = text("the recording", example="recording_0190b2c3d4e57f60718293a4b5c6d7e8")
    attempt_id = text("the dial that was answered")
    state = text(
        "waiting: for its start; recording; uploading: the call is over, the file on its way; available: to be had; failed:"
        " there is none, and there will be none; deleted: it was removed",
        enum=list(STATES),
    )
    failure = text(
        "why there is none. no_notice: the notice was not given to its end; not_started: the switch did not record;"
        " file_missing: it was recorded, and no file came of it; empty: it has no sound; unreadable: a broken file",
        null=True,
        enum=[*FAILURES, None],
    )
    start = text("what it waited for", enum=["answer", "after_notice"])
    started_at = moment("its first moment", null=True)
    stopped_at = moment("its last moment", null=True)
    pauses = several(PauseAnswer, "silent stretches")
    duration_ms = whole("ms", null=True)
    channels = whole("2: callee left, agent right", null=True)
    sample_rate = whole("samples per second", null=True)
    bytes = whole("length of the file", null=True)
    sha256 = text("SHA-256 of the file, hex", null=True)
    retention_until = moment("kept until then", null=True)
    delete_requested = truth("it was asked for that it be removed")
    deleted_at = moment("removed", null=True)
    url = text("where the file is to be had, without an API key; null: there is none now", null=True, format="uri")
    url_expires_at = moment("how long that address is good", null=True)


class RecordingList(Answer):
    """The recordings of a call, first one first."""

    data = several(RecordingAnswer)
