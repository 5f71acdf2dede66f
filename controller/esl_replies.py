"""What the switch's replies mean. Each function takes the text that ``call`` returns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from controller.frames import Event, parse_plain


class ReplyError(ValueError):
    """A reply that is not what this command answers."""


def exists(reply: str) -> bool:
    """uuid_exists."""
    if reply not in ("true", "false"):
        raise ReplyError(f"uuid_exists answers true or false, not {reply[:80]!r}")
    return reply == "true"


def fence(reply: str) -> int | None:
    """hash_select: the fence, or None when there is no tombstone."""
    if not reply:
        return None
    if not (reply.isascii() and reply.isdigit()):
        raise ReplyError(f"a tombstone holds a fence, not {reply[:80]!r}")
    return int(reply)


def channels(reply: str) -> list[dict[str, str]]:
    """show_channels: a row per channel (``uuid``, ``direction``, ``created_epoch``, ``callstate``, ``accountcode``,
    ``presence_data`` ...). With no channel the switch leaves ``rows`` out."""
    rows = _json(reply).get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReplyError("show channels: rows is no list of objects")
    return rows


_ROWS = re.compile(r'\{"row_count":\d+,"rows":\[')
_ROW = json.JSONDecoder()


def each_channel(reply: str) -> Iterator[dict[str, str]]:
    """As :func:`channels`, row by row: of thousands at once, decoding all of them would hold up everybody else."""
    head = _ROWS.match(reply)
    if head is None or reply.startswith("]", head.end()):
        yield from channels(reply)
        return
    at, more = head.end(), ","
    while more == ",":
        try:
            row, at = _ROW.raw_decode(reply, at)
        except ValueError:
            raise ReplyError(f"show channels: no JSON: {reply[at : at + 80]!r}") from None
        if not isinstance(row, dict):
            raise ReplyError("show channels: rows is no list of objects")
        yield row
        more, at = reply[at : at + 1], at + 1
    if more != "]" or reply[at:].strip() != "}":
        raise ReplyError(f"show channels: no JSON: {reply[at - 1 : at + 79]!r}")


def dump(reply: str) -> Event:
    """uuid_dump, as an event (CHANNEL_DATA)."""
    event = parse_plain(reply.encode())
    if event.get("Event-Name") != "CHANNEL_DATA":
        raise ReplyError("uuid_dump answers a CHANNEL_DATA event")
    return event


def job(reply: str) -> UUID:
    """The job id that ``bgapi`` acknowledges."""
    prefix, _, text = reply.partition("Job-UUID: ")
    try:
        return UUID(text.strip())
    except ValueError:
        raise ReplyError(f"bgapi acknowledges a Job-UUID, not {prefix[:80]!r}") from None


def _json(reply: str) -> dict[str, Any]:
    try:
        value = json.loads(reply)
    except ValueError:
        raise ReplyError(f"no JSON: {reply[:80]!r}") from None
    if not isinstance(value, dict):
        raise ReplyError("a JSON reply that is no object")
    return value
