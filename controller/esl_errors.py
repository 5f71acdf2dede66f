"""What can go wrong between us and the event socket. Each error says by itself what the caller may conclude."""

from __future__ import annotations

from typing import ClassVar


class EslError(Exception):
    """Any failure of a link or of a command.

    ``maybe_sent``: False proves that no byte of the command reached the socket; True says only that some may have.
    """

    maybe_sent: bool = True


class LinkDown(EslError):
    """The link is not ready, or was lost while the command waited. The outcome of a sent command is unknown."""

    def __init__(self, reason: str, *, maybe_sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_sent = maybe_sent


class NoReply(LinkDown):
    """The switch did not answer this command in time, and the link was closed for it. What waited behind it is
    :class:`LinkDown` alone.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason, maybe_sent=True)


class AuthRejected(LinkDown):
    """The switch refused us: wrong password, or its access list. Needs an operator; retrying alone does not help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, maybe_sent=False)


class TooLate(EslError):
    """The moment a write was good for had passed while it waited for its turn; nothing was written."""

    maybe_sent = False


class NotOnDuty(EslError):
    """Another controller may be on duty beside this switch; nothing was written."""

    maybe_sent = False


class CommandTimeout(EslError):
    """No reply in time. The link was closed: its replies come in order only, so none after it could be trusted."""

    def __init__(self, kind: str, timeout_s: float) -> None:
        super().__init__(f"{kind}: no reply within {timeout_s:.2f} s; the link was closed")
        self.kind = kind
        self.timeout_s = timeout_s


class CommandRefused(EslError):
    """The switch read the command and answered ``-ERR`` or ``-USAGE``: ``reply`` is its text."""

    NO_CHANNEL: ClassVar[tuple[str, ...]] = ("-ERR No such channel", "-ERR invalid session id")

    def __init__(self, kind: str, reply: str) -> None:
        super().__init__(f"{kind}: {reply}")
        self.kind = kind
        self.reply = reply

    @property
    def no_such_channel(self) -> bool:
        """The command named a channel that is not there (any more)."""
        return self.reply.startswith(self.NO_CHANNEL)


def refusal(reply: str) -> bool:
    """Whether a reply's text says no."""
    return reply.startswith(("-ERR", "-USAGE"))
