"""Words made into sound by espeak-ng, offline, while the phone still rings."""

from __future__ import annotations

import asyncio
from pathlib import Path

#: What is at work at once in one relay: each takes some ten milliseconds of a core.
AT_ONCE = 2
VOICE = "en"


class SpeechFailed(Exception):
    """The words could not be spoken; the text says why and what to do."""


async def speak(program: str, voice: str, words: str, path: Path, *, timeout_s: float) -> None:
    """Writes ``words`` as a WAVE file to ``path``, in a voice of espeak-ng's. Raises :class:`SpeechFailed`.

    The words go in by a pipe, so no option can come of them, and not as markup; ``[[`` would begin phonemes.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "-v",
            voice,
            "-w",
            str(path),
            "--stdin",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise SpeechFailed(f"{program} cannot be run ({error.strerror}): install espeak-ng on the relay's host") from error
    try:
        async with asyncio.timeout(timeout_s):
            _, said = await process.communicate(words.replace("[[", "[ [").encode())
    except TimeoutError:
        raise SpeechFailed(f"{program} took longer than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not path.exists():
        raise SpeechFailed(f"{program}: {said.decode(errors='replace').strip()[:200] or process.returncode}")
