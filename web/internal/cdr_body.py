"""The body that mod_json_cdr sends, in each of its encodings, as Python values.

``encode=false``: JSON, as application/json, or without its type where ``disable-100-continue`` is true. ``encode=true``:
``cdr=`` and the JSON, URL-encoded. ``encode=base64``: ``cdr=`` and the JSON in base64. What a carrier wrote may be in it
byte for byte, so broken UTF-8 is no reason to refuse a record.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from web.problems import FieldError, Problem
from web.runtime import runtime

JSON, FORM, BASE64 = "application/json", "application/x-www-form-urlencoded", "application/x-www-form-base64-encoded"
_FIELD = b"cdr="


def read_cdr(request: Request) -> Any:
    """The record. Raises ``Problem`` 415 (another type, or compressed), 400 (not what its type says) and werkzeug's
    ``RequestEntityTooLarge`` (413) over ``cdr_max_bytes``.
    """
    kind = request.mimetype
    if kind not in (JSON, FORM, BASE64) or request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(415, "unsupported_media_type", f"Send the record as {JSON}, {FORM} or {BASE64}, uncompressed.")
    limit = runtime().settings.cdr_max_bytes
    request.max_content_length = limit + 1
    data = request.get_data(cache=False)
    if len(data) > limit:
        # Without a Content-Length werkzeug cuts the body at its limit and says nothing.
        raise RequestEntityTooLarge
    form = kind != JSON and not data.lstrip().startswith(b"{")
    if form:
        data = _form_value(data, kind)
    try:
        return json.loads(data.decode("utf-8", "replace"), object_pairs_hook=_once if form else None)
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}", form=form) from None
    except (RecursionError, ValueError) as error:
        raise _malformed(str(error) or "nested too deep", form=form) from None


def _form_value(data: bytes, kind: str) -> bytes:
    if not data.startswith(_FIELD):
        detail = "the record in the one field cdr, as mod_json_cdr sends it"
        raise Problem(400, "malformed_cdr", "The form has no field cdr.", [FieldError("/cdr", "missing", detail)])
    value = data.removeprefix(_FIELD)
    if kind == FORM:
        return unquote_to_bytes(value.replace(b"+", b" "))
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        raise Problem(
            400, "malformed_cdr", "The field cdr is not base64.", [FieldError("/cdr", "not_base64", "the record in base64")]
        ) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different.

    With encode=true the module leaves alone what ``encode-values`` has encoded already, so a quotation mark of a stranger
    ends the text it stands in: a second ``hangup_cause`` is a forged one.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return members


def _malformed(detail: str, *, form: bool) -> Problem:
    remedy = " With encode=true set encode-values=false, or better encode=false." if form else ""
    where = "/cdr" if form else ""
    error = FieldError(where, "malformed_json", "the whole record as FreeSWITCH's mod_json_cdr writes it")
    return Problem(400, "malformed_cdr", f"The record is no JSON: {detail}.{remedy}", [error])
