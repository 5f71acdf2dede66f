"""The structural comparison: what must be the same between a recording and the simulated switch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from .tracefile import Item, Reply, TraceEvent

# Fired by other threads than the channel's own: their place among its events is a race on the real switch too.
_RACING = {
    "CUSTOM",
    "MEDIA_BUG_START",
    "MEDIA_BUG_STOP",
    "BACKGROUND_JOB",
    "HEARTBEAT",
    "RECORD_START",
    "RECORD_STOP",
    "API",
}
_LIFECYCLE = (
    "Channel-State",
    "Channel-Call-State",
    "Channel-State-Number",
    "Answer-State",
    "Hangup-Cause",
    "Event-Calling-File",
    "Event-Calling-Function",
    "Channel-HIT-Dialplan",
    "Call-Direction",
    "Original-Channel-Call-State",
    "Channel-Call-State-Number",
    "Application",
    "Application-Data",
    "Application-Response",
    "Playback-Status",
    "Playback-File-Type",
    "Direction",
)
# Headers the controller reads, and others that do not depend on the day: their values must agree.
_STABLE = (
    "Channel-Name",
    "Unique-ID",
    "Channel-Presence-Data",
    "Channel-Call-UUID",
    "Caller-Direction",
    "Caller-Caller-ID-Name",
    "Caller-Caller-ID-Number",
    "Caller-Orig-Caller-ID-Name",
    "Caller-Orig-Caller-ID-Number",
    "Caller-Callee-ID-Name",
    "Caller-Callee-ID-Number",
    "Caller-Network-Addr",
    "Caller-ANI",
    "Caller-Destination-Number",
    "Caller-Context",
    "Caller-Source",
    "Channel-Read-Codec-Name",
    "Channel-Read-Codec-Rate",
    "variable_sip_term_status",
    "variable_sip_invite_failure_status",
    "variable_sip_invite_failure_phrase",
    "variable_proto_specific_hangup_cause",
    "variable_sip_term_cause",
    "variable_hangup_cause",
    "variable_hangup_cause_q850",
    "variable_sip_hangup_disposition",
    "variable_endpoint_disposition",
    "variable_sip_gateway_name",
    "variable_sip_profile_name",
    "variable_presence_data",
    "variable_accountcode",
    "variable_origination_uuid",
    "variable_uuid",
    "variable_direction",
    "variable_is_outbound",
    "variable_originate_early_media",
    "variable_ignore_early_media",
    "variable_channel_cid_flipped",
    "variable_last_app",
    "variable_current_application",
    "variable_current_application_response",
    "variable_digits_dialed",
    "variable_read_codec",
    "variable_outbound_redirect_fatal",
    "variable_sip_invite_call_id",
    "variable_caller_id",
    "variable_note",
    "variable_dtmf_type",
    "variable_sip_to_user",
    "variable_sip_from_user",
    "Media-Bug-Function",
    "Media-Bug-Target",
    "Event-Subclass",
    "Job-Command",
)
_TIMES = re.compile(r"^(Caller-.*-Time|variable_.*_u?epoch|variable_.*_stamp)$")
# The real clock moves in steps of 20 ms, so of the spans only those that need an answer are surely zero or not.
_SPANS = re.compile(r"^variable_(flow_bill|bill)usec$")


def lifecycle(items: Iterable[Item], channel: str) -> list[TraceEvent]:
    """The channel's own events in order."""
    return [
        item for item in items if isinstance(item, TraceEvent) and identity(item) == channel and item.name not in _RACING
    ]


def identity(event: TraceEvent) -> str:
    """The channel of an event; an inbound one got its UUID from the switch, so all are called `inbound`."""
    if not event.get("Unique-ID"):
        return ""
    return "inbound" if event.get("Call-Direction") == "inbound" else event.get("Unique-ID")


def channels(items: Iterable[Item]) -> list[str]:
    seen: dict[str, None] = {}
    for item in items:
        if isinstance(item, TraceEvent) and identity(item):
            seen[identity(item)] = None
    return list(seen)


def racing(items: Iterable[Item]) -> list[TraceEvent]:
    """Events outside the channels' own order, sorted so that the race does not matter."""
    found = [item for item in items if isinstance(item, TraceEvent) and item.name in _RACING - {"HEARTBEAT", "API"}]
    return sorted(
        found, key=lambda e: (identity(e), e.name, e.get("Media-Bug-Function"), e.get("Job-Command"), e.get("Job-UUID"))
    )


def step(event: TraceEvent) -> tuple[str, ...]:
    return (event.name, *(normal(event.get(name)) for name in _LIFECYCLE))


def differences(real: TraceEvent, mine: TraceEvent) -> list[str]:
    """Missing or additional header names, other stable values, times that are set on one side only."""
    found = [f"missing {name}" for name in sorted(real.names - mine.names)]
    found += [f"additional {name}={mine.get(name)!r}" for name in sorted(mine.names - real.names)]
    inbound = identity(real) == "inbound"
    for name in _STABLE:
        if name in real.names & mine.names:
            if inbound and name in ("Unique-ID", "Channel-Call-UUID", "variable_uuid", "Channel-Name"):
                continue
            if normal(real.get(name)) != normal(mine.get(name)):
                found.append(f"{name}: {real.get(name)!r} there, {mine.get(name)!r} here")
    for name in real.names & mine.names:
        if (_TIMES.match(name) or _SPANS.match(name)) and (real.get(name) == "0") != (mine.get(name) == "0"):
            found.append(f"{name}: {real.get(name)} there, {mine.get(name)} here")
    if real.get("Job-Command") == "originate" and real.get("Job-UUID") != mine.get("Job-UUID"):
        found.append(f"Job-UUID: {real.get('Job-UUID')} there, {mine.get('Job-UUID')} here")
    return found + _inner_times(mine)


def _inner_times(event: TraceEvent) -> list[str]:
    """The simulated switch's own report must agree with itself."""
    found = []
    for name, value in event.pairs:
        if name.endswith("_uepoch"):
            whole = event.get(name.replace("_uepoch", "_epoch"))
            if whole != str(int(value) // 1_000_000):
                found.append(f"{name} {value} against {whole}")
    answered, ended = event.get("variable_answer_uepoch"), event.get("variable_end_uepoch")
    if answered not in ("", "0") and ended:
        billed = int(ended) - int(answered)
        if event.get("variable_billusec") != str(billed):
            found.append(f"billusec {event.get('variable_billusec')} against {billed}")
    return found


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_PATH = re.compile(r"/[\w./-]*/([\w.-]+)")


def normal(text: str) -> str:
    """File paths by their names, generated file numbers away."""
    return re.sub(r"_\d+\.tmp", "_N.tmp", _PATH.sub(r"\1", text))


def shape(text: str) -> str:
    """A body without what changes from day to day: ids, numbers, addresses, widths."""
    text = _UUID.sub("UUID", text)
    text = _NUMBER.sub("N", text)
    # 1 minute, 2 minutes: the uptime's grammar.
    text = re.sub(r"\b(year|day|hour|minute|second|millisecond|microsecond)s?\b", r"\1", text)
    return re.sub(r"[ \t]+", " ", re.sub(r"N(\.N)+", "N", text))


def reply_shape(reply: Reply) -> tuple[str, ...]:
    """What must agree between two replies."""
    body = reply.body
    # A job that named no UUID gets one from the switch; those it named are compared at BACKGROUND_JOB.
    text = _UUID.sub("UUID", reply.headers.get("Reply-Text", ""))
    if body.startswith("{"):
        return (reply.kind, text, *_json_shape(json.loads(body)), body[-1:] if body.endswith("\n") else "")
    if body.startswith("Event-Name: CHANNEL_DATA"):
        return (reply.kind, *sorted(line.partition(":")[0] for line in body.strip().split("\n")))
    return (reply.kind, text, shape(body))


def _json_shape(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [entry for key, inner in value.items() for entry in _json_shape(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [entry for inner in value[:1] for entry in _json_shape(inner, f"{path}[]")] or [f"{path}[]"]
    return [f"{path}:{'number' if isinstance(value, (int, float)) else shape(str(value))}"]


def body_of(event: TraceEvent) -> object:
    """A CUSTOM body as JSON without paths; another body as it is."""
    body = event.body
    if body.startswith("{"):
        return json.loads(normal(body))
    return body
