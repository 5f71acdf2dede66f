"""What a caller's channel may be told besides controller/commands.py: to ring, to be answered, to end by itself."""

from __future__ import annotations

from uuid import UUID

from controller.esl_wire import Command, command, uuid, whole


def ring_ready(attempt_id: UUID) -> Command:
    """180 to a caller who waits, once; in the channel's own thread."""
    return command(
        "ring_ready",
        f"sendmsg {uuid('attempt_id', attempt_id)}",
        "call-command: execute",
        "execute-app-name: ring_ready",
        "event-lock: true",
    )


def uuid_answer(attempt_id: UUID) -> Command:
    """200 to a caller; answered already, it changes nothing. ``-ERROR``: there is no such channel."""
    return command("uuid_answer", f"api uuid_answer {uuid('attempt_id', attempt_id)}")


def sched_hangup(attempt_id: UUID, after_s: int) -> Command:
    """The switch itself ends the call so many seconds from now, with ALLOTTED_TIMEOUT, controller or not."""
    seconds = whole("after_s", after_s, 1, 86_400)
    return command("sched_hangup", f"api sched_hangup +{seconds} {uuid('attempt_id', attempt_id)} ALLOTTED_TIMEOUT")
