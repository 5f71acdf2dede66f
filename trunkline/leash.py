"""Start a program that may not outlive whoever started it.

Run by path, not imported: ``python -I -S leash.py SIGNAL PARENT UID GID PROGRAM [ARG...]``. It drops to UID:GID
(``-`` keeps the present ones), asks Linux for SIGNAL at the death of PARENT and becomes PROGRAM, which keeps the pid.
A program in between is used instead of ``preexec_fn`` because Python 3.12 warns of a fork of a threaded process.
Elsewhere than on Linux the keeper (trunkline/children.py) alone ends what is left.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Never returns: becomes the program or exits with 127 and the reason on stderr."""
    signal, parent, uid, gid, program = int(argv[0]), int(argv[1]), argv[2], argv[3], argv[4:]
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if libc is not None:
        # After the change of user, which clears it.
        libc.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(f"{program[0]}: whoever wanted it is gone")
    try:
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
