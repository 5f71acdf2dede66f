"""What a call detail record says, as evidence: the body that FreeSWITCH's mod_json_cdr posts when a channel ends. Pure.

Read are ``channel_data.direction``, ``variables`` and of the latest profile in ``callflow`` its UUID and times; the rest
(audio statistics, SDP, applications, numbers) is left where it is. Values of ``variables`` are URL-encoded unless the
module's ``encode-values`` is false.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from calls.evidence import Evidence, Source, State
from calls.switch_words import end_of, micros, uuid_of

#: How the switch writes a variable that has several values; events do so too.
_ARRAY = "ARRAY::"
#: switch_url_encode leaves none of these alone, so a value that has one was never encoded.
_PLAIN = re.compile(r'[\r\n #&+:;<=>?@\[\\\]^`{|}"]|[^\x20-\x7e]')


class CdrError(ValueError):
    """This is no CDR. ``where``: a JSON pointer to what is missing or wrong; the text says what was expected."""

    def __init__(self, where: str, expected: str) -> None:
        super().__init__(f"{where or 'the body'}: {expected}")
        self.where, self.expected = where, expected


def from_cdr(body: object) -> Evidence | None:
    """The end of the attempt that the record is of; None for a leg that cannot be one (no UUID of ours, or a caller whom our
    dialplan has not announced).

    The same record always has the same key. Errors: :class:`CdrError` for what is no CDR or does not say when it ended.
    """
    record = _object(body, "")
    variables = _object(record.get("variables"), "/variables")
    profile, times = _latest(record)
    inbound = _object(record.get("channel_data"), "/channel_data").get("direction") == "inbound"

    def variable(name: str) -> str | None:
        value = variables.get(name)
        return decoded(value) if isinstance(value, str) and value else None

    caller = profile.get("caller_profile")
    attempt = uuid_of(variable("uuid")) or uuid_of(_text(caller, "uuid"))
    if attempt is None or (inbound and variable("trunkline_attempt") != str(attempt)):
        return None
    at = micros(_text(times, "hangup_time"))
    if at is None:
        raise CdrError("/callflow/0/times/hangup_time", "when the channel hung up, microseconds since 1970 as text")
    end = end_of(
        variable,
        at=at,
        cause=None,
        ringing_at=micros(_text(times, "progress_time")),
        early_at=micros(_text(times, "progress_media_time")),
        answered_at=micros(_text(times, "answered_time")),
        inbound=inbound,
    )
    return Evidence(attempt, f"cdr:{attempt}:{_text(times, 'hangup_time')}", Source.CDR, State.ENDED, at, end)


def switch_of(body: object) -> str:
    """Whose record it is, by its own ``switchname``; '' where it says none. At most 64 printable characters."""
    name = _text(body, "switchname") or ""
    return "".join(c for c in name if c.isprintable())[:64]


def decoded(value: str) -> str | None:
    """The value of a channel variable as it was on the channel; None for several values at once."""
    if "%" in value and _PLAIN.search(value) is None:
        # Where every character needed its code, the switch loses the last byte of it.
        value = unquote_to_bytes(value).decode("utf-8", "replace")
    return None if value.startswith(_ARRAY) else value


def _latest(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The channel's last profile, which the switch lists first, and its times, which hold all earlier ones too."""
    callflow = record.get("callflow")
    if not isinstance(callflow, list) or not callflow:
        raise CdrError("/callflow", "the channel's profiles, an array that is not empty")
    profile = _object(callflow[0], "/callflow/0")
    return profile, _object(profile.get("times"), "/callflow/0/times")


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise CdrError(where, "an object, as FreeSWITCH's mod_json_cdr writes it")
    return value


def _text(value: object, name: str) -> str | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) and found else None
