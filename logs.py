"""JSON logs: one object a line, numbers masked, keys never whole.

The one place for it: every process logs through :class:`JsonFormatter`, so whoever logs something need not think of it. What
is known by its shape is masked by :func:`mask`; what has none (passwords of the settings) is known by its value.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from settings import get_settings

_NUMBER = re.compile(r"(?i)((?:\+|%2B))([0-9]{6,})")
#: As people write them: in groups behind a country code, or behind an area code with its 0. A time's offset is none.
_GROUPED = re.compile(r"(?<![0-9])((?:\+|%2[Bb])[1-9][0-9]{0,2})((?:[ ./()-]{1,3}[0-9]+){1,7})")
_NATIONAL = re.compile(
    r"(?<![\w.+-])(\(0[0-9]{1,5}\) ?|0[1-9][0-9]{1,4}[ /-])([0-9]{2,4}(?:[ -]?[0-9]{2,}){1,4})(?![\w:]|[.-][0-9])"
)
#: As carriers write them: in SIP and tel URIs and behind a gateway whatever they look like; elsewhere ten digits and more
#: that stand alone or behind a name, or six and more behind a 0. Ids, fractions, seconds and milliseconds since 1970 and
#: what is a number in a field of its own are none.
_ADDRESSED = re.compile(r"((?:\b(?:sips?|tel):|\bsofia/(?:gateway/)?[^\s/]{1,64}/)\+?)([0-9*#%]{4,40})")
_ALONE = re.compile(
    r"(?:(?<![\w.+-])|(?<=[A-Za-z]_)(?<!\btl_)(?<!\btlo_)(?<!tl_test_))(?!1[5-9](?:[0-9]{8}|[0-9]{11})(?![0-9]))"
    r"(?:0[0-9]{6,15}|[1-9][0-9]{9,14})(?![\w-]|\.[0-9])"
)
_API_KEY = re.compile(r"\b(tl|tl_test|tlo)_([a-z0-9]{8,16})_[A-Za-z0-9_-]+")
_CALL_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")
_SECRET = re.compile(r"\b(whsec|agsec)_[A-Za-z0-9+/=_-]+")
_ADDRESS_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s/]+@")
#: What stands behind a name that says what it is; a session's login; bytes as Postgres shows them in the row it refused.
_NAME = r"(?is)\b((?:password|passwd|secret|token|signature|key)(?:\\{0,8}['\"])?\s*[=:]\s*)"
_QUOTED = re.compile(_NAME + r"(\\{0,8}['\"])(?:(?!\2).)*(\2|$)")
_NAMED = re.compile(_NAME + r"(?!\\{0,8}['\"]|\*\*\*)[^\s'\",;&)]+")
_LOGIN = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}")
_BYTES = re.compile(r"\\+x[0-9a-fA-F]{32,}")
#: Of a setting that holds one; a shorter value would make words unreadable.
_SECRET_SETTING = re.compile(r"password|secret|_key$")
_ENVIRONMENT = "TRUNKLINE_SECRET_"
_SHORTEST = 6
#: Characters of a text whose masked form is kept: no key and no token is so short.
_SHORT = 32
#: These write as they please until they are told otherwise.
_WITH_OWN_WAYS = ("gunicorn.error", "gunicorn.access")
#: What a LogRecord has anyway; anything else came in by ``extra=`` and is written out.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_known: list[str] = []


def know_secrets(settings: BaseModel, environ: Mapping[str, str] = os.environ) -> None:
    """From now on the values of these settings that are secrets are masked wherever they stand; of ``environ`` carriers'
    passwords (``TRUNKLINE_SECRET_...``).
    """
    values = {name: value for name, value in settings.model_dump().items() if _SECRET_SETTING.search(name)}
    values |= {name: value for name, value in environ.items() if name.startswith(_ENVIRONMENT)}
    found = {value for value in values.values() if isinstance(value, str) and len(value) >= _SHORTEST}
    _known[:] = sorted({*_known, *found}, key=len, reverse=True)
    _again.cache_clear()


def mask(text: str) -> str:
    """``text`` with phone numbers, API keys, call tokens, webhook secrets and passwords made unreadable."""
    return _again(text) if len(text) <= _SHORT else _mask(text)


def _mask(text: str) -> str:
    for secret in _known:
        text = text.replace(secret, "***")
    if text.isalpha():
        return text  # a word: everything below has a digit or a sign in it
    text = _CALL_TOKEN.sub("eyJ***", text)  # first: what is in it may look like a number
    text = _NUMBER.sub(lambda match: match[1] + _digits(match[2], 2), text)
    text = _GROUPED.sub(_grouped, text)
    text = _NATIONAL.sub(lambda match: match[1] + _stars(match[2]), text)
    text = _ADDRESSED.sub(lambda match: match[1] + _digits(match[2], 2), text)
    text = _ALONE.sub(lambda match: _digits(match[0], 2), text)
    text = _API_KEY.sub(r"\1_\2_***", text)
    text = _SECRET.sub(r"\1_***", text)
    text = _BYTES.sub(r"\\x***", text)
    text = _LOGIN.sub(r"\1 ***", text)
    text = _ADDRESS_PASSWORD.sub(r"\1:***@", text)
    text = _QUOTED.sub(r"\1\2***\3", text)
    return _NAMED.sub(r"\1***", text)


#: Names of fields, methods, paths: the same words line for line.
_again = lru_cache(maxsize=1024)(_mask)


def _grouped(match: re.Match[str]) -> str:
    """Of a number in groups; fewer than seven digits are none."""
    return (
        match[1] + _stars(match[2])
        if sum(sign.isdigit() for sign in match[0].lower().removeprefix("%2b")) >= 7
        else match[0]
    )


def _stars(digits: str) -> str:
    """Each digit but the last two; what stands between them stays."""
    return re.sub(r"[0-9](?=(?:[^0-9]*[0-9]){2})", "*", digits)


def _digits(number: str, shown: int) -> str:
    """The first ``shown`` and the last two of it."""
    return f"{number[:shown]}{'*' * (len(number) - shown - 2)}{number[-2:]}"


def _masked(value: Any) -> Any:
    """``value`` as JSON may have it, every text in it masked, names included."""
    if isinstance(value, str):
        return mask(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {mask(str(name)): _masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item) for item in value]
    return mask(str(value))


class JsonFormatter(logging.Formatter):
    """``{"at", "level", "logger", "message", ...extra}``; every text goes through :func:`mask`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = _masked(value)
        if record.exc_info:
            line["error"] = mask(self.formatException(record.exc_info))
        return json.dumps(line)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every logger of this process to stderr as JSON; call once, at start. Loggers with ways of their own lose them."""
    with suppress(ValidationError):  # whoever starts the process meets it next, and says so
        know_secrets(get_settings())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Of each record it would be looked up where it was made and by which thread, which no line of ours says.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _WITH_OWN_WAYS:
        other = logging.getLogger(name)
        other.handlers.clear()
        other.propagate = True
