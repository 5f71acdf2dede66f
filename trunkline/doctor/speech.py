"""Whether the texts of agents can be spoken beside this switch."""

from __future__ import annotations

import shutil

from trunkline.doctor.finding import Finding, fail, ok, warn

_REMEDY = "install espeak-ng on the hosts of relay and API (Debian: apt install espeak-ng), or set TRUNKLINE_TTS_PROGRAM"


def speech(program: str, speaking: int) -> list[Finding]:
    """``speaking``: agents in use that have texts. Asks the machine."""
    if shutil.which(program) is not None:
        return [ok("speech", f"{program} is there for the texts of agents")]
    if speaking:
        return [fail("speech", f"{program} is not there, and {speaking} agents have texts that cannot be spoken", _REMEDY)]
    return [warn("speech", f"{program} is not there: agents with texts are refused", _REMEDY)]
