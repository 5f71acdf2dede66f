"""JSON values out of text frames: mod_audio_fork sends two texts queued together as one frame, ``{"a":1}{"b":2}``."""

from __future__ import annotations

import json

_DECODER = json.JSONDecoder()


def json_values(text: str) -> list[object]:
    """Every JSON value in ``text``, in order. Raises ``ValueError`` with the offset where the text is not JSON."""
    values: list[object] = []
    at, end = 0, len(text)
    while at < end:
        if text[at] in " \t\r\n":
            at += 1
            continue
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON at character {at}: {error}") from error
        values.append(value)
    return values
