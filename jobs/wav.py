"""What a WAV file is, and the mending of one whose writer was killed: its header says less than there is.

Source: the RIFF WAVE format, and what libsndfile writes: sizes are put into the header when the file is closed.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_HEAD = struct.Struct("<4sI4s")
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
#: Bytes of header at most; a file without its data by then is none.
_HEADER_MAX = 4096


class NoWav(ValueError):
    """It is not the WAV file of a recording; the text says where it ends to be one."""


@dataclass(frozen=True, slots=True)
class Wav:
    """``frames`` samples of each channel. ``mended``: the header was put right."""

    channels: int
    sample_rate: int
    frames: int
    mended: bool

    @property
    def duration_ms(self) -> int:
        return self.frames * 1000 // self.sample_rate


def examine(path: Path) -> Wav:
    """What the file is. One that was never closed is mended in place. Raises :class:`NoWav`, ``OSError``."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        channels, rate, block, at, declared = _header(file)
        there = size - at
        length, mended = declared, False
        if declared > there or not _ends_well(file, at + declared + declared % 2, size) or (declared == 0 and there):
            length, mended = there - there % block, True
            if size - 8 >= 1 << 32:
                raise NoWav("it is longer than a WAV file can be")
            file.seek(4)
            file.write(struct.pack("<I", at + length - 8))
            file.seek(at - 4)
            file.write(struct.pack("<I", length))
            file.truncate(at + length)
            file.flush()
            os.fsync(file.fileno())
        return Wav(channels, rate, length // block, mended)


def _header(file: BinaryIO) -> tuple[int, int, int, int, int]:
    """(channels, samples/s, bytes of one sample of all channels, where the data begin, their declared length)."""
    riff, _, wave = _unpack(_HEAD, file)
    if (riff, wave) != (b"RIFF", b"WAVE"):
        raise NoWav("it does not begin as a WAV file")
    known: tuple[int, int, int] | None = None
    while file.tell() < _HEADER_MAX:
        name, length = _unpack(_CHUNK, file)
        begin = file.tell()
        if name == b"data":
            if known is None:
                raise NoWav("its data come before their format")
            return (*known, begin, length)
        if name == b"fmt ":
            _, channels, rate, _, block, _ = _unpack(_FORMAT, file)
            if not (channels and rate and block):
                raise NoWav("its format is empty")
            known = channels, rate, block
        file.seek(begin + length + length % 2)
    raise NoWav("it has no data")


def _ends_well(file: BinaryIO, at: int, size: int) -> bool:
    """Whether behind the data are whole chunks, or nothing."""
    while at < size:
        file.seek(at)
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size or not head[:4].isalnum():
            return False
        length = _CHUNK.unpack(head)[1]
        at += _CHUNK.size + length + length % 2
    return at == size


def _unpack(form: struct.Struct, file: BinaryIO) -> tuple[Any, ...]:
    data = file.read(form.size)
    if len(data) < form.size:
        raise NoWav("it ends in its header")
    return form.unpack(data)
