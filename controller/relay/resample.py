"""Between 8,000 and 16,000 samples a second, one stream at a time: the telephone's rate, and what an agent may ask for.

A half-band filter of 39 taps: whole up to 3.4 kHz, at least 48 dB down from 4.6 kHz on, 1.25 ms late. Why it is ours: the
switch reads a pipe at the telephone's rate alone; soxr, which knows streams, gives its sound 12 to 41 ms late and in pieces
of 60 to 110 ms.
"""

from __future__ import annotations

import math
import sys
import warnings
from array import array

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the standard library up to 3.12, then audioop-lts
    import audioop

#: Pairs of taps beside the middle one; of the window, for 48 dB.
_PAIRS, _BETA = 10, 4.8
#: Samples are worked upon as 32 bits, of which these are spared for sums.
_SPARE = 4


def _taps() -> list[float]:
    """Of the odd distances 1, 3, 5 ... from the middle; those of the even ones are nought. With their mirrors: 1/2."""
    reach = 2 * _PAIRS
    found = []
    for k in range(_PAIRS):
        at = 2 * k + 1
        window = _bessel(_BETA * math.sqrt(1 - (at / reach) ** 2)) / _bessel(_BETA)
        found.append(math.sin(math.pi * at / 2) / (math.pi * at) * window)
    share = 0.25 / sum(found)
    return [tap * share for tap in found]


def _bessel(x: float) -> float:
    """The modified Bessel function of the first kind, of order 0."""
    return sum((x / 2) ** (2 * n) / math.factorial(n) ** 2 for n in range(25))


_TAPS = _taps()


def _between(samples: bytes, count: int) -> bytes:
    """What lies half a sample behind each of ``count`` samples, from place _PAIRS - 1 on; 32 bits, with _SPARE."""
    total = bytes(4 * count)
    for k, tap in enumerate(_TAPS):
        for at in (_PAIRS - 1 - k, _PAIRS + k):
            total = audioop.add(total, audioop.mul(samples[4 * at : 4 * (at + count)], 4, 2 * tap), 4)
    return total


def _wide(samples: bytes) -> bytes:
    """16 bits as 32, with _SPARE."""
    return audioop.mul(audioop.lin2lin(samples, 2, 4), 4, 2.0**-_SPARE)


def _narrow(samples: bytes) -> bytes:
    """32 bits as 16; too loud is as loud as can be."""
    return audioop.lin2lin(audioop.mul(samples, 4, 2.0**_SPARE), 4, 2)


def _native(pcm: bytes) -> array[int]:
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _little(samples: array[int]) -> bytes:
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


class Doubler:
    """8,000 samples a second as 16,000."""

    def __init__(self) -> None:
        self._before = bytes(4 * (2 * _PAIRS - 1))

    def feed(self, pcm: bytes) -> bytes:
        """L16, whole samples; gives twice as many."""
        count = len(pcm) // 2
        samples = self._before + _wide(_native(pcm).tobytes())
        self._before = samples[4 * count :]
        made = array("h", bytes(4 * count))
        made[0::2] = array("h", _narrow(samples[4 * (_PAIRS - 1) : 4 * (_PAIRS - 1 + count)]))
        made[1::2] = array("h", _narrow(_between(samples, count)))
        return _little(made)


class Halver:
    """16,000 samples a second as 8,000."""

    def __init__(self) -> None:
        self._left = b""  # half a pair
        self._even = bytes(4 * (2 * _PAIRS - 1))
        self._odd = bytes(4 * _PAIRS)

    def size(self, given: int) -> int:
        """Bytes that :meth:`feed` would make of so many."""
        return (len(self._left) + given) // 4 * 2

    def feed(self, pcm: bytes) -> bytes:
        """L16, whole samples; gives half as many, of an odd number the last one with what comes next."""
        pcm = self._left + pcm
        count = len(pcm) // 4
        pcm, self._left = pcm[: 4 * count], pcm[4 * count :]
        samples = _native(pcm)
        even = self._even + _wide(samples[0::2].tobytes())
        odd = self._odd + _wide(samples[1::2].tobytes())
        self._even, self._odd = even[4 * count :], odd[4 * count :]
        sides = audioop.mul(_between(even, count), 4, 0.5)
        middle = audioop.mul(odd[: 4 * count], 4, 0.5)
        return _little(array("h", _narrow(audioop.add(sides, middle, 4))))
