"""JSON logs: one object a line, numbers masked, keys never whole."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

_NUMBER = re.compile(r"\+[0-9]{6,15}\b")
_API_KEY = re.compile(r"\b(tl|tl_test|tlo)_([a-z0-9]{8,16})_[A-Za-z0-9_-]+")
_SECRET = re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+")
_ADDRESS_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@/]+@")
#: What a LogRecord has anyway; anything else came in by ``extra=`` and is written out.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def mask(text: str) -> str:
    """``text`` with phone numbers, API keys, webhook secrets and passwords in addresses made unreadable."""
    text = _NUMBER.sub(lambda match: f"{match[0][:3]}{'*' * (len(match[0]) - 5)}{match[0][-2:]}", text)
    text = _API_KEY.sub(r"\1_\2_***", text)
    text = _SECRET.sub("whsec_***", text)
    return _ADDRESS_PASSWORD.sub(r"\1:***@", text)


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
                line[name] = mask(value) if isinstance(value, str) else value
        if record.exc_info:
            line["error"] = mask(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: mask(str(value)))


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every logger of this process to stderr as JSON; call once, at start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
