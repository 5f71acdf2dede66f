"""The machine beside the switch: who listens at a port, and what kind of file system a directory lies on. Linux."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import socket
import struct
from collections.abc import Iterable

from trunkline.doctor.finding import Finding, fail, ok, warn

_LISTEN = "0A"
_IN_MEMORY = ("tmpfs", "ramfs")
#: Bytes that should be free for playback: a few seconds of each of a thousand calls.
_ROOM = 64 << 20


def listeners(port: int, tables: Iterable[str]) -> set[str]:
    """Local addresses in LISTEN at that port. ``tables``: the texts of /proc/net/tcp and tcp6."""
    found = set()
    for table in tables:
        for line in table.splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, _, at = local.partition(":")
            if state == _LISTEN and int(at, 16) == port:
                found.add(_address(address))
    return found


def _address(text: str) -> str:
    """The kernel prints each 32-bit word of an address in the machine's own byte order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(struct.pack("=I", word) for word in words))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def socket_tables() -> list[str]:
    return [path.read_text() for path in map(pathlib.Path, ("/proc/net/tcp", "/proc/net/tcp6")) if path.exists()]


def file_system(directory: pathlib.Path, mounts: str) -> str:
    """The kind of file system ``directory`` lies on, or would. ``mounts``: the text of /proc/mounts."""
    whole = str(directory.resolve())
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, point, here, *_ = line.split()
        point = point.replace("\\040", " ")
        inside = point == "/" or whole == point or whole.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, kind = point, here
    return kind


def judge_playback(directory: str, kind: str, free: int) -> list[Finding]:
    """``free``: bytes free there."""
    about = "playback"
    if kind not in _IN_MEMORY:
        what = f"{directory} lies on {kind}: a slow disk is heard as a gap in the agent's voice"
        return [warn(about, what, "TRUNKLINE_RELAY_AUDIO_DIR: a directory on tmpfs, as /dev/shm")]
    if free < _ROOM:
        return [warn(about, f"{directory}: {free >> 20} MB are free", f"give that tmpfs {_ROOM >> 20} MB or more")]
    return [ok(about, f"{directory} lies on {kind}, {free >> 20} MB free")]


def playback(directory: str) -> list[Finding]:
    """Asks the machine. A directory that is not there yet is judged by the one it will be made in."""
    path = pathlib.Path(directory)
    there = next(one for one in (path, *path.parents) if one.exists())
    mounts = pathlib.Path("/proc/mounts")
    if not mounts.exists():
        return [warn("playback", "this is no Linux: it is not known what is in memory", "run the switch's host on Linux")]
    if not os.access(there, os.W_OK):
        return [fail("playback", f"{directory} cannot be written", f"chown {there} to who runs the relay")]
    space = os.statvfs(there)
    return judge_playback(directory, file_system(path, mounts.read_text()), space.f_bavail * space.f_frsize)


def is_here(address: str) -> bool:
    """Whether that address is this machine by loopback."""
    try:
        return ipaddress.ip_address(socket.gethostbyname(address)).is_loopback
    except (OSError, ValueError):
        return False
