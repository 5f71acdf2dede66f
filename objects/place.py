"""What a place for objects can do, and which places this system has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from settings import Settings

#: A key is made by us alone: folders of letters, digits, - and _, then a file name.
_KEY = re.compile(r"(?:[A-Za-z0-9_-]{1,64}/){1,8}[A-Za-z0-9_-]{1,64}\.[a-z0-9]{1,8}")


class PlaceAway(Exception):
    """The place cannot be reached or refuses; nothing is lost, ask again later. The text says what is to be mended."""


class Place(Protocol):
    """One place. ``name`` is what a row remembers it by: local or s3."""

    @property
    def name(self) -> str: ...

    def put(self, key: str, file: Path, sha256: bytes) -> None:
        """Copy the file to ``key``, over what may be there, and see that it arrived whole. Raises :class:`PlaceAway`."""
        ...

    def remove(self, key: str) -> None:
        """Remove what is at ``key``, if anything is. Raises :class:`PlaceAway`."""
        ...


def checked_key(key: str) -> str:
    """``key``; raises ``ValueError`` when it is none of ours."""
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"key: {key!r} is not folders and a file name of A-Z a-z 0-9 _ -")
    return key


class Places:
    """Where new objects go, and where older ones may lie: a directory stays readable after the move to S3."""

    def __init__(self, settings: Settings) -> None:
        from objects.local import LocalPlace

        self.local = LocalPlace(Path(settings.recording_dir)) if settings.recording_dir else None
        self._all: dict[str, Place] = {} if self.local is None else {"local": self.local}
        self.s3 = None
        if settings.recording_s3_bucket:
            from objects.s3 import S3Place  # costs a third of a second and 20 MB; only who has a bucket pays

            self.s3 = S3Place(settings)
            self._all["s3"] = self.s3

    @property
    def names(self) -> list[str]:
        """The places there are."""
        return list(self._all)

    @property
    def for_new(self) -> Place:
        """Where new objects go. Raises ``LookupError`` when there is no place."""
        found = self.s3 or self.local
        if found is None:
            raise LookupError("recording_dir, recording_s3_bucket: recordings have no place: set one of the two")
        return found

    def __getitem__(self, name: str) -> Place:
        """The place of that name. Raises ``LookupError``."""
        if name not in self._all:
            raise LookupError(f"recordings in {name} cannot be reached: its settings are missing here")
        return self._all[name]
