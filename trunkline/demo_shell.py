"""The way into the demo that is up: a program that runs what it is given, or a shell, in the demo's own environment.

So the commands of docs/ run as they stand, an operator's (``trunkline why``) and a fleet's alike. It lies beside the demo's
other files, readable for whoever started it alone, and goes with them.
"""

from __future__ import annotations

import pathlib
import shlex
import sys
from collections.abc import Mapping

_SCRIPT = """\
#!/bin/sh
# Runs what it is given, or a shell, with the environment of the demo that is up.
{exports}
PATH={programs}:$PATH
export PATH
[ $# -gt 0 ] || set -- "${{SHELL:-/bin/sh}}"
exec "$@"
"""


def write_shell(place: pathlib.Path, environ: Mapping[str, str]) -> pathlib.Path:
    """Write it as ``place``; in it ``trunkline`` and ``python`` are those that run now."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(environ.items()))
    place.touch(mode=0o700)
    place.write_text(_SCRIPT.format(exports=exports, programs=shlex.quote(str(pathlib.Path(sys.executable).parent))))
    return place
