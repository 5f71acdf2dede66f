"""What is said on a connection around its commands: login and subscription at its start, then pings and heartbeats."""

from __future__ import annotations

import time
from collections.abc import Callable

from controller import commands
from controller.commands import Command
from controller.esl_connection import Connection
from controller.esl_errors import AuthRejected, CommandRefused, CommandTimeout, LinkDown
from controller.esl_state import Subscription


def begin(connection: Connection, login: Command, subscription: Subscription | None) -> str:
    """Log in and subscribe; returns the switch's Core-UUID, or a text that is none. The caller bounds the time.

    Raises AuthRejected, LinkDown or CommandTimeout.
    """
    connection.greeted.wait()
    connection.check()
    reply = connection.write([login])[0].wait()
    if not reply.startswith("+OK"):
        raise AuthRejected(f"the switch refused the login: {reply}; check TRUNKLINE_ESL_PASSWORD and _ESL_USER")
    wanted = subscription.commands() if subscription is not None else []
    *replies, core = connection.write([*wanted, commands.global_getvar("core_uuid")])
    for pending in replies:
        try:
            pending.accepted()
        except CommandRefused as refused:
            raise LinkDown(f"the switch refused the subscription: {refused}", maybe_sent=True) from None
    text = core.wait()  # a limited user may not ask; the events tell as well
    connection.check()
    return text


def watch(
    connection: Connection,
    *,
    interval_s: float,
    heartbeat_s: float | None,
    round_trip: Callable[[float], None],
) -> None:
    """Ping an idle connection every ``interval_s`` and report the round trip (s), until the connection ends.

    Closes it when a reply is overdue that nobody waits for, or when no heartbeat came for ``heartbeat_s`` (None: it
    does not follow them).
    """
    last = time.monotonic()
    while not connection.closed.wait(interval_s):
        now = time.monotonic()
        if heartbeat_s is not None and not connection.stalled:
            # A pause of this process is not the switch's silence: each round counts for two intervals at most.
            connection.silent_s += min(now - last, 2 * interval_s)
            if connection.silent_s > heartbeat_s:
                connection.close(f"no heartbeat for {connection.silent_s:.0f} s")
                return
        last = now
        waiting = connection.oldest
        try:
            if waiting is None:
                waiting = connection.write([commands.ping()])[0]
                waiting.wait()
                round_trip(time.monotonic() - waiting.written_at)
            elif now - waiting.written_at > waiting.limit_s:
                waiting.wait(0)
        except (CommandTimeout, LinkDown):
            return
