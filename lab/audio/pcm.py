"""Tones, speech-like bursts and G.711, as little-endian 16-bit mono PCM; and the measure that finds a tone again."""

from __future__ import annotations

import array
import functools
import math
import random
import re
import struct
import sys
import time
import wave
from pathlib import Path

FRAME_S = 0.02
_STAMP, _MAGIC = struct.Struct("<IIQ"), 0x5354414D
_TONE = re.compile(r"%\((\d+),\s*(\d+),\s*([\d.,\s]+)\)")


def pack(samples: list[int]) -> bytes:
    data = array.array("h", samples)
    if sys.byteorder == "big":
        data.byteswap()
    return data.tobytes()


def unpack(pcm: bytes) -> array.array[int]:
    """PCM16LE bytes -> samples (an odd last byte is dropped)."""
    data = array.array("h")
    data.frombytes(pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        data.byteswap()
    return data


@functools.lru_cache(maxsize=256)
def tone(hz: float, seconds: float, rate: int = 8000, level: float = 0.3) -> bytes:
    """A sine of `hz` for `seconds`; `level` is the share of full scale."""
    step = 2 * math.pi * hz / rate
    peak = level * 32767
    return pack([int(peak * math.sin(step * n)) for n in range(round(seconds * rate))])


@functools.lru_cache(maxsize=64)
def silence(seconds: float, rate: int = 8000) -> bytes:
    return bytes(2 * round(seconds * rate))


@functools.lru_cache(maxsize=8)
def bursts(rate: int = 8000, seconds: float = 4.0, seed: int = 7) -> bytes:
    """Speech-like: 1.2 s of syllables (a wavering pitch with harmonics), then a pause, over and over."""
    rng = random.Random(seed)
    samples: list[int] = []
    phase = 0.0
    for n in range(round(seconds * rate)):
        t = n / rate
        talking = (t % 2.0) < 1.2
        syllable = max(0.0, math.sin(math.pi * ((t % 0.2) / 0.2)))
        phase += 2 * math.pi * (140 + 30 * math.sin(2 * math.pi * 1.3 * t)) / rate
        voice = 0.6 * math.sin(phase) + 0.3 * math.sin(2 * phase) + 0.2 * math.sin(5 * phase)
        samples.append(int(9000 * syllable * (voice + 0.05 * rng.uniform(-1, 1))) if talking else 0)
    return pack(samples)


@functools.lru_cache(maxsize=8)
def noise(seconds: float, seed: int = 1, rate: int = 8000) -> bytes:
    """Every 20 ms of it unlike any other, so that what arrived can be told exactly; G.711 leaves it as it is."""
    rng = random.Random(seed)
    return from_ulaw(rng.randbytes(round(seconds * rate)))


def stamped(number: int) -> bytes:
    """20 ms at 8 kHz that say which frame they are and when they were made (CLOCK_MONOTONIC, one for all processes)."""
    return _STAMP.pack(_MAGIC, number & 0xFFFFFFFF, time.monotonic_ns()).ljust(320, b"\x01")


def stamp_of(frame: bytes) -> tuple[int, int] | None:
    """(number, ns) of such a frame; None: it is none."""
    if len(frame) != 320:
        return None
    magic, number, at = _STAMP.unpack_from(frame)
    return (number, at) if magic == _MAGIC else None


def frames(pcm: bytes, rate: int = 8000) -> list[bytes]:
    """Cut into 20 ms frames; the last one is padded with silence."""
    size = int(rate * FRAME_S) * 2
    return [pcm[at : at + size].ljust(size, b"\0") for at in range(0, len(pcm), size)]


@functools.lru_cache(maxsize=32)
def looped_frames(speech: str, rate: int = 8000) -> tuple[bytes, ...]:
    """The endless callee of that kind of speech, as the frames of one period."""
    kind, _, value = speech.partition(":")
    if kind == "tone":
        return tuple(frames(tone(float(value), 1.0, rate), rate))  # whole Hz repeat exactly every second
    if kind == "beeps":  # 2 s of silence, 1 s of tone, 2 s of silence
        gap = silence(2.0, rate)
        return tuple(frames(gap + tone(float(value), 1.0, rate) + gap, rate))
    if kind == "machine":  # bursts last 4 s
        said = bursts(rate) + tone(1000.0, 0.6, rate)
        return tuple(frames(said + silence(60.0 - len(said) / 2 / rate, rate), rate))
    if kind == "noise":  # seeded by the value, 20 s without a repetition
        return tuple(frames(noise(20.0, int(value), rate), rate))
    if kind == "bursts":
        return tuple(frames(bursts(rate), rate))
    return (silence(FRAME_S, rate),)


def tone_stream(spec: str, rate: int = 8000) -> bytes:
    """`%(on_ms,off_ms,hz[,hz])...` of FreeSWITCH's tone_stream:// (no L=, v= options)."""
    out = bytearray()
    for on_ms, off_ms, freqs in _TONE.findall(spec):
        parts = [float(item) for item in freqs.split(",") if item.strip()]
        waves = [unpack(tone(hz, int(on_ms) / 1000, rate, 0.3 / len(parts))) for hz in parts]
        out += pack([sum(values) for values in zip(*waves, strict=True)])
        out += silence(int(off_ms) / 1000, rate)
    return bytes(out)


def resample(pcm: bytes, source: int, target: int) -> bytes:
    """Linear interpolation: enough for tones and for a laboratory's ear."""
    if source == target:
        return pcm
    samples = unpack(pcm)
    count = len(samples) * target // source
    out = []
    for n in range(count):
        position = n * source / target
        index = int(position)
        follower = samples[index + 1] if index + 1 < len(samples) else samples[index]
        out.append(int(samples[index] + (follower - samples[index]) * (position - index)))
    return pack(out)


def read_sound(path: str, rate: int = 8000) -> bytes:
    """A .wav (PCM16, mono or stereo), or raw PCM16 named .r8, .r16 or .raw, at `rate`.

    Raises OSError when it cannot be read, ValueError when it is not such a sound.
    """
    suffix = Path(path).suffix
    raw_rates = {".r8": 8000, ".r16": 16000, ".r24": 24000, ".raw": 8000}
    if suffix in raw_rates:
        return resample(Path(path).read_bytes(), raw_rates[suffix], rate)
    try:
        with wave.open(path, "rb") as sound:
            if sound.getsampwidth() != 2:
                raise ValueError(f"{path}: expected 16-bit PCM")
            data, channels, source = sound.readframes(sound.getnframes()), sound.getnchannels(), sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: {error}") from None
    if channels == 2:
        samples = unpack(data)
        data = samples[::2].tobytes()
    return resample(data, source, rate)


def write_wav(path: str, pcm: bytes, rate: int = 8000, channels: int = 1) -> None:
    with wave.open(path, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(pcm)


def goertzel(pcm: bytes, hz: float, rate: int = 8000) -> float:
    """The share of the signal's power at `hz`, 0..1: about 1 for a pure tone there, about 0 elsewhere."""
    samples = unpack(pcm)
    if not samples:
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * hz / rate)
    one = two = energy = 0.0
    for sample in samples:
        one, two = sample + coefficient * one - two, one
        energy += sample * sample
    if energy == 0:
        return 0.0
    power = one * one + two * two - coefficient * one * two
    return min(1.0, 2 * power / (len(samples) * energy))


@functools.lru_cache(maxsize=1)
def _ulaw_tables() -> tuple[bytes, array.array[int]]:
    decode = array.array("h")
    for code in range(256):
        inverted = ~code & 0xFF
        magnitude = ((((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)) - 0x84
        decode.append(-magnitude if inverted & 0x80 else magnitude)
    encode = bytearray(65536)
    for value in range(-32768, 32768):
        sign = 0x80 if value < 0 else 0
        magnitude = min(abs(value), 32635) + 0x84
        exponent = max(0, magnitude.bit_length() - 8)
        encode[value & 0xFFFF] = ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)) & 0xFF
    return bytes(encode), decode


def to_ulaw(pcm: bytes) -> bytes:
    encode = _ulaw_tables()[0]
    return bytes(encode[sample & 0xFFFF] for sample in unpack(pcm))


def from_ulaw(data: bytes) -> bytes:
    decode = _ulaw_tables()[1]
    return pack([decode[code] for code in data])
