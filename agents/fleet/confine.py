"""What keeps the agent's code from the keeper's secrets: the keeper's memory and environment are nobody's to read but its
own, and whoever runs the agent's code has no right to look all the same.

Linux lets processes of one user read each other's memory, environment and files, unless the one that is read is marked
(``PR_SET_DUMPABLE``); whoever has ``CAP_SYS_PTRACE``, as root has, may read those as well.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from pathlib import Path

_SET_DUMPABLE, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _CLEAR_ALL = 4, 24, 38, 47, 4
#: capset(2): the version whose sets are of 64 bits, in two halves.
_CAPABILITIES = 0x20080522


def keep_to_itself() -> None:
    """Nobody reads this process's memory or environment, or traces it, without CAP_SYS_PTRACE; it leaves no core dump. Not
    inherited by programs that it starts. Raises ``OSError`` where the system cannot do it.
    """
    _prctl(_SET_DUMPABLE, 0)


def give_up(user: str = "") -> None:
    """Before the agent's code is loaded: be ``user`` from now on (only root can; "": who we are), with no capability, and
    with none to be had from a program with the set-user-ID bit.

    Raises ``OSError``, also ``PermissionError``, and ``ValueError`` for a user that there is not.
    """
    if user and os.geteuid() != uid_of(user):
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
    _prctl(_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        for capability in range(_last_capability() + 1):
            _prctl(_CAPBSET_DROP, capability)
        _prctl(_CAP_AMBIENT, _CLEAR_ALL)
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
        _check(_libc().capset(header, (ctypes.c_uint32 * 6)()))


def uid_of(user: str) -> int:
    """Raises ``ValueError`` when there is no such user."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"--user {user}: there is no such user here") from None


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


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
