"""The chain of the audit ledger: what an entry's hash is made of, and whether a run of entries holds. Pure.

``hash = SHA-256(previous || canonical)``; ``previous`` is the hash of the entry before, 32 zero bytes for the first.
``canonical`` is UTF-8 JSON without spaces, names sorted, of ``place``, ``id``, ``at`` (RFC 3339, UTC, microseconds),
``actor``, ``action``, ``subject``, ``data`` and ``personal`` (hex, or null): HMAC-SHA256 of the canonical personal data
under a salt that is kept, and erased, with it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

#: The hash before the first entry.
GENESIS = bytes(32)
_EXACT = (1 << 53) - 1
_NUMBER = re.compile(r"[+][0-9]{6,}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. ``personal_hash`` None: nothing of it is personal. ``place`` and what follows None: not sealed yet."""

    id: UUID
    at: datetime
    actor: str
    action: str
    subject: str
    data: Mapping[str, Any]
    personal_id: UUID | None = None
    personal_hash: bytes | None = None
    place: int | None = None
    previous: bytes | None = None
    hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the chain does not hold, and how."""

    place: int
    what: str


def canonical(value: Any) -> bytes:
    """The one form in which this value is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def plain(value: Any, where: str = "data") -> Any:
    """``value`` as JSON types that read back the same everywhere: times and ids as text, no fractions.

    Errors: ``ValueError`` that names the place of what can be none of these.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [plain(item, f"{where}[{n}]") for n, item in enumerate(items)]
    raise ValueError(f"{where}: {type(value).__name__} has no place in the ledger: give text, whole numbers, lists, objects")


def apart(subject: str, data: Any, numbers: Sequence[str] = ()) -> tuple[str, Any, list[str]]:
    """``subject`` and ``data`` (as :func:`plain` gives it) with ``[number 1]`` where a telephone number stood, and the
    numbers in that order behind those that are given: what is hashed names nobody, whoever wrote it.
    """
    found = list(numbers)

    def placed(match: re.Match[str]) -> str:
        if match[0] not in found:
            found.append(match[0])
        return f"[number {found.index(match[0]) + 1}]"

    def without(value: Any) -> Any:
        if isinstance(value, str):
            return _NUMBER.sub(placed, value) if "+" in value else value
        if isinstance(value, dict):
            return {without(name): without(item) for name, item in value.items()}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(subject), without(data), found


def stamp(at: datetime) -> str:
    """RFC 3339 in UTC, always with six digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def hash_personal(salt: bytes, personal: Mapping[str, Any]) -> bytes:
    """What the chain holds of personal data; without the salt nothing can be guessed from it."""
    return hmac.new(salt, canonical(plain(personal, "personal")), hashlib.sha256).digest()


def hash_entry(entry: Entry, place: int, previous: bytes) -> bytes:
    """The entry's hash at that place behind that hash."""
    return hashlib.sha256(previous + canonical(shown(entry, place))).digest()


def shown(entry: Entry, place: int) -> dict[str, Any]:
    """All of the entry that is hashed."""
    return {
        "place": place,
        "id": str(entry.id),
        "at": stamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "data": entry.data,
        "personal": None if entry.personal_hash is None else entry.personal_hash.hex(),
    }


def seal(entries: Iterable[Entry], place: int, previous: bytes) -> Iterator[tuple[UUID, int, bytes, bytes]]:
    """Place, previous and own hash of each of ``entries``, in this order, behind the entry at ``place``."""
    for entry in entries:
        place += 1
        own = hash_entry(entry, place, previous)
        yield entry.id, place, previous, own
        previous = own


def faults(entries: Iterable[Entry], place: int = 0, previous: bytes = GENESIS) -> Iterator[Fault]:
    """What does not hold in a run of sealed entries that follow the one at ``place``, whose hash is ``previous``.

    After a fault it goes on from what the row says, so that one changed entry is one fault and not all that follow.
    """
    for entry in entries:
        assert entry.place is not None, "only sealed entries have a place"
        place += 1
        if entry.place != place:
            yield Fault(place, f"entries {place} to {entry.place - 1} are missing")
            place = entry.place
        elif entry.previous != previous:
            yield Fault(place, "it does not follow the entry before it")
        if entry.hash != hash_entry(entry, place, bytes(entry.previous or b"")):
            yield Fault(place, "it is not what was sealed")
        previous = bytes(entry.hash or b"")
