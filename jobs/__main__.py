"""``python -m jobs NAME``: runs one of the jobs until it is told to stop."""

from gevent import monkey

monkey.patch_all()

import sys
from importlib import import_module

from logs import log_to_stderr
from settings import get_settings

#: Imported only when asked for, so that a fault in one does not stop the others.
NAMES = ("feeder", "watchdog", "dispatcher", "health", "recordings")


def run(arguments: list[str]) -> int:
    """Exit code of the job that ``arguments`` name; 2 with a sentence when they name none."""
    if len(arguments) != 1 or arguments[0] not in NAMES:
        print(f"usage: python -m jobs {{{'|'.join(NAMES)}}}", file=sys.stderr)
        return 2
    log_to_stderr()
    import_module(f"jobs.{arguments[0]}").main(get_settings())
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
