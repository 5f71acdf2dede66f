"""/v1/calls/{id}/record and /results: one call with all that belongs to it, and what its agents handed in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from store import call_list, calls, permission, record, recordings, results
from store.record import EventCount
from store.recordings import snapshot as recording_snapshot
from store.snapshot import attempt_snapshot, snapshot, stamp
from web.api.outcome import told_truly
from web.api.parser import Blueprint
from web.api.record_answers import RecordAnswer, ResultList
from web.api.respond import answer, path_id, refuses
from web.auth import key, tenant
from web.problems import not_found
from web.recording_files import show
from web.runtime import runtime
from web.testmode import testing

blueprint = Blueprint("record", __name__, url_prefix="/v1/calls", description="One call with all that belongs to it")


@blueprint.get("/<call_id>/record", scope="calls:read")
@blueprint.response(200, RecordAnswer)
@refuses(blueprint, 404)
@blueprint.doc(operationId="getCallRecord")
def get_record(call_id: str) -> Response:
    """Read the whole record of a call

    The call, every dial, what happened in short, its recordings, and what its agents handed in. What was said is shown to a
    key that has `recordings:read` too, and of a test call to a test key.
    """
    ours, wanted = runtime(), path_id("call", call_id)
    found = call_list.get(ours.database, tenant().id, wanted)
    if found is None:
        raise not_found("call")
    said = testing() or "recordings:read" in key().scopes
    decisions = permission.decisions(ours.database, tenant().id, wanted)
    return answer(
        {
            "call": snapshot(found.call, found.dial),
            "attempts": [
                {**attempt_snapshot(one), "decision": decisions.get(one.id)}
                for one in calls.list_attempts(ours.database, tenant().id, wanted)
            ],
            "events": [_event(one) for one in record.event_counts(ours.database, tenant().id, wanted)],
            "recordings": [
                show(one) if said else {**recording_snapshot(one), "url": None, "url_expires_at": None}
                for one in recordings.list_recordings(ours.database, tenant().id, wanted)
            ],
            "results": [
                results.snapshot(one, said=said) for one in results.list_results(ours.database, tenant().id, wanted)
            ],
            "said": said,
        }
    )


@blueprint.get("/<call_id>/results", scope="recordings:read")
@blueprint.response(200, ResultList)
@refuses(blueprint, 404)
@blueprint.doc(operationId="listCallResults")
def list_results(call_id: str) -> Response:
    """Read what the agents of a call handed in

    One for each dial whose agent did so, first one first.
    """
    return answer(_results(_own(call_id)))


@blueprint.delete("/<call_id>/results", scope="recordings:write")
@blueprint.response(200, ResultList)
@refuses(blueprint, 404, writes=True)
@blueprint.doc(operationId="eraseCallResults")
def erase_results(call_id: str) -> Response:
    """Erase what the agents of a call handed in

    Summary, data, transcript, latencies, tool calls and recording parts are gone at once; that there was a result, and its
    outcome, stays. Recordings are deleted by themselves. Asking again changes nothing; what is handed in after it is kept.
    """
    wanted = _own(call_id)
    with told_truly("Ask again: asking twice changes nothing."):
        results.erase_of_call(runtime().database, tenant().id, wanted, runtime().now())
    return answer(_results(wanted))


def _own(call_id: str) -> UUID:
    wanted = path_id("call", call_id)
    if calls.get_call(runtime().database, tenant().id, wanted) is None:
        raise not_found("call")
    return wanted


def _results(wanted: UUID) -> dict[str, Any]:
    return {"data": [results.snapshot(one) for one in results.list_results(runtime().database, tenant().id, wanted)]}


def _event(one: EventCount) -> dict[str, Any]:
    return {
        "type": one.type,
        "source": one.source,
        "count": one.count,
        "first_at": stamp(one.first_at),
        "last_at": stamp(one.last_at),
    }
