"""How a recording's file and object are called, and which calls are recorded unasked. No name comes from outside. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

SUFFIX = ".wav"
_NAME = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})" + re.escape(SUFFIX))


def file_name(attempt_id: UUID) -> str:
    """What the switch calls the file: ``<attempt>.wav``."""
    return f"{attempt_id}{SUFFIX}"


def attempt_of(path: str) -> UUID | None:
    """The attempt whose recording a file is, by the last part of its path; None: it is none."""
    found = _NAME.fullmatch(path.rpartition("/")[2])
    return None if found is None else UUID(found[1])


def usual_start(recording: str, allowed: str) -> str | None:
    """From when on calls that do not say are recorded, answer or after_notice; None: they are not. The stricter of the
    account's habit (off, answer, after_notice) and what it is allowed (none, after_notice, any) holds.
    """
    if recording == "off" or allowed == "none":
        return None
    return allowed if allowed == "after_notice" else recording


def object_key(tenant_id: UUID, attempt_id: UUID, at: datetime) -> str:
    """Where it is kept: ``<tenant>/<year>/<month>/<day>/<attempt>.wav``, the day in UTC."""
    return f"{tenant_id}/{at.astimezone(UTC):%Y/%m/%d}/{file_name(attempt_id)}"
