"""The directory of gateways beside a switch: what is written there, with which rights, and what is not ours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from controller.gateway_xml import MARK, File


class GatewayFiles:
    """One directory, which the switch's configuration includes. Errors of every method: ``OSError``."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def write(self, files: Sequence[File]) -> bool:
        """Make each of these be there with this content and these rights; whether anything had to be written."""
        return sum(self._write(file) for file in files) > 0

    def _write(self, file: File) -> bool:
        path = self._directory / file.name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if _content(path) == file.text and path.stat().st_mode & 0o777 == file.mode:
            return False
        # Never half a file, and never a moment in which a password may be read: rights first, then content, then the name.
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            os.fchmod(stream.fileno(), file.mode)
            stream.write(file.text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
        return True

    def remove(self, gateway: str) -> None:
        """The gateway's file, if it is there and ours."""
        path = self._directory / f"{gateway}.xml"
        if _ours(path):
            path.unlink(missing_ok=True)

    def keep(self, gateways: frozenset[str]) -> None:
        """Remove every file of ours that is of none of these."""
        for path in self._directory.glob("*.xml"):
            if path.stem not in gateways and _ours(path):
                path.unlink(missing_ok=True)


def _content(path: Path) -> str | None:
    try:
        return path.read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _ours(path: Path) -> bool:
    text = _content(path)
    return text is not None and text.startswith(MARK)
