"""Whether calls can be recorded here, and whether what was recorded arrives where it is kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

from calls.recording import attempt_of
from objects.place import PlaceAway, Places
from settings import Settings
from trunkline.doctor.finding import Finding, fail, ok, warn

ABOUT = "recordings"
#: s; a file that lies in the spool for longer than its call can have lasted, and this, does not get on.
WAITS_S = 900.0
#: A key that no recording has: to remove nothing shows that the place answers and would let us.
_NOTHING = "doctor/nothing.wav"


def recordings(settings: Settings) -> list[Finding]:
    """Asks the disk and the place; ``settings`` as the processes beside the switch have them."""
    if not settings.records:
        return [ok(ABOUT, "no call is recorded here (TRUNKLINE_RECORDING_SPOOL is not set)")]
    spool = Path(settings.recording_spool)
    found = _spool(spool, time.time() - settings.max_duration_s - WAITS_S) + _place(settings)
    return found or [ok(ABOUT, f"{spool} is shipped, and where they are kept answers")]


def _spool(spool: Path, before: float) -> list[Finding]:
    if not spool.is_dir() or not os.access(spool, os.W_OK | os.X_OK):
        what = f"{spool} is no directory that we can write in"
        return [fail(ABOUT, what, "make it, for the group of the switch and of 'python -m jobs recordings'")]
    found = []
    waiting = [file for file in spool.iterdir() if attempt_of(file.name) is not None and file.stat().st_mtime < before]
    if waiting:
        what = f"{len(waiting)} files lie in {spool} and are not shipped"
        found.append(warn(ABOUT, what, "start 'python -m jobs recordings' there; its log says what it waits for"))
    aside = spool / "refused"
    if aside.is_dir() and (count := sum(1 for _ in aside.iterdir())):
        found.append(warn(ABOUT, f"{count} files in {aside} came to nothing", "look at them, then move or remove them"))
    return found


def _place(settings: Settings) -> list[Finding]:
    try:
        places = Places(settings)
        places.for_new.remove(_NOTHING)
    except (PlaceAway, ValueError, LookupError) as error:
        return [fail(ABOUT, f"where they are kept: {error}", "see docs/recording.md, setting it up")]
    if places.s3 is None and not settings.recording_url_secret:
        what = "no address of a recording is given out"
        return [warn(ABOUT, what, "TRUNKLINE_RECORDING_URL_SECRET: 32 or more random characters, alike on every web host")]
    return []
