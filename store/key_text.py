"""Keys as text: ``tl_<prefix>_<secret>``, of a test key ``tl_test_...``, of the operator ``tlo_...``.

The prefix finds the row, only SHA-256 of the secret is kept. The secret has 256 bits of entropy, so a slow hash would
protect nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from calls.access import Network

Kind = Literal["live", "test", "operator"]
#: Raises where a key of these networks (None: of any) may not be used from.
Admit: TypeAlias = Callable[[list[Network] | None], None]

PREFIX_CHARACTERS = 12
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORDS: dict[Kind, str] = {"live": "tl", "test": "tl_test", "operator": "tlo"}
_KINDS: dict[str, Kind] = {word: kind for kind, word in _WORDS.items()}
_KEY = re.compile(r"(tl|tl_test|tlo)_([a-z0-9]{8,16})_([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Given:
    """A key as somebody sent it."""

    kind: Kind
    prefix: str
    secret_hash: bytes = field(repr=False)


def read(text: str) -> Given | None:
    """The key that ``text`` is; None when it cannot be one."""
    match = _KEY.fullmatch(text)
    return Given(_KINDS[match[1]], match[2], hashlib.sha256(match[3].encode()).digest()) if match else None


def invent(kind: Kind) -> tuple[Given, str]:
    """A new key, and its text, which cannot be had again."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_CHARACTERS))
    text = f"{_WORDS[kind]}_{prefix}_{secrets.token_hex(32)}"
    given = read(text)
    assert given is not None
    return given, text


def shown(kind: Kind, prefix: str) -> str:
    """What may be shown of a key: ``tl_<prefix>``."""
    return f"{_WORDS[kind]}_{prefix}"


def prefix_of(text: str) -> str:
    """The prefix of a key, of what is shown of it, or of its prefix itself."""
    given = read(text)
    if given is not None:
        return given.prefix
    for word in sorted(_WORDS.values(), key=len, reverse=True):
        if text.startswith(f"{word}_"):
            return text.removeprefix(f"{word}_").split("_", 1)[0]
    return text.split("_", 1)[0]


def anywhere(_networks: list[Network] | None) -> None:
    """For who asks of the key alone: it may be used from anywhere."""
