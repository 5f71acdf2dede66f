"""Where workers come from: a process that has loaded the agent and divides itself for each worker.

So a worker is there within milliseconds and shares what was loaded with all others. It has one thread and no event loop, and
it ends with its keeper. An agent that cannot be divided (it starts threads while it is imported) is started afresh instead.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys

from agents.fleet.confine import give_up
from agents.fleet.worker import Orders, load, work

READY = b"ready\n"


def main() -> int:
    """``python -m agents.fleet.nursery MODULE:FUNCTION USER``: orders on standard input, one a line, until it is closed."""
    try:
        give_up(sys.argv[2])
        agent = load(sys.argv[1])
        prepare = getattr(sys.modules[sys.argv[1].partition(":")[0]], "prepare", None)
        if prepare is not None:
            prepare()
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to all; the keeper says what is to be done
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a child
    gc.collect()
    gc.freeze()
    os.write(1, READY)
    while line := sys.stdin.buffer.readline():
        orders = Orders(**json.loads(line))
        if os.fork() == 0:
            code = 70
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, 0)
                os.dup2(2, 1)
                os.close(null)
                random.seed()
                code = work(orders, agent)
            finally:
                sys.stderr.flush()
                os._exit(code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
