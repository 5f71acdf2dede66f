"""Signed addresses of recordings, and the files behind those that are ours: GET /recordings/<id>.wav?expires=..&signature=..

What lies in S3 is fetched from there, by an address that is signed here. What lies in our directory is served from here, to
whoever has an address that is good; whether the recording is still there is asked at every fetch.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, request, send_file

from calls.ids import parse_ref, recording_ref
from objects.signing import is_good, sign
from store import recordings
from store.recordings import Recording, snapshot
from store.snapshot import stamp
from web.problems import Problem
from web.runtime import runtime

blueprint = Blueprint("recording_files", __name__)

_SUFFIX = ".wav"


def show(recording: Recording) -> dict[str, Any]:
    """The recording as the API answers it: with an address where it is to be had, if it is."""
    url, expires = _address(recording)
    return {**snapshot(recording), "url": url, "url_expires_at": stamp(expires)}


def _address(recording: Recording) -> tuple[str | None, datetime | None]:
    ours = runtime()
    settings, places = ours.settings, ours.places
    if not _is_there(recording) or recording.key is None:
        return None, None
    ttl_s = settings.recording_url_ttl_s
    until = int((ours.now() + timedelta(seconds=ttl_s)).timestamp())
    expires, name = datetime.fromtimestamp(until, UTC), recording_ref(recording.id)
    if recording.place == "s3" and places.s3 is not None:
        return places.s3.signed_url(recording.key, ttl_s, name + _SUFFIX), expires
    if recording.place == "local" and places.local is not None and settings.recording_url_secret:
        base = settings.recording_url_base or request.host_url.rstrip("/")
        signature = sign(settings.recording_url_secret, name, until)
        return f"{base}/recordings/{name}{_SUFFIX}?expires={until}&signature={signature}", expires
    return None, None


def _is_there(recording: Recording) -> bool:
    return recording.state == "available" and not recording.delete_requested


@blueprint.get("/recordings/<name>.wav")
def fetch(name: str) -> Response:
    """The file, whole or the ranges that are asked for. 403 for an address that is not good, 404 when it is gone."""
    ours = runtime()
    given = {key: request.args.getlist(key) for key in ("expires", "signature")}
    if any(len(values) != 1 for values in given.values()) or not is_good(
        ours.settings.recording_url_secret, name, given["expires"][0], given["signature"][0], ours.now()
    ):
        raise Problem(
            403, "bad_signature", "This address is not good, or not any more: GET /v1/recordings/{id} gives a new one."
        )
    try:
        found = recordings.find(ours.database, parse_ref("recording", name))
    except ValueError:
        found = None
    local = ours.places.local
    if found is None or not _is_there(found) or found.place != "local" or found.key is None or local is None:
        raise _gone()
    assert found.sha256 is not None
    try:
        response = send_file(
            local.path(found.key),
            mimetype="audio/wav",
            as_attachment=True,
            download_name=name + _SUFFIX,
            conditional=True,
            etag=found.sha256.hex(),
            max_age=0,
        )
    except FileNotFoundError:
        raise _gone() from None
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _gone() -> Problem:
    return Problem(404, "not_found", "There is no such recording, or not any more.")
