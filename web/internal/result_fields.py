"""Schema of what an agent hands in after a call (docs/runtime.md). Each list has a bound, and all of it the setting
``max_result_bytes``.
"""

from __future__ import annotations

from web.api.fields import Choice, Object, Request, Text, Whole
from web.api.loose_fields import AnyJson, Listed, Prose
from web.api.retry_fields import Part, Switch

TURNS, LATENCIES, TOOL_CALLS, PARTS = 2000, 2000, 500, 100
SUMMARY_CHARS = 2000
_DAY_MS = 86_400_000
_LIMIT = "max_metadata_bytes"


def _at() -> Whole:
    return Whole(0, _DAY_MS)


def _word(**more: bool) -> Text:
    return Text(
        maximum=64,
        pattern="[a-z0-9][a-z0-9_.-]{0,63}",
        remedy="must be 1 to 64 lower-case letters, digits, _ . and -, beginning with a letter or digit",
        **more,
    )


class TurnRequest(Request):
    """What somebody said. Times in ms from the answer."""

    speaker = Choice(("agent", "callee", "caller"), required=True)
    text = Prose(maximum=10_000, required=True)
    at_ms = _at()
    duration_ms = _at()
    interrupted = Switch()


class LatencyRequest(Request):
    """How long something took, once."""

    name = _word(required=True)
    ms = Whole(0, 600_000, required=True)
    at_ms = _at()


class ToolCallRequest(Request):
    """A tool that the agent used, and what came of it."""

    name = Prose(minimum=1, maximum=128, required=True)
    arguments = Object(_LIMIT)
    result = AnyJson(_LIMIT)
    error = Prose(maximum=1000)
    at_ms = _at()
    duration_ms = _at()


class RecordingPartRequest(Request):
    """A piece of audio that the agent's side keeps. It is not fetched: ``reference`` is for whoever reads the record."""

    reference = Prose(minimum=1, maximum=512, required=True)
    side = Choice(("agent", "callee", "both"))
    at_ms = _at()
    duration_ms = _at()
    bytes = Whole(0, 1 << 40)
    sha256 = Text(minimum=64, maximum=64, pattern="[0-9a-f]{64}", remedy="must be 64 lower-case hexadecimal digits")


def _several(of: type[Request], maximum: int) -> Listed:
    return Listed(Part(of), maximum)


class ResultRequest(Request):
    """What came of an attempt, as its agent has it."""

    outcome = _word(required=True)
    summary = Prose(maximum=SUMMARY_CHARS)
    data = Object(_LIMIT)
    transcript = _several(TurnRequest, TURNS)
    latencies = _several(LatencyRequest, LATENCIES)
    tool_calls = _several(ToolCallRequest, TOOL_CALLS)
    recording_parts = _several(RecordingPartRequest, PARTS)
