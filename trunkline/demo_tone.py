"""The demo's announcement: three rising tones, made at run time."""

from __future__ import annotations

import array
import math
import pathlib
import sys
import wave

RATE = 8000
#: Hz and s, as the special information tone before a spoken announcement.
TONES = ((950.0, 0.33), (1400.0, 0.33), (1800.0, 0.33))
PAUSE_S = 0.5


def write_announcement(path: pathlib.Path, repeats: int = 3) -> None:
    """A mono 16-bit wav at 8000 Hz."""
    samples = array.array("h")
    for _ in range(repeats):
        for frequency, seconds in TONES:
            count = int(RATE * seconds)
            samples.extend(int(9000 * math.sin(2 * math.pi * frequency * n / RATE)) for n in range(count))
        samples.extend([0] * int(RATE * PAUSE_S))
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
