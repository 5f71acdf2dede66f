"""The body of POST /internal/seats, read strictly: every fault is named, and nothing of a body with one is carried out."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from budget.seats import Said, Word
from web.problems import FieldError, invalid

#: Seats of one keeper.
MOST = 500
MAX_BYTES = 1 << 19
URL_MAX = 512
#: What a number of Redis' Lua counts to without a gap.
SEQ_MAX = (1 << 53) - 1
_POOL = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VISIBLE = re.compile(r"[!-~]+")
_WORDS: dict[str, Word] = {"open": "", "leaving": "leaving", "gone": "gone"}
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FIELDS = {"pool", "name", "worker", "url", "attempt", "token", "state"}


def read_seats(body: Any) -> tuple[str, int | None, list[Said]]:
    """The keeper, its ``seq`` and what it says:
    ``{"keeper": ..., "seq": 7, "seats": [{"pool", "name", "worker", "url", "attempt", "token", "state"}]}``.

    ``seq``, ``attempt``, ``token`` (null: none) and ``state`` (``open``, ``leaving``, ``gone``) may be left out. Raises
    ``Problem`` 422.
    """
    faults: list[FieldError] = []

    if not isinstance(body, dict):
        raise invalid(FieldError("", "wrong_type", "must be an object with keeper and seats"))
    for name in sorted(body.keys() - {"keeper", "seq", "seats"}):
        faults.append(FieldError("/" + _step(name), "unknown_field", "is not known here; there are keeper, seq and seats"))
    keeper = _text(body, "keeper", "", _NAME, "1 to 64 of A-Z a-z 0-9 . _ -", faults)
    seq = body.get("seq")
    if seq is not None and (isinstance(seq, bool) or not isinstance(seq, int)):
        faults.append(FieldError("/seq", "wrong_type", "must be a whole number that rises with each request"))
    elif seq is not None and not 0 <= seq <= SEQ_MAX:
        faults.append(FieldError("/seq", "out_of_range", f"must be 0 to {SEQ_MAX}"))
    listed = body.get("seats")
    if not isinstance(listed, list):
        faults.append(FieldError("/seats", "required" if "seats" not in body else "wrong_type", "must be a list"))
        listed = []
    if len(listed) > MOST:
        faults.append(FieldError("/seats", "bad_length", f"must have {MOST} entries at most"))
        listed = []
    said = [_seat(one, f"/seats/{i}", faults) for i, one in enumerate(listed)]
    names = [(one.pool, one.name) for one in said]
    if not faults and len(set(names)) != len(names):
        faults.append(FieldError("/seats", "conflict", "names a seat twice"))
    if faults:
        raise invalid(*faults[:20])
    return keeper, seq, said


def _seat(one: Any, at: str, faults: list[FieldError]) -> Said:
    if not isinstance(one, dict):
        faults.append(FieldError(at, "wrong_type", "must be an object"))
        one = {}
    for name in sorted(one.keys() - _FIELDS):
        faults.append(
            FieldError(f"{at}/{_step(name)}", "unknown_field", f"is not known here; there are {', '.join(sorted(_FIELDS))}")
        )
    pool = _text(one, "pool", at, _POOL, "1 to 32 of a-z, 0-9 and -, not starting with -", faults)
    name = _text(one, "name", at, _NAME, "1 to 64 of A-Z a-z 0-9 . _ -", faults)
    worker = _text(one, "worker", at, _NAME, "1 to 64 of A-Z a-z 0-9 . _ -", faults)
    url = _text(one, "url", at, _VISIBLE, "ws://host:port/path or wss://host:port/path, without user and fragment", faults)
    if url and not _leads_to_a_worker(url):
        faults.append(
            FieldError(
                f"{at}/url", "bad_format", "must be ws://host:port/path or wss://host:port/path, without user and fragment"
            )
        )
    attempt = one.get("attempt")
    state = one.get("state", "open")
    if not isinstance(state, str) or state not in _WORDS:
        faults.append(FieldError(f"{at}/state", "bad_value", f"must be one of {', '.join(_WORDS)}"))
        state = "open"
    token = "" if one.get("token") is None else _text(one, "token", at, _TOKEN, "1 to 64 of A-Z a-z 0-9 . _ -", faults)
    return Said(pool, name, worker, url, _uuid(attempt, f"{at}/attempt", faults), _WORDS[state], token)


def _text(of: dict[str, Any], name: str, at: str, form: re.Pattern[str], expected: str, faults: list[FieldError]) -> str:
    value = of.get(name)
    if isinstance(value, str) and form.fullmatch(value) is not None:
        return value
    if name not in of:
        faults.append(FieldError(f"{at}/{name}", "required", f"must be {expected}"))
    elif isinstance(value, str):
        faults.append(FieldError(f"{at}/{name}", "bad_format", f"must be {expected}"))
    else:
        faults.append(FieldError(f"{at}/{name}", "wrong_type", f"must be {expected}"))
    return ""


def _uuid(value: Any, at: str, faults: list[FieldError]) -> UUID | None:
    if value is None:
        return None
    try:
        found = UUID(value)
    except (ValueError, AttributeError, TypeError):
        found = None
    if found is None or str(found) != value:
        faults.append(FieldError(at, "bad_format", "must be the attempt's id as X-Trunkline-Attempt has it, or null"))
    return found


def _leads_to_a_worker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = parts.username is None and parts.password is None and not parts.fragment
    return len(url) <= URL_MAX and parts.scheme in ("ws", "wss") and bool(parts.hostname) and port not in (None, 0) and plain


def _step(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
