"""What a carrier's own words mean: the texts that an operator has noted for it, as they are kept with the carrier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

CLASSES = ("cps", "channels", "outage", "blocked", "bad_number")
MOST = 50
LONGEST = 100

_REMEDY = f'give a list of {{"code": 503 or null, "text": "...", "class": one of {", ".join(CLASSES)}}}'


def checked(entries: object) -> list[dict[str, Any]]:
    """The list in its one form: code (400 to 699, None for any), class, and the text that the phrase holds, in any case.

    Errors: ``ValueError`` that names the entry and the remedy.
    """
    if not isinstance(entries, list) or len(entries) > MOST:
        raise ValueError(f"reject_texts: {_REMEDY}, at most {MOST} of them")
    return [_checked(number, entry) for number, entry in enumerate(entries, 1)]


def _checked(number: int, entry: object) -> dict[str, Any]:
    where = f"reject_texts: entry {number}"
    if not isinstance(entry, dict) or not {"text", "class"} <= set(entry) <= {"code", "text", "class"}:
        raise ValueError(f"{where}: {_REMEDY}")
    code, text, kind = entry.get("code"), entry["text"], entry["class"]
    if code is not None and (type(code) is not int or not 400 <= code <= 699):
        raise ValueError(f"{where}: code must be a SIP code from 400 to 699, or null for any")
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"{where}: text must be 1 to {LONGEST} printable characters")
    if kind not in CLASSES:
        raise ValueError(f"{where}: class must be one of {', '.join(CLASSES)}")
    return {"code": code, "text": text.strip(), "class": kind}


def parse(specs: Sequence[str]) -> list[dict[str, Any]]:
    """As they are typed: ``503:cps:calls per second``, ``*:blocked:spam``, or one JSON list. Errors: as checked."""
    if len(specs) == 1 and specs[0].lstrip().startswith("["):
        try:
            return checked(json.loads(specs[0]))
        except json.JSONDecodeError as error:
            raise ValueError(f"reject_texts: no JSON: {error}") from None
    entries: list[object] = []
    for number, spec in enumerate(specs, 1):
        code, _, rest = spec.partition(":")
        kind, colon, text = rest.partition(":")
        if not colon or not (code == "*" or code.isdigit()):
            raise ValueError(f"reject_texts: entry {number}: give CODE:CLASS:TEXT, such as 503:cps:calls per second")
        entries.append({"code": None if code == "*" else int(code), "text": text, "class": kind})
    return checked(entries)
