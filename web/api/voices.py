"""Whether this system can speak an agent's texts: asked when the agent is made, not when somebody has answered."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from calls.script import speaks
from settings import Settings
from web.problems import FieldError

_ASK_S = 5.0
NO_SPEECH = (
    "this system cannot speak texts: espeak-ng is not installed beside the API; give audio, or let whoever operates it"
    " install espeak-ng here and on the switches' hosts (trunkline doctor tells)"
)


def voice_faults(args: Mapping[str, Any], settings: Settings) -> Iterator[FieldError]:
    """What of an agent's texts could not be spoken here."""
    voice = args.get("voice")
    said = ["/script"] if speaks(args.get("script"), args.get("menu")) else []
    said += [f"/{name}/text" for name in ("greeting", "fallback") if "text" in (args.get(name) or ())]
    if not said and voice is None:
        return
    known = languages(settings.tts_program)
    if known is None:
        for name in said or ["/voice"]:
            yield FieldError(name, "tts_not_set_up", NO_SPEECH)
    elif voice is not None and voice not in known:
        yield FieldError(
            "/voice", "unknown_voice", "is no language of espeak-ng's voices here; espeak-ng --voices lists them"
        )


def languages(program: str) -> frozenset[str] | None:
    """The languages of its voices; None: it is not there, or does not answer."""
    path = shutil.which(program)
    try:
        return None if path is None else _languages(path)
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def _languages(path: str) -> frozenset[str]:
    said = subprocess.run([path, "--voices"], capture_output=True, timeout=_ASK_S, check=True, text=True).stdout
    return frozenset(line.split()[1] for line in said.splitlines()[1:] if len(line.split()) > 1)
