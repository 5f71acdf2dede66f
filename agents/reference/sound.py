"""Sound made at run time: tones, and speech where espeak-ng is on the PATH.

Audio is L16: signed 16-bit little-endian samples, one channel, 8,000 a second or 16,000, as the call's ``start`` says.
"""

from __future__ import annotations

import asyncio
import logging
import math
import shutil
import struct
import subprocess
import sys
from array import array
from functools import lru_cache

log = logging.getLogger(__name__)

SAMPLE_RATE = 8000
SAMPLE_RATES = (SAMPLE_RATE, 16_000)

_SPEAK_S = 10.0  # s; espeak-ng needs well under one
_SPOKEN_MOST = 32
_spoken: dict[tuple[str, int], bytes] = {}  # by their words and rate, the oldest first


def bytes_in(ms: int, rate: int = SAMPLE_RATE) -> int:
    """Bytes of so much sound."""
    return 2 * (rate * ms // 1000)


def to_bytes(samples: array[int]) -> bytes:
    """Samples as L16."""
    if sys.byteorder == "big":
        samples = array("h", samples)
        samples.byteswap()
    return samples.tobytes()


def from_bytes(pcm: bytes) -> array[int]:
    """L16 as samples; an odd last byte is left out."""
    samples = array("h")
    samples.frombytes(pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


@lru_cache(maxsize=64)
def tone(hz: float, ms: int, *, peak: int = 9000, rate: int = SAMPLE_RATE) -> bytes:
    """A sine of ``hz`` lasting ``ms``, with 5 ms of fade at each end so that it does not click."""
    count = rate * ms // 1000
    fade = max(1, min(rate // 200, count // 2))
    turn = 2 * math.pi * hz / rate
    return to_bytes(
        array("h", (int(peak * min(1.0, (i + 1) / fade, (count - i) / fade) * math.sin(turn * i)) for i in range(count)))
    )


@lru_cache(maxsize=2)
def chime(rate: int = SAMPLE_RATE) -> bytes:
    """A greeting for a machine without a voice: three rising notes, 0.9 s."""
    return b"".join(tone(hz, 300, rate=rate) for hz in (440.0, 554.4, 659.3))


def rms(pcm: bytes) -> float:
    """Root mean square of the samples; 0 for silence, about 3,000 for loud speech."""
    samples = from_bytes(pcm)
    return math.sqrt(sum(map(int.__mul__, samples, samples)) / len(samples)) if samples else 0.0


def resample(samples: array[int], rate: int, to: int = SAMPLE_RATE) -> array[int]:
    """``samples`` of ``rate`` per second as ``to`` a second: each new one is the mean of those it stands for."""
    step = rate / to
    out = array("h")
    for i in range(int(len(samples) / step)):
        left = int(i * step)
        part = samples[left : max(left + 1, int((i + 1) * step))]
        out.append(sum(part) // len(part))
    return out


def speech_in(wave: bytes, to: int = SAMPLE_RATE) -> bytes:
    """The speech in a RIFF/WAVE of 16-bit mono, as L16 of ``to`` samples a second. Raises ``ValueError`` for anything else.

    The lengths in the head are not trusted: a program that writes to a pipe cannot know them.
    """
    if wave[:4] != b"RIFF" or wave[8:12] != b"WAVE":
        raise ValueError("no RIFF/WAVE")
    at, rate = 12, 0  # of the wave
    while at + 8 <= len(wave):
        name, size = wave[at : at + 4], struct.unpack_from("<I", wave, at + 4)[0]
        at += 8
        if name == b"fmt ":
            if at + 16 > len(wave):
                break
            kind, channels, rate, bits = struct.unpack_from("<HHI6xH", wave, at)
            if (kind, channels, bits) != (1, 1, 16) or rate < SAMPLE_RATE:
                raise ValueError(f"not 16-bit mono PCM of at least {SAMPLE_RATE} Hz")
        elif name == b"data":
            if not rate:
                break
            return to_bytes(resample(from_bytes(wave[at : at + size]), rate, to))
        at += size + size % 2
    raise ValueError("no format or no data")


def speak_ahead(text: str) -> None:
    """:func:`speak` at each rate, for a process that others are divided from: what it has spoken they need not speak."""
    program = shutil.which("espeak-ng")
    if program is None or all((text, rate) in _spoken for rate in SAMPLE_RATES):
        return
    command = [program, "--stdin", "--stdout"]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_SPEAK_S, check=False)
        _spoken.update({(text, rate): speech_in(done.stdout, rate) for rate in SAMPLE_RATES})
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        log.warning("espeak-ng: %s", error)


async def speak(text: str, rate: int = SAMPLE_RATE) -> bytes | None:
    """``text`` as speech, or None where there is no espeak-ng or it fails. The same words are spoken once at each rate.

    A process and its resampling for every call would be most of what a busy laboratory computes.
    """
    if (text, rate) in _spoken:
        return _spoken[text, rate]
    program = shutil.which("espeak-ng")
    if program is None:
        return None
    process = await asyncio.create_subprocess_exec(
        program, "--stdin", "--stdout",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_SPEAK_S):
            wave, _ = await process.communicate(text.encode())
        speech = speech_in(wave, rate)
    except (TimeoutError, ValueError) as error:
        log.warning("espeak-ng: %s; tones instead", error)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if len(_spoken) >= _SPOKEN_MOST:
        _spoken.pop(next(iter(_spoken)))
    _spoken[text, rate] = speech
    return speech
