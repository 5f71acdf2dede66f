"""Redis replies as the types we know them to be; redis-py's own annotations cover every decoding mode at once."""

from __future__ import annotations

from typing import Any
from uuid import UUID


def text(reply: Any) -> str:
    """A bulk string. Bytes that are no UTF-8 (somebody else's) are replaced: such a name is none of ours."""
    return reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)


def texts(reply: Any) -> list[str]:
    """A list or set of bulk strings."""
    return [text(item) for item in reply]


def number(reply: Any) -> int | None:
    """An integer kept as a string, or None where the key is missing or holds none."""
    try:
        return None if reply is None else int(reply)
    except ValueError:
        return None


def attempt(reply: Any) -> UUID | None:
    """An attempt's id exactly as ``str(UUID)`` writes it, or None."""
    try:
        found = UUID(text(reply))
    except ValueError:
        return None
    return found if str(found) == text(reply) else None
