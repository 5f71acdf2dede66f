"""``python -m tests.system.version MODULE ARGS``: a program of Trunkline as another version of it would be.

The file that TRUNKLINE_TEST_VERSION_FILE names says, when the process starts, which version of the scripts it has and which
migration it knows last: two numbers. ``tests.system.version:app`` is the same for gunicorn.
"""

import sys

if "controller.relay" not in sys.argv:  # all others are gevent's, as their own entries have it
    from gevent import monkey

    monkey.patch_all()

import os
import pathlib
import runpy
from typing import Any

import budget.scripts
import store.migrate


def pretend() -> None:
    """From here on everything that is imported is of that version."""
    scripts, migration = map(int, pathlib.Path(os.environ["TRUNKLINE_TEST_VERSION_FILE"]).read_text().split())
    budget.scripts.VERSION = scripts
    budget.scripts.PREFIX = f"tl{scripts}:"
    budget.scripts.WAKE_CHANNEL = f"{budget.scripts.PREFIX}wake"
    store.migrate.newest = lambda: migration  # type: ignore[assignment]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    pretend()
    from web.wsgi import app

    return app


if __name__ == "__main__":
    pretend()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
