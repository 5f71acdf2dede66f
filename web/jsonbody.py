"""Reading a JSON body strictly: what one parser would repair and the next would refuse is refused here.

Refused beyond RFC 8259: duplicate names, NaN and Infinity, numbers beyond a double, characters Postgres cannot keep (U+0000
and lone surrogates), nesting deeper than :data:`MAX_DEPTH`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from web.problems import NOT_JSON, FieldError, Problem, invalid
from web.runtime import runtime

#: Levels of nesting, the body itself being the first.
MAX_DEPTH = 32
_MAX_INTEGER_DIGITS = 40
_NOT_KEPT = re.compile(r"[\x00\ud800-\udfff]")


class Malformed(ValueError):
    """The text is not the JSON we take; the message says why."""


def read_json(request: Request, most: int | None = None) -> Any:
    """The body as Python values; ``most``: bytes that it may have, None: ``max_body_bytes``.

    Raises ``Problem`` 415 (not JSON, or compressed), 400 (malformed), 422 (a character or depth we cannot keep), and
    werkzeug's ``RequestEntityTooLarge`` (413) where it is larger.
    """
    return read_given(read_text(request, runtime().settings.max_body_bytes if most is None else most))


def read_given(text: str) -> Any:
    """As :func:`read_json`, of a text that came by no request. Raises ``Problem`` 400 and 422."""
    with told():
        value = DECODER.decode(text)
    check_content(value)
    return value


def read_text(request: Request, most: int) -> str:
    """The body as text. Raises as :func:`read_json` does, 413 over ``most`` bytes."""
    if request.mimetype != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(415, "unsupported_media_type", NOT_JSON)
    request.max_content_length = most + 1  # what Content-Length says is refused before it is read
    data = request.get_data()
    if len(data) > most:
        # Without a Content-Length werkzeug cuts the body at its limit and says nothing.
        raise RequestEntityTooLarge
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8 at byte {error.start}") from None


@contextmanager
def told() -> Iterator[None]:
    """Around the work of :data:`DECODER`: what it meets is told as ``Problem`` 400."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except Malformed as error:
        raise _malformed(str(error)) from None
    except RecursionError:
        raise _malformed(f"nested deeper than {MAX_DEPTH} levels") from None


def pointer(*steps: str | int) -> str:
    """RFC 6901 pointer to ``steps`` below the body."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed_json", f"The body is not acceptable JSON: {detail}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Malformed(f"the name {twice[:64]!r} appears twice in one object")
    return members


def _constant(text: str) -> NoReturn:
    raise Malformed(f"{text} is not a JSON number")


def _float(text: str) -> float | int:
    """In the one form that Postgres gives back, so that a replayed answer equals the first one to the byte."""
    value = float(text)
    if not math.isfinite(value):
        raise Malformed("a number is beyond the range of a double")
    # Where repr turns to 1e+16, jsonb writes the digits out; minus zero is zero there.
    return int(value) if abs(value) >= 1e16 else value + 0.0


def _integer(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS:
        raise Malformed(f"an integer has more than {_MAX_INTEGER_DIGITS} digits")
    return int(text)


#: json's own, with our rules.
DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer)


def check_content(value: Any) -> None:
    """Raise ``Problem`` 422 for a character or a depth that we cannot keep.

    Iterative on purpose: the depth it refuses must not be able to exhaust the stack. A fault is named by the first step
    alone: a deeper name may itself hold what cannot be sent back.
    """
    waiting: list[tuple[tuple[str | int, ...], int, Any]] = [((), 0, value)]
    while waiting:
        steps, depth, item = waiting.pop()
        if depth >= MAX_DEPTH and isinstance(item, (dict, list)):
            raise invalid(FieldError(pointer(*steps), "too_deep", f"nested deeper than {MAX_DEPTH} levels"))
        if isinstance(item, str):
            _check_text(steps, item)
        elif isinstance(item, dict):
            for name, child in item.items():
                _check_text(steps, name)
                if isinstance(child, (str, dict, list)):
                    waiting.append((steps or (name,), depth + 1, child))
        elif isinstance(item, list):
            for index, child in enumerate(item):
                if isinstance(child, (str, dict, list)):
                    waiting.append((steps or (index,), depth + 1, child))


def _check_text(steps: tuple[str | int, ...], text: str) -> None:
    if _NOT_KEPT.search(text) is not None:
        raise invalid(FieldError(pointer(*steps), "bad_character", "holds U+0000 or half of a surrogate pair; leave it out"))
