"""Redis replies as the types we know them to be; redis-py's own annotations cover every decoding mode at once."""

from __future__ import annotations

from typing import Any


def text(reply: Any) -> str:
    """A bulk string."""
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def texts(reply: Any) -> list[str]:
    """A list or set of bulk strings."""
    return [text(item) for item in reply]


def number(reply: Any) -> int | None:
    """An integer kept as a string, or None where the key is missing."""
    return None if reply is None else int(reply)
