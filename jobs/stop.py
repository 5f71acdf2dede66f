"""The end of a job, asked for by SIGTERM or SIGINT: what is in hand is finished, nothing new is begun."""

from __future__ import annotations

import signal

import gevent
from gevent.event import Event


def stop_on_signals() -> Event:
    """Set when the process is told to end. Call it once, before the first piece of work; waiting on the event is the rest
    between two of them.
    """
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    return stop
