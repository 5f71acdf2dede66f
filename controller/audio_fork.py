"""The commands that open and close the audio fork to the relay."""

from __future__ import annotations

import re
from uuid import UUID

from controller.esl_wire import Command, CommandError, command, matcher, uuid

_bugname = matcher(r"[a-z][a-z0-9_]{0,31}", "a bug name: a-z, 0-9 and _, at most 32")


def fork_start(attempt_id: UUID, url: str, bugname: str, rate: int) -> str:
    """The only text of its kind: a start without a rate kills the switch's whole process."""
    channel = uuid("attempt_id", attempt_id)
    port = re.fullmatch(rf"ws://127\.0\.0\.1:([0-9]{{1,5}})/fork/{channel}", url) if isinstance(url, str) else None
    if port is None or not 1 <= int(port[1]) <= 65_535:
        raise CommandError("url: give ws://127.0.0.1:<port>/fork/<attempt>; audio leaves the switch on loopback only")
    if rate not in (8000, 16_000):
        raise CommandError("rate: give 8000 or 16000")
    return f"uuid_audio_fork {channel} start {url} mono {rate // 1000}k {_bugname('bugname', bugname)}"


def audio_fork_start(attempt_id: UUID, url: str, bugname: str = "trunkline", rate: int = 8000) -> Command:
    """Open the audio fork to the relay. Only on an answered channel: on one without SDP it kills the switch."""
    return command("audio_fork_start", f"api {fork_start(attempt_id, url, bugname, rate)}")


def audio_fork_stop(attempt_id: UUID, bugname: str = "trunkline") -> Command:
    """Close the audio fork; needed before it can be started again, also when its socket was lost."""
    name = _bugname("bugname", bugname)
    return command("audio_fork_stop", f"api uuid_audio_fork {uuid('attempt_id', attempt_id)} stop {name}")
