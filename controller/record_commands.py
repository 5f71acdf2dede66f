"""The commands about recordings: one builder each. As in controller/commands.py, nothing else leads onto the wire.

The file's name is the attempt's id and its directory a setting, so nothing of the path comes from outside. ``mask`` and not
``pause``: a paused recording would be shorter than the call, a masked one is silent there and keeps its times.
"""

from __future__ import annotations

import posixpath
from uuid import UUID

from calls.recording import file_name
from controller.esl_wire import Command, CommandError, command, matcher, uuid

_directory = matcher(r"(/[A-Za-z0-9._-]+)+/?", "an absolute path of A-Z a-z 0-9 . _ - and /")
#: Of this recording alone, whatever is set on the channel. Two channels, the callee (what the switch reads) left; a short
#: one is kept too.
_VARIABLES = "{RECORD_STEREO=true,RECORD_MIN_SEC=0}"


def recording_path(attempt_id: UUID, *, under: str) -> str:
    """Where the switch writes the recording of this attempt: ``<under>/<attempt>.wav``. Raises CommandError."""
    directory = _directory("under", under).rstrip("/")
    if posixpath.normpath(directory) != directory:
        raise CommandError("under: give the plain path of a directory")
    uuid("attempt_id", attempt_id)
    return f"{directory}/{file_name(attempt_id)}"


def record_start(attempt_id: UUID, *, under: str) -> Command:
    """Begin to record. One that is under way goes on and is answered in the same way. Only on a channel with media."""
    # The number of words matters: with a limit and no variables some versions read past the end of the list.
    return command("record_start", f"{_line('start', attempt_id, under)} 0 {_VARIABLES}")


def record_mask(attempt_id: UUID, *, under: str) -> Command:
    """Silence on both sides from here on; again: nothing more. ``-ERR`` where nothing is recorded."""
    return command("record_mask", _line("mask", attempt_id, under))


def record_unmask(attempt_id: UUID, *, under: str) -> Command:
    """Both sides are to be heard again. ``-ERR`` where nothing is recorded."""
    return command("record_unmask", _line("unmask", attempt_id, under))


def record_stop(attempt_id: UUID, *, under: str) -> Command:
    """End the recording and close its file; the hangup does it too."""
    return command("record_stop", _line("stop", attempt_id, under))


def _line(verb: str, attempt_id: UUID, under: str) -> str:
    path = recording_path(attempt_id, under=under)
    return f"api uuid_record {uuid('attempt_id', attempt_id)} {verb} {path}"
