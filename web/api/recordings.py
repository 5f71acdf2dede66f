"""/v1/recordings, and those of a call: where to fetch them, pause and resume, removal."""

from __future__ import annotations

from flask import Response, url_for

from calls.ids import call_ref
from store import call_list, calls, recordings
from store.hangup import OtherAction
from store.recording_actions import Verb, request_recording
from store.snapshot import snapshot
from web.api import idempotency
from web.api.call_answers import CallAnswer
from web.api.headers import LOCATION_HEADER
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.recording_answers import RecordingAnswer, RecordingList
from web.api.respond import answer, path_id, refuses
from web.auth import tenant
from web.problems import Problem, not_found
from web.recording_files import show
from web.runtime import runtime

blueprint = Blueprint("recordings", __name__, url_prefix="/v1", description="What was recorded")

_ASK_AGAIN = "Ask again: asking twice changes nothing."


@blueprint.get("/calls/<call_id>/recordings", scope="recordings:read")
@blueprint.response(200, RecordingList)
@refuses(blueprint, 404)
@blueprint.doc(operationId="listCallRecordings")
def list_recordings(call_id: str) -> Response:
    """List the recordings of a call

    One for each dial that was answered, first one first; none while nobody has answered, or when the call is not recorded.
    """
    ours, wanted = runtime(), path_id("call", call_id)
    if calls.get_call(ours.database, tenant().id, wanted) is None:
        raise not_found("call")
    return answer({"data": [show(one) for one in recordings.list_recordings(ours.database, tenant().id, wanted)]})


@blueprint.get("/recordings/<recording_id>", scope="recordings:read")
@blueprint.response(200, RecordingAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getRecording")
def get_recording(recording_id: str) -> Response:
    """Read a recording

    `url` is where the WAV file is to be had until `url_expires_at`, without an API key: ask again for a new one.
    """
    found = recordings.get(runtime().database, tenant().id, path_id("recording", recording_id))
    if found is None:
        raise not_found("recording")
    return answer(show(found))


@blueprint.delete("/recordings/<recording_id>", scope="recordings:write")
@blueprint.response(202, RecordingAnswer, description="Accepted")
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="deleteRecording")
def delete_recording(recording_id: str) -> Response:
    """Delete a recording

    From now on no address of it is given out; the file is removed within moments, and `recording.deleted` tells when it is
    gone. One that is still being made is removed instead of being kept. Asking again changes nothing.
    """
    ours = runtime()
    with told_truly(_ASK_AGAIN):
        found = recordings.request_deletion(ours.database, tenant().id, path_id("recording", recording_id), ours.now())
    if found is None:
        raise not_found("recording")
    return answer(show(found), 202)


@blueprint.post("/calls/<call_id>/actions/pause_recording", scope="calls:write")
@blueprint.response(202, CallAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="pauseRecording")
def pause(call_id: str) -> Response:
    """Pause the recording

    Silence is recorded from then on, on both sides, until it is resumed: so the recording keeps the times of the call.
    Asked for before the recording begins, it is carried out a moment after that. `Location` is the action: wait for its
    result `paused` before anything is said that must not be recorded.
    """
    return _ask(call_id, "pause_recording")


@blueprint.post("/calls/<call_id>/actions/resume_recording", scope="calls:write")
@blueprint.response(202, CallAnswer, description="Accepted", headers=LOCATION_HEADER)
@refuses(blueprint, 400, 404, 409, writes=True)
@blueprint.doc(parameters=[idempotency.PARAMETER], operationId="resumeRecording")
def resume(call_id: str) -> Response:
    """Resume the recording

    What is said is recorded again. It ends a pause however often that was asked for.
    """
    return _ask(call_id, "resume_recording")


def _ask(call_id: str, verb: Verb) -> Response:
    ours, wanted = runtime(), path_id("call", call_id)
    key = idempotency.idempotency_key(None)
    try:
        with told_truly(_ASK_AGAIN):
            done = request_recording(
                ours.database,
                tenant().id,
                wanted,
                verb,
                "customer",
                ours.now(),
                action=None if key is None else key.key,
            )
    except OtherAction:
        raise idempotency.other_action() from None
    found = call_list.get(ours.database, tenant().id, wanted) if done.command_id is not None else None
    if done.kind == "not_found":
        raise not_found("call")
    if done.kind == "not_recorded":
        raise Problem(409, "not_recorded", "This call is not to be recorded: it was placed without, or with enabled false.")
    if done.kind == "not_dialed":
        raise Problem(409, "not_dialed", "This call waits to be dialed: there is nothing to pause. Ask when it is dialed.")
    assert found is not None
    assert done.command_id is not None
    location = {"Location": url_for("actions.get_action", call_id=call_ref(wanted), action_id=str(done.command_id))}
    return answer(snapshot(found.call, found.dial), 202, location)
