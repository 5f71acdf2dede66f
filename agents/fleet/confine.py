"""What keeps the agent's code from the keeper's secrets: the keeper's memory and environment are nobody's to read but its
own, and whoever runs the agent's code has no right to look all the same.

Linux lets processes of one user read each other's memory, environment and files, unless the one that is read is marked
(``PR_SET_DUMPABLE``); whoever has ``CAP_SYS_PTRACE``, as root has, may read those as well.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import socket
import struct
import sys

_SET_DUMPABLE, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _CLEAR_ALL = 4, 38, 47, 4
#: capset(2): the version whose sets are of 64 bits, in two halves.
_CAPABILITIES = 0x20080522
#: struct ucred: process, user, group.
_CREDENTIALS = struct.Struct("3i")


def keep_to_itself() -> None:
    """Nobody reads this process's memory or environment, or traces it, without CAP_SYS_PTRACE; it leaves no core dump. Not
    inherited by programs that it starts. Raises ``OSError`` where the system cannot do it.
    """
    _prctl(_SET_DUMPABLE, 0)


def give_up(user: str = "") -> None:
    """Before the agent's code is loaded: be ``user`` from now on (only root can; "": who we are), on Linux with no
    capability of root's, and with none to be had from any program that is started.

    Raises ``OSError``, also ``PermissionError``, and ``ValueError`` for a user that there is not.
    """
    if user and os.geteuid() != uid_of(user):
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
    if sys.platform != "linux":
        return
    _prctl(_SET_NO_NEW_PRIVS, 1)  # with it a program that is started has no capability that we have not, not even root's
    if os.geteuid() == 0:
        _prctl(_CAP_AMBIENT, _CLEAR_ALL)
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
        _check(_libc().capset(header, (ctypes.c_uint32 * 6)()))


def peer_of(writer: asyncio.StreamWriter) -> int:
    """The process at the other end of a Unix socket, as the kernel knows it: who speaks there may say it is another, which
    is then killed. 0 where the system does not tell.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    told = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[0])


def uid_of(user: str) -> int:
    """Raises ``ValueError`` when there is no such user."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"--user {user}: there is no such user here") from None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    libc = _libc()
    if not hasattr(libc, "prctl"):
        raise OSError("there is no prctl on this system")
    zero = ctypes.c_ulong(0)
    _check(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
