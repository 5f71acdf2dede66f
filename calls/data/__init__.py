"""The rules' data: our own compilation, each entry with the kind of its source and the date on which it was looked at.

What is decided is decided under a version of them: :func:`ruleset`, kept with every decision.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

DOCUMENTS = ("risks", "hours", "consent")
#: Goes up when the code of a rule decides otherwise on the same data.
CODE = 1


@lru_cache(maxsize=len(DOCUMENTS))
def document(name: str) -> dict[str, Any]:
    """The parsed file of that name."""
    return tomllib.loads(_text(name))


@lru_cache(maxsize=1)
def ruleset() -> str:
    """``<code>.<date of the newest data>.<digest of all data>``."""
    digest = hashlib.sha256("".join(map(_text, DOCUMENTS)).encode()).hexdigest()[:8]
    return f"{CODE}.{max(document(name)['version'] for name in DOCUMENTS)}.{digest}"


def _text(name: str) -> str:
    return (files("calls.data") / f"{name}.toml").read_text("utf-8")
