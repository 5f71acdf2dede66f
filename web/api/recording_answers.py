"""Schemas of what the API answers about recordings."""

from __future__ import annotations

from marshmallow import fields

from store.recordings import FAILURES, STATES
from web.api.answers import Answer, _text, _time, _whole


class PauseAnswer(Answer):
    """A stretch that is silent."""

    from_ = _time("since when", data_key="from")
    to = _time("until when; null: still", null=True)


class RecordingAnswer(Answer):
    """One recording: stereo WAV, the callee left, the agent right."""

    id = _text("the recording", example="recording_0190b2c3d4e57f60718293a4b5c6d7e8")
    attempt_id = _text("the dial that was answered")
    state = _text(
        "waiting: for its start; recording; uploading: the call is over, the file on its way; available: to be had; failed:"
        " there is none, and there will be none; deleted: it was removed",
        enum=list(STATES),
    )
    failure = _text(
        "why there is none. no_notice: the notice was not given to its end; not_started: the switch did not record;"
        " file_missing: it was recorded, and no file came of it; empty: it has no sound; unreadable: a broken file",
        null=True,
        enum=[*FAILURES, None],
    )
    start = _text("what it waited for", enum=["answer", "after_notice"])
    started_at = _time("its first moment", null=True)
    stopped_at = _time("its last moment", null=True)
    pauses = fields.List(fields.Nested(PauseAnswer), required=True, metadata={"description": "silent stretches"})
    duration_ms = _whole("ms", null=True)
    channels = _whole("2: callee left, agent right", null=True)
    sample_rate = _whole("samples per second", null=True)
    bytes = _whole("length of the file", null=True)
    sha256 = _text("SHA-256 of the file, hex", null=True)
    retention_until = _time("kept until then", null=True)
    delete_requested = fields.Boolean(required=True, metadata={"description": "it was asked for that it be removed"})
    deleted_at = _time("removed", null=True)
    url = _text("where the file is to be had, without an API key; null: there is none now", null=True, format="uri")
    url_expires_at = _time("how long that address is good", null=True)


class RecordingList(Answer):
    """The recordings of a call, first one first."""

    data = fields.List(fields.Nested(RecordingAnswer), required=True)
