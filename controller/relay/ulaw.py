"""G.711 mu-law, the audio of telephone networks in North America and Japan: one byte a sample, 8,000 a second."""

from __future__ import annotations

import sys
from array import array
from functools import lru_cache

_BIAS, _CLIP = 132, 32_635


def decode(ulaw: bytes) -> bytes:
    """As L16: two bytes a sample, little-endian."""
    low, high = _decoded()
    pcm = bytearray(2 * len(ulaw))
    pcm[0::2] = ulaw.translate(low)
    pcm[1::2] = ulaw.translate(high)
    return bytes(pcm)


def encode(pcm: bytes) -> bytes:
    """L16, whole samples, as mu-law."""
    samples = array("H", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return bytes(map(_encoded().__getitem__, samples))


def _sample(code: int) -> int:
    """The value of a code: sign, 3 bits of exponent, 4 of mantissa, all inverted."""
    code = ~code & 0xFF
    size = (((code & 0x0F) << 3) + _BIAS << (code >> 4 & 0x07)) - _BIAS
    return -size if code & 0x80 else size


@lru_cache(maxsize=1)
def _decoded() -> tuple[bytes, bytes]:
    """Of each of the 256 codes the sample's low byte, and its high one."""
    samples = [_sample(code) & 0xFFFF for code in range(256)]
    return bytes(sample & 0xFF for sample in samples), bytes(sample >> 8 for sample in samples)


@lru_cache(maxsize=1)
def _encoded() -> bytes:
    """The code of each of the 65,536 samples, by its unsigned value."""
    codes = bytearray(65_536)
    for sample in range(-32_768, 32_768):
        size = min(abs(sample), _CLIP) + _BIAS
        exponent = size.bit_length() - 8
        sign = 0x80 if sample < 0 else 0
        codes[sample & 0xFFFF] = ~(sign | exponent << 4 | size >> exponent + 3 & 0x0F) & 0xFF
    return bytes(codes)
