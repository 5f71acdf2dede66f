"""A directory as the place: the default for one machine. Each object is a file, written beside its name and then renamed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from objects.place import PlaceAway, checked_key

_CHUNK = 1 << 20
#: What is half written is named so; it is never taken for an object, and written over by the next try.
_PART = ".part"


class LocalPlace:
    """See :class:`objects.place.Place`. The directory is made for the first object, private to this user and its group."""

    name = "local"

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, file: Path, sha256: bytes) -> None:
        target = self.path(key)
        part = target.with_name(target.name + _PART)
        try:
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with file.open("rb") as source, part.open("wb") as copy:
                os.fchmod(copy.fileno(), 0o640)
                while chunk := source.read(_CHUNK):
                    copy.write(chunk)
                copy.flush()
                os.fsync(copy.fileno())
            if hash_of(part) != sha256:
                raise PlaceAway(f"{target}: the copy is not what was to be copied; look at the disk")
            part.replace(target)
            _sync(target.parent)
        except OSError as error:
            raise PlaceAway(f"{error.filename or target}: {error.strerror or error}") from error

    def remove(self, key: str) -> None:
        target = self.path(key)
        try:
            for path in (target, target.with_name(target.name + _PART)):
                path.unlink(missing_ok=True)
            if target.parent.is_dir():
                _sync(target.parent)
        except OSError as error:
            raise PlaceAway(f"{error.filename or target}: {error.strerror or error}") from error

    def path(self, key: str) -> Path:
        """Where the object of that key lies. Raises ``ValueError`` for a key that is none of ours."""
        return self._root / checked_key(key)


def hash_of(file: Path) -> bytes:
    """SHA-256 of all of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()


def _sync(directory: Path) -> None:
    """The rename itself is on the disk after this."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
