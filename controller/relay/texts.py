"""JSON values out of text frames: mod_audio_fork sends two texts queued together as one frame, ``{"a":1}{"b":2}``."""

from __future__ import annotations

import json

_DECODER = json.JSONDecoder()


def json_values(text: str, most: int | None = None) -> list[object]:
    """Every JSON value in ``text``, in order, ``most`` of them at most. Raises ``ValueError`` with the offset where the text
    is not JSON, or where there is one too many.
    """
    values: list[object] = []
    at, end = 0, len(text)
    while at < end:
        if text[at] in " \t\r\n":
            at += 1
            continue
        if most is not None and len(values) >= most:
            raise ValueError(f"more than {most} values in one text, at character {at}")
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON at character {at}: {error}") from error
        values.append(value)
    return values
